"""Where the milter listens: what is understood, and what happens to a file that is there."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
import struct

import pytest

from dkimcore.errors import SettingsError
from dkimcore_milter import sockets
from dkimcore_milter.failure import StartFailure
from dkimcore_milter.sockets import Listen, parse_socket
from tests.milter.processes import HAS_IPV6

needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no ::1")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("local:/run/x/sock", Listen(family="unix", path="/run/x/sock")),
        ("unix:sock", Listen(family="unix", path="sock")),
        ("/run/x/sock", Listen(family="unix", path="/run/x/sock")),
        ("run/with:colon", Listen(family="unix", path="run/with:colon")),
        ("/run/with:colon", Listen(family="unix", path="/run/with:colon")),
        (" local:/run/sock ", Listen(family="unix", path="/run/sock")),
        ("inet:8891", Listen(family="inet", port=8891)),
        ("INET:8891@localhost", Listen(family="inet", port=8891, host="localhost")),
        ("inet:8891@[127.0.0.1]", Listen(family="inet", port=8891, host="127.0.0.1")),
        ("inet:smtp@127.0.0.1", Listen(family="inet", port=25, host="127.0.0.1")),
        ("inet6:8891@::1", Listen(family="inet6", port=8891, host="::1")),
        ("inet6:8891@[::1]", Listen(family="inet6", port=8891, host="::1")),
    ],
)
def test_what_opendkim_understands_is_understood(text, meant):
    assert parse_socket(text) == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8891", "write inet:8891@localhost"),
        ("", "the path is missing"),
        ("local:", "the path is missing"),
        ("local:/" + "x" * 107, "longer than 107 octets"),
        ("local:/a\0b", "no NUL"),
        ("tcp:8891", '"tcp" is no kind of socket'),
        ("inet:", "the port is missing"),
        ("inet:0", "not between 1 and 65535"),
        ("inet:65536", "not between 1 and 65535"),
        ("inet:99999999999", "not between 1 and 65535"),
        ("inet:no-such-service", "no TCP service"),
        ("inet:8891@", "the host behind @ is missing"),
        ("inet:8891@[]", "the host behind @ is missing"),
        ("inet6:8891@[::1", "one bracket"),
        ("inet:8891@::1", "write inet6:8891@::1"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_the_cure(text, why):
    with pytest.raises(SettingsError) as error:
        parse_socket(text, file="/etc/x.conf", line=7)
    assert str(error.value).startswith("/etc/x.conf:7: Socket")
    assert why in str(error.value)


@pytest.mark.parametrize(
    "text", ["local:/run/sock", "inet:8891", "inet:8891@localhost", "inet6:8891@::1"]
)
def test_what_is_printed_means_the_same(text):
    assert parse_socket(str(parse_socket(text))) == parse_socket(text)


def test_a_name_is_resolved_to_an_address_of_its_family():
    listen = Listen(family="inet", port=8891, host="localhost").resolve()
    assert listen.host == "127.0.0.1"
    assert listen.port == 8891
    for other in (Listen(family="inet6", port=8891), Listen(family="unix", path="/x")):
        assert other.resolve() == other


@pytest.mark.parametrize("host", ["nobody.invalid", "x" * 300])
def test_a_name_without_an_address_is_said_to_have_none(host):
    with pytest.raises(StartFailure, match="write an address of this host") as failure:
        Listen(family="inet", port=8891, host=host).resolve()
    assert failure.value.status == 69


@pytest.fixture
def listen(tmp_path):
    return Listen(family="unix", path=str(tmp_path / "sock"))


@pytest.fixture
def taken(listen):
    """A socket somebody listens on."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(listen.path)
        other.listen(0)
        yield other


def test_the_file_of_an_ended_filter_is_removed(listen, taken):
    taken.close()
    assert os.path.exists(listen.path)
    sockets.clear(listen)
    assert not os.path.exists(listen.path)
    sockets.clear(listen)  # nothing there: nothing happens


def test_a_socket_that_answers_is_left_alone(listen, taken):
    with pytest.raises(StartFailure, match="Address already in use") as failure:
        sockets.clear(listen)
    assert failure.value.status == 69
    assert os.path.exists(listen.path)


