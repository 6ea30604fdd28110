"""One request and one answer: in time, in bounds, over TLS."""

from __future__ import annotations

import socket
import threading
import time
import warnings

import pytest

from dkimcore.errors import ConfigError, KeyUnavailable
from dkimcore.keys.aws.exchange import Exchange, Reply
from dkimcore.keys.aws.login import AwsPlace
from dkimcore.keys.endpoint import EndpointLimits
from tests.servers.faultproxy import FaultProxy
from tests.servers.faults import Answer, Close, Cut, Drip, Hang, Huge, Raw, Reset, Slow, garbage
from tests.servers.tls import Authority

TARGET = {"X-Amz-Target": "TrentService.ListKeys", "Content-Type": "application/x-amz-json-1.1"}
LIMITS = EndpointLimits(connect_timeout=0.5, read_timeout=0.5)


@pytest.fixture
def exchange():
    """Connects to a URL."""
    made = []

    def make(url, *, ca=None, limits=LIMITS):
        place = AwsPlace(region="eu-west-1", url=url, ca=ca)
        made.append(Exchange(place, limits=limits))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_an_answer(exchange, proxy):
    made = exchange(proxy.url)
    replies = [made.post(b"{}", TARGET, timeout=5) for _ in range(3)]

    assert {reply.status for reply in replies} == {200}
    assert b"Keys" in replies[0].body
    assert replies[0].headers["x-amzn-requestid"]
    assert "Keys" not in repr(replies[0])
    assert proxy.counts()["connections"] == 1
    assert proxy.url in repr(made)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Hang(), "did not answer within 0.3 s"),
        (Slow(seconds=5), "did not answer within 0.3 s"),
        (Drip(interval=0.01), "did not answer within 0.3 s"),
        (Reset(), "broke the connection off"),
        (Reset(asked=True), "broke the connection off"),
        (Close(), "broke the connection off"),
        (Cut(octets=-5), "broke the connection off"),
        (Raw(octets=b"SSH-2.0-OpenSSH\r\n"), "broke the connection off"),
        (Huge(), "more than 65536 octets"),
        (Huge(announced=False), "more than 65536 octets"),
    ],
    ids=str,
)
def test_faults(exchange, proxy, fault, words):
    made = exchange(proxy.url)
    with proxy.broken(fault):
        begin = time.monotonic()
        failure = made.post(b"{}", TARGET, timeout=0.3)

    assert time.monotonic() - begin < 0.3 + 0.5
    assert failure.kind is KeyUnavailable
    assert words in failure.problem
    assert f"127.0.0.1:{proxy.port}" in failure.problem
    assert made.post(b"{}", TARGET, timeout=5).status == 200


def test_no_time_is_no_use(exchange, proxy):
    with proxy.broken(Hang()):
        assert exchange(proxy.url).post(b"{}", TARGET, timeout=0.001).kind is KeyUnavailable


@pytest.mark.parametrize(
    "fault", [garbage(), Answer(status=302, headers={"Location": "/x"}), Answer(status=503)]
)
def test_what_is_no_answer_of_kms_is_judged_by_others(exchange, proxy, fault):
    with proxy.broken(fault):
        reply = exchange(proxy.url).post(b"{}", TARGET, timeout=5)

    assert isinstance(reply, Reply)
    assert reply.status == fault.status


def test_an_answer_that_ends_in_its_header(exchange, proxy):
    with proxy.broken(Raw(octets=b"HTTP/1.1 200 OK\r\nContent-Le")):
        reply = exchange(proxy.url).post(b"{}", TARGET, timeout=5)

    assert (reply.status, reply.body) == (200, b"")


def test_nobody_listens(exchange, unused_port):
    failure = exchange(f"http://127.0.0.1:{unused_port}").post(b"{}", TARGET, timeout=5)

    where = f"127.0.0.1:{unused_port} cannot be reached: connection refused"
    assert failure.problem == f"{where}; see region and endpoint_url, and the network"


def test_nobody_accepts(exchange):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        # The queue of connections that are not accepted takes one or two of these.
        waiting = [exchange(url) for _ in range(4)]
        found = []
        threads = [
            threading.Thread(
                target=lambda made=made: found.append(made.post(b"{}", TARGET, timeout=0.3))
            )
            for made in waiting
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert any("no connection within 0.3 s" in failure.problem for failure in found)


def test_tls(exchange, ministack, tmp_path):
    authority = Authority(tmp_path)
    with FaultProxy(ministack.url, certificate=authority.issue()) as secure:
        reply = exchange(secure.url, ca=str(authority.file)).post(b"{}", TARGET, timeout=5)
        assert reply.status == 200

        failure = exchange(secure.url).post(b"{}", TARGET, timeout=5)
        assert failure.kind is KeyUnavailable
        assert "name the file of the authority with ca=" in failure.problem
        assert "CERTIFICATE_VERIFY_FAILED" in failure.problem


def test_tls_with_a_drip(exchange, ministack, tmp_path):
    authority = Authority(tmp_path)
    with FaultProxy(ministack.url, certificate=authority.issue()) as secure:
        made = exchange(secure.url, ca=str(authority.file))
        assert made.post(b"{}", TARGET, timeout=5).status == 200
        with secure.broken(Drip(interval=0.01)):
            begin = time.monotonic()
            assert made.post(b"{}", TARGET, timeout=0.3).kind is KeyUnavailable
            assert time.monotonic() - begin < 0.8


def test_plain_where_tls_is_wanted(exchange, ministack):
    failure = exchange(ministack.url.replace("http:", "https:")).post(b"{}", TARGET, timeout=5)

    assert failure.kind is KeyUnavailable
    assert "speaks no TLS" in failure.problem


def test_a_file_of_authorities_that_is_none(exchange, tmp_path):
    (tmp_path / "empty.pem").write_bytes(b"")
    for name in ("empty.pem", "absent.pem"):
        with pytest.raises(ConfigError, match=f"{name}: the file of certificates cannot be read"):
            exchange("https://kms.example", ca=str(tmp_path / name))


def test_through_the_proxy_of_the_environment(exchange, proxy, ministack, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:CANARY@"))
    made = exchange(ministack.url)

    assert made.post(b"{}", TARGET, timeout=5).status == 200
    (request,) = proxy.recent
    assert request.path == f"{ministack.url}/"
    assert request.fields[b"proxy-authorization"] == b"Basic dXNlcjpDQU5BUlk="


def test_a_proxy_that_is_not_there(exchange, ministack, monkeypatch, unused_port):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", f"user:CANARY@127.0.0.1:{unused_port}")

    failure = exchange(ministack.url).post(b"{}", TARGET, timeout=5)

    assert "the proxy that HTTPS_PROXY names" in failure.problem
    assert "CANARY" not in failure.problem


def test_connections_are_kept_for_all_threads(exchange, proxy):
    made = exchange(proxy.url, limits=EndpointLimits(threads=4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads = [
            threading.Thread(target=lambda: made.post(b"{}", TARGET, timeout=5)) for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    first = proxy.counts()["connections"]
    made.post(b"{}", TARGET, timeout=5)

    assert proxy.requests == 17
    assert proxy.counts()["connections"] == first