def test_a_socket_with_a_full_queue_is_left_alone(listen, taken):
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.connect(listen.path)
        second.settimeout(0)
        with pytest.raises(BlockingIOError):
            second.connect(listen.path)
        with pytest.raises(StartFailure, match="Address already in use"):
            sockets.clear(listen)
    assert os.path.exists(listen.path)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_never_removed(listen, kind):
    match kind:
        case "file":
            with open(listen.path, "w") as file:
                file.write("precious")
        case "directory":
            os.mkdir(listen.path)
        case "link":
            os.symlink("/nowhere", listen.path)
    with pytest.raises(StartFailure, match="is no socket") as failure:
        sockets.clear(listen)
    assert failure.value.status == 69
    assert os.path.lexists(listen.path)


def test_a_missing_directory_is_named(tmp_path):
    listen = Listen(family="unix", path=str(tmp_path / "none" / "sock"))
    sockets.clear(listen)
    with pytest.raises(StartFailure, match=f"make the directory {tmp_path}/none") as failure:
        sockets.open_listener(listen)
    assert failure.value.status == 69


def test_a_unix_socket_is_listened_on(listen):
    with sockets.open_listener(listen) as ours, socket.socket(socket.AF_UNIX) as client:
        client.connect(listen.path)
        taken, _ = ours.accept()
        taken.close()


def longest_queue():
    with open("/proc/sys/net/core/somaxconn") as file:
        return int(file.read())


@pytest.fixture
def descriptors():
    """More of them than connections that wait here."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_as_many_connections_wait_as_the_system_lets(listen, descriptors):
    with contextlib.ExitStack() as stack:
        stack.enter_context(sockets.open_listener(listen))
        for _ in range(min(longest_queue(), 2000) + 1):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(0)
            client.connect(listen.path)


def test_the_queue_of_a_tcp_socket_is_as_long_as_the_system_lets():
    with sockets.open_listener(Listen(family="inet", port=0, host="127.0.0.1")) as ours:
        info = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    # struct tcp_info: tcpi_sacked of a socket that listens is the length of its queue
    assert struct.unpack_from("=8x6I", info)[5] == longest_queue()


@pytest.mark.parametrize("family", ["inet", pytest.param("inet6", marks=needs_ipv6)])
def test_accepted_tcp_connections_do_not_wait_to_fill_segments(family):
    host = "127.0.0.1" if family == "inet" else "::1"
    with (
        sockets.open_listener(Listen(family=family, port=0, host=host)) as ours,
        socket.create_connection(ours.getsockname()[:2]),
    ):
        taken, _ = ours.accept()
        with taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("family", ["inet", pytest.param("inet6", marks=needs_ipv6)])
def test_a_port_in_use_is_said_to_be(family):
    kind, host = (socket.AF_INET, "127.0.0.1") if family == "inet" else (socket.AF_INET6, "::1")
    with socket.create_server((host, 0), family=kind) as other:
        listen = Listen(family=family, port=other.getsockname()[1], host=host)
        with pytest.raises(StartFailure, match="Address already in use") as failure:
            sockets.open_listener(listen)
    assert failure.value.status == 69
    sockets.open_listener(listen).close()


def test_an_address_of_another_machine_is_named():
    with pytest.raises(StartFailure, match="none of this machine's addresses"):
        sockets.open_listener(Listen(family="inet", port=8891, host="192.0.2.1"))


def test_the_umask_holds_only_while_the_socket_is_made(listen):
    before = os.umask(0o022)
    try:
        with sockets.socket_umask(0o007), socket.socket(socket.AF_UNIX) as made:
            made.bind(listen.path)
        assert stat.S_IMODE(os.stat(listen.path).st_mode) == 0o770
        with sockets.socket_umask(None):
            assert os.umask(0o022) == 0o022
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_at_the_end_our_file_goes_and_a_successors_stays(listen, taken):
    ours = sockets.identify(listen)
    os.rename(listen.path, f"{listen.path}.old")  # keeps the inode from being used again
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(listen.path)
        sockets.remove(listen, ours)
        assert os.path.exists(listen.path)
        sockets.remove(listen, sockets.identify(listen))
    assert not os.path.exists(listen.path)
    assert sockets.identify(listen) is None
    assert sockets.identify(Listen(family="inet", port=8891)) is None
    sockets.remove(listen, None)
