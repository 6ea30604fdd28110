"""The life of the filter's processes: start, signals, reloads, deaths, privileges, the end."""

from __future__ import annotations

import os
import pwd
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dkimcore.testing import EphemeralKey
from tests.milter.processes import children, open_path, wait_until_gone
from tests.servers.dkimcoremilter import DidNotStart, DkimcoreMilter
from tests.servers.milterclient import Delivery, MilterClient, converse, deliver
from tests.servers.milterwire import Outlook

KEY = EphemeralKey.ed25519().private_pem()
FILES = {"key": KEY}
SIGNING = "KeyFile {folder}/key\nPidFile {folder}/pid\nDomain example.com\nSelector s1\n"
INSIDE = Delivery(host="localhost", address="127.0.0.1")
MESSAGE = b"From: a@example.com\r\nSubject: hi\r\n\r\nhello\r\n"
NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def selector(outcome):
    """Returns the selector a message was signed with."""
    (change,) = outcome.changes
    return re.search(rb"\bs=([^;]+);", change.value)[1].decode()


def deliver_to(milter):
    return deliver(milter.address, MESSAGE, INSIDE)


def rewrite(milter, old, new):
    """Changes the settings file of a running filter."""
    path = milter.folder / "filter.conf"
    path.write_text(path.read_text().replace(old, new))


def reachable(tmp_path):
    """Makes a folder of nobody's that nobody can get to."""
    open_path(tmp_path)
    place = tmp_path / "run"
    place.mkdir()
    os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
    return place


def send(milter, number):
    os.kill(milter.pid, number)


def test_it_serves_and_says_so():
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        assert selector(deliver_to(milter)) == "s1"
        assert (milter.folder / "pid").read_text() == f"{milter.pid}\n"
        assert len(children(milter.pid, 2)) == 2
        line = milter.wait_for("starting (args: -f -x")
        assert line["level"] == "info"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_leaves_nothing_behind(number):
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        workers = children(milter.pid, 2)
        deliver_to(milter)
        send(milter, number)
        assert milter._process.wait(30) == 0
        for pid in workers:
            wait_until_gone(pid)
        files = ["filter.conf", "key", "notify", "stderr", "stdout"]  # all of them the harness's
        assert sorted(os.listdir(milter.folder)) == files
        milter.wait_for("terminating with status 0")
        assert milter.output() == ""


def test_a_message_that_never_ends_does_not_hold_the_end_up():
    # libmilter would wait two hours for the rest of it.
    with DkimcoreMilter(SIGNING, files=FILES) as milter, MilterClient(milter.address) as client:
        client.negotiate()
        client.connect("localhost", "127.0.0.1")
        client.mail(b"<a@example.com>")
        (worker,) = children(milter.pid, 1)
        send(milter, signal.SIGTERM)
        assert milter._process.wait(30) == 0
        wait_until_gone(worker)


def test_a_key_query_without_an_answer_does_not_hold_the_end_up():
    signed = (
        b"DKIM-Signature: v=1; a=ed25519-sha256; d=example.com; s=s1; h=from;\r\n"
        b" bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n" + MESSAGE
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(30)
        conf = (
            f"Mode v\nInternalHosts 192.0.2.200\nNameservers 127.0.0.1:{silent.getsockname()[1]}\n"
            "DNSTimeout 60\n"
        )
        with DkimcoreMilter(conf) as milter, MilterClient(milter.address) as client:
            (worker,) = children(milter.pid, 1)
            client.negotiate()
            client.connect("mail.example.org", "192.0.2.1")
            client.mail(b"<a@example.com>")
            client.rcpt(b"<b@example.net>")
            for name, value in ((b"DKIM-Signature", signed[15 : signed.index(b"\r\nFrom")]),):
                client.header(name, value)
            client.header(b"From", b" a@example.com")
            client._send(b"N", b"")  # whose answer waits for the query, or that of the end
            client._send(b"E", b"")
            silent.recv(4096)
            send(milter, signal.SIGTERM)
            assert milter._process.wait(30) == 0
            wait_until_gone(worker)


def test_a_message_under_way_may_come_to_its_end():
    with DkimcoreMilter(SIGNING, files=FILES) as milter, MilterClient(milter.address) as client:
        client.negotiate()
        client.connect("localhost", "127.0.0.1")
        client.mail(b"<a@example.com>")
        client.rcpt(b"<b@example.net>")
        client.data()
        client.header(b"From", b" a@example.com")
        client.eoh()
        send(milter, signal.SIGTERM)
        changes, reply = client.eom()
        assert reply.final
        assert len(changes) == 1
        assert milter._process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_reload_is_for_new_connections(number):
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        with MilterClient(milter.address) as old:
            old.negotiate()
            rewrite(milter, "Selector s1", "Selector s2")
            send(milter, number)
            line = milter.wait_for("configuration reloaded from")
            assert line["text"].endswith("filter.conf")
            for _ in range(8):
                assert selector(deliver_to(milter)) == "s2"
            assert selector(converse(old, MESSAGE, INSIDE)) == "s1"
            workers = children(milter.pid)
        send(milter, number)
        for pid in workers:  # those of before have no connection any more
            wait_until_gone(pid)
        assert len(children(milter.pid, 2)) == 2
        assert milter.stop() == 0
        # OpenDKIM forgets its pid file at a reload.
        assert not (milter.folder / "pid").exists()


def test_no_message_is_lost_while_settings_are_reloaded():
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        stop = threading.Event()
        signed = []

        def keep_sending():
            while not stop.is_set():
                signed.append(selector(deliver_to(milter)))

        with ThreadPoolExecutor(3) as clients:
            sending = [clients.submit(keep_sending) for _ in range(3)]
            while not signed:
                time.sleep(0.01)
            for number in range(5):
                rewrite(milter, f"Selector s{number + 1}", f"Selector s{number + 2}")
                send(milter, signal.SIGHUP)
                while len(milter.log()) < number + 2 or signed[-1:] != [f"s{number + 2}"]:
                    assert not any(each.done() for each in sending)
                    time.sleep(0.01)  # until the reload is seen in a signature
            stop.set()
        for each in sending:
            each.result()  # raises if a connection was cut off
        assert sorted(set(signed)) == ["s1", "s2", "s3", "s4", "s5", "s6"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("Selector s2\nNoSuchOption x", "configuration error at line"),
        ("Selector s2\nInternalHosts /no/such/file", "/no/such/file"),
        ("Selector s2\nKeyFile /no/such/key", "/no/such/key"),
    ],
)
def test_a_bad_reload_keeps_the_old_settings_and_says_why(wrong, said):
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        workers = children(milter.pid, 1)
        rewrite(milter, "Selector s1", wrong)
        send(milter, signal.SIGHUP)
        line = milter.wait_for("the old configuration stays")
        assert said in line["text"]
        assert line["level"] == "err"
        assert selector(deliver_to(milter)) == "s1"
        assert children(milter.pid) == workers
        rewrite(milter, wrong, "Selector s3")
        send(milter, signal.SIGHUP)
        milter.wait_for("configuration reloaded from")
        assert selector(deliver_to(milter)) == "s3"


def test_flags_are_kept_at_a_reload():
    # OpenDKIM forgets them.
    with DkimcoreMilter(SIGNING, files=FILES, flags=("-s", "flag")) as milter:
        send(milter, signal.SIGHUP)
        milter.wait_for("configuration reloaded from")
        assert selector(deliver_to(milter)) == "flag"


def test_the_end_may_come_during_a_reload(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        rewrite(milter, "Selector s1", f"Selector s2\nInternalHosts {tmp_path}/fifo")
        send(milter, signal.SIGHUP)
        with open(tmp_path / "fifo", "w"):  # the reload reads from it, and waits for its end
            send(milter, signal.SIGTERM)
            assert milter._process.wait(30) == 0


def test_the_end_may_come_during_the_start(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    milter = DkimcoreMilter(f"{SIGNING}InternalHosts {tmp_path}/fifo\n", files=FILES)
    milter.launch()
    try:
        with open(tmp_path / "fifo", "w"):
            send(milter, signal.SIGTERM)
            assert milter._process.wait(30) == 0
        assert not (milter.folder / "socket").exists()
    finally:
        milter.close()


def test_without_autorestart_a_workers_death_is_the_end():
    with DkimcoreMilter(f"{SIGNING}AutoRestart no\n", files=FILES, workers=2) as milter:
        first, second = children(milter.pid, 2)
        os.kill(first, signal.SIGKILL)
        assert milter._process.wait(30) == 69
        wait_until_gone(second)
        milter.wait_for(f"worker {first} terminated with signal 9")
        assert not (milter.folder / "socket").exists()


def test_a_worker_that_dies_gets_a_successor_unless_it_is_forbidden():
    conf = f"{SIGNING}AutoRestartCount 1\n"
    with DkimcoreMilter(conf, files=FILES) as milter:
        (worker,) = children(milter.pid, 1)
        os.kill(worker, signal.SIGKILL)
        milter.wait_for(f"worker {worker} terminated with signal 9, restarting")
        assert selector(deliver_to(milter)) == "s1"
        (successor,) = children(milter.pid, 1)
        os.kill(successor, signal.SIGKILL)
        assert milter._process.wait(30) == 69
        milter.wait_for("maximum restart count exceeded (1)")


def test_with_autorestart_there_is_a_rate():
    conf = f"{SIGNING}AutoRestart yes\nAutoRestartRate 1/1h\n"
    with DkimcoreMilter(conf, files=FILES) as milter:
        (worker,) = children(milter.pid, 1)
        os.kill(worker, signal.SIGKILL)
        milter.wait_for(f"worker {worker} terminated with signal 9, restarting")
        deliver_to(milter)  # waits until there is a successor
        os.kill(children(milter.pid, 1)[0], signal.SIGKILL)
        assert milter._process.wait(30) == 69
        milter.wait_for("maximum restart rate exceeded (1 in 3600 s)")


def test_what_a_reload_cannot_change_is_said():
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        rewrite(milter, "DkimcoreWorkers 2", "DkimcoreWorkers 3")
        send(milter, signal.SIGHUP)
        line = milter.wait_for("which takes a restart")
        assert line["text"] == "DkimcoreWorkers was changed, which takes a restart"
        milter.wait_for("configuration reloaded from")


def test_no_worker_outlives_its_supervisor():
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        workers = children(milter.pid, 2)
        send(milter, signal.SIGKILL)
        milter._process.wait(30)
        for pid in workers:
            wait_until_gone(pid)


@pytest.mark.parametrize(
    "number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2]
)
def test_signals_to_a_worker_do_nothing(number):
    # Service managers send a signal to every process of a service.
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        deliver_to(milter)
        (worker,) = children(milter.pid, 1)
        os.kill(worker, number)
        assert selector(deliver_to(milter)) == "s1"
        assert children(milter.pid) == [worker]


def test_a_stale_socket_is_replaced():
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        (worker,) = children(milter.pid, 1)
        send(milter, signal.SIGKILL)
        milter._process.wait(30)
        wait_until_gone(worker)
        assert (milter.folder / "socket").exists()
        again = [*milter.command(milter.folder / "filter.conf", milter.address)]
        with subprocess.Popen(again, stdout=subprocess.DEVNULL) as process:
            try:
                milter._process = process
                milter.wait_until_ready()
                assert selector(deliver_to(milter)) == "s1"
            finally:
                process.terminate()


def test_a_socket_in_use_is_refused():
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        other = DkimcoreMilter(SIGNING, files=FILES, socket_name=milter.address)
        other.launch()
        try:
            assert other._process.wait(30) == 69
            assert "Address already in use" in other.output()
        finally:
            other.close()
        assert selector(deliver_to(milter)) == "s1"


def test_a_new_key_file_signs_without_a_reload_and_one_that_is_gone_signs_no_more():
    """OpenDKIM reads the files of a KeyTable for each message."""
    conf = "KeyTable file:{folder}/keys\nSigningTable file:{folder}/signing\n"
    tables = {"keys": "k example.com:s1:{folder}/key\n", "signing": "example.com k\n"}
    with DkimcoreMilter(conf, files={**FILES, **tables}) as milter:
        (before,) = deliver_to(milter).changes
        beside = milter.folder / "beside"
        beside.write_bytes(EphemeralKey.rsa().private_pem())
        beside.chmod(0o600)
        beside.rename(milter.folder / "key")
        (after,) = deliver_to(milter).changes
        assert b"a=ed25519-sha256" in before.value
        assert b"a=rsa-sha256" in after.value
        (milter.folder / "key").unlink()
        refused = deliver_to(milter)
        assert refused.changes == ()
        assert "451" in str(refused.reply) or "TEMPFAIL" in str(refused.reply)
        milter.wait_for("key does not exist")


@pytest.mark.parametrize(
    ("conf", "status", "said"),
    [
        ("UserID no-such-user", 65, 'there is no user "no-such-user"'),
        ("UserID nobody:no-such-group", 65, 'there is no group "no-such-group"'),
        ("ChangeRootDirectory /no/such/directory", 71, "/no/such/directory"),
        ("KeyTable /no/such/table\nSigningTable /no/such/table", 78, "/no/such/table"),
    ],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(conf, status, said):
    milter = DkimcoreMilter(f"PidFile {{folder}}/pid\n{conf}")
    with pytest.raises(DidNotStart) as failure:
        milter.__enter__()
    assert failure.value.status == status
    assert said in failure.value.output
    assert failure.value.output.count("\n") == 1


@pytest.mark.parametrize(
    ("socket_name", "said"),
    [
        ("local:/no/such/directory/socket", "make the directory /no/such/directory"),
        ("inet:8891@192.0.2.1", "none of this machine's addresses"),
    ],
)
def test_a_socket_that_cannot_be_opened_is_status_69(socket_name, said):
    with pytest.raises(DidNotStart) as failure:
        DkimcoreMilter(SIGNING, files=FILES, socket_name=socket_name).__enter__()
    assert failure.value.status == 69
    assert said in failure.value.output


def test_the_umask_decides_who_may_connect():
    with DkimcoreMilter(f"{SIGNING}UMask 007\n", files=FILES) as milter:
        assert stat.S_IMODE((milter.folder / "socket").stat().st_mode) == 0o770


def test_a_pid_file_that_cannot_be_written_is_no_reason_to_stop():
    # The guide that many follow has "PidFile /var/run/opendkim/".
    with DkimcoreMilter(f"{SIGNING}PidFile {{folder}}/\n", files=FILES) as milter:
        line = milter.wait_for("can't write pid to")
        assert "Is a directory" in line["text"]
        assert selector(deliver_to(milter)) == "s1"


def credentials(pid):
    """Returns the user ids and group ids that a process has."""
    text = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {int(word) for name in ("Uid", "Gid", "Groups") for word in fields[name].split()}


@as_root
def test_mail_is_served_by_the_user_with_a_key_that_only_root_may_read(tmp_path):
    place = reachable(tmp_path)
    conf = f"{SIGNING}UserID nobody\nUMask 0117\n"
    name = f"local:{place}/socket"
    with DkimcoreMilter(conf, files=FILES, socket_name=name, workers=2) as milter:
        assert selector(deliver_to(milter)) == "s1"
        for pid in (milter.pid, *children(milter.pid, 2)):
            assert credentials(pid) == {NOBODY.pw_uid, NOBODY.pw_gid}
        made = (place / "socket").stat()
        assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (NOBODY.pw_uid, 0o660)
        # The key can no longer be read: what was loaded goes on.
        send(milter, signal.SIGHUP)
        milter.wait_for("the old configuration stays")
        assert selector(deliver_to(milter)) == "s1"
        assert milter.stop() == 0
        assert os.listdir(place) == []


def limit_processes(pid, count):
    """Limits how many processes its user may have before it can make no more."""
    # As that user: not every root may do it to others' processes, in containers.
    number = "unlimited" if count == resource.RLIM_INFINITY else count
    command = ["prlimit", f"--pid={pid}", f"--nproc={number}:"]
    subprocess.run(command, user=NOBODY.pw_uid, group=NOBODY.pw_gid, check=True)


@as_root
def test_without_processes_to_be_had_the_old_workers_go_on(tmp_path):
    place = reachable(tmp_path)
    conf = "Mode v\nUserID nobody\nUMask 0117\nAutoRestart yes\n"
    with DkimcoreMilter(conf, socket_name=f"local:{place}/socket", workers=2) as milter:
        milter.folder.chmod(0o711)  # the settings are read again as nobody
        (milter.folder / "filter.conf").chmod(0o644)
        workers = children(milter.pid, 2)
        before, _ = resource.getrlimit(resource.RLIMIT_NPROC)  # it has inherited ours
        limit_processes(milter.pid, 0)
        send(milter, signal.SIGHUP)
        assert milter.wait_for("fork(): ")["text"].endswith("; the old configuration stays")
        assert children(milter.pid) == workers
        assert deliver_to(milter).reply.outlook is Outlook.ACCEPT
        os.kill(workers[0], signal.SIGKILL)
        milter.wait_for("no successor for a worker, trying again")
        assert deliver_to(milter).reply.outlook is Outlook.ACCEPT
        limit_processes(milter.pid, before)
        assert workers[1] in children(milter.pid, 2)
        send(milter, signal.SIGHUP)
        milter.wait_for("configuration reloaded from")
        assert milter.stop() == 0


@as_root
def test_a_key_that_a_third_user_owns_stops_the_start(tmp_path):
    """RequireSafeKeys, for the user of UserID although root reads the key; as OpenDKIM."""
    open_path(tmp_path)
    key = tmp_path / "key"
    key.write_bytes(FILES["key"])
    key.chmod(0o600)
    os.chown(key, pwd.getpwnam("daemon").pw_uid, -1)
    conf = f"Domain example.com\nSelector s1\nKeyFile {key}\nUserID nobody\n"
    with pytest.raises(DidNotStart) as failure:
        DkimcoreMilter(conf).__enter__()
    assert failure.value.status == 78
    assert (
        f"{key} (mode 0600, daemon:root) belongs to neither root nor the user nobody, so its owner "
        f"can change it; run: chown nobody {key}"
    ) in failure.value.output


@as_root
def test_the_socket_must_be_the_users_to_make():
    with pytest.raises(DidNotStart) as failure:
        DkimcoreMilter(f"{SIGNING}UserID nobody\n", files=FILES).__enter__()
    assert failure.value.status == 69
    assert "belong to the user of UserID" in failure.value.output


class Confined(DkimcoreMilter):
    """A filter that sees its socket from another root directory than we do."""

    def command(self, conf, _socket_name):
        return super().command(conf, "local:/run/socket")


@as_root
def test_mail_is_served_from_another_root_directory(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", NOBODY.pw_uid, NOBODY.pw_gid)
    conf = (
        "Domain example.com\nSelector s1\nKeyFile {folder}/key\nPidFile /run/pid\nUserID nobody\n"
        f"ChangeRootDirectory {tmp_path}\n"
    )
    with Confined(conf, files=FILES, socket_name=f"local:{tmp_path}/run/socket") as milter:
        assert selector(deliver_to(milter)) == "s1"
        assert (tmp_path / "run" / "pid").read_text() == f"{milter.pid}\n"
        assert milter.stop() == 0
        assert os.listdir(tmp_path / "run") == []


def run_command(folder, conf, *, address):
    """Runs the command until it returns, without -f."""
    (folder / "conf").write_text(conf)
    (folder / "key").write_bytes(KEY)
    (folder / "key").chmod(0o600)
    return subprocess.run(
        [sys.executable, "-m", "dkimcore_milter", "-x", folder / "conf", "-p", address],
        stdout=subprocess.DEVNULL,  # the filter's own descriptors are its own affair
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


def test_in_the_background_the_command_returns_when_mail_is_served(tmp_path):
    conf = SIGNING.replace("{folder}", str(tmp_path))
    address = f"local:{tmp_path}/socket"
    done = run_command(tmp_path, conf, address=address)
    assert (done.returncode, done.stderr) == (0, "")
    pid = int((tmp_path / "pid").read_text())
    try:
        assert selector(deliver(address, MESSAGE, INSIDE)) == "s1"
        assert os.getsid(pid) == pid
        assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)] == [
            "/dev/null"
        ] * 3
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)
    assert sorted(os.listdir(tmp_path)) == ["conf", "key"]


def test_in_the_background_a_failure_is_the_commands(tmp_path):
    conf = SIGNING.replace("{folder}", str(tmp_path))
    done = run_command(tmp_path, conf, address="local:/no/such/directory/socket")
    assert done.returncode == 69
    assert "make the directory /no/such/directory" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["conf", "key"]


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


def words(receiver):
    """Returns the first word that is no ping."""
    while (word := receiver.recv(4096).decode().split("\n")[0]) == "WATCHDOG=1":
        pass
    return word


def test_a_service_manager_learns_of_each_state(manager):
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        said = manager.recv(4096).decode()
        assert said == f"READY=1\nMAINPID={milter.pid}\nSTATUS=serving"
        send(milter, signal.SIGHUP)
        assert words(manager) == "RELOADING=1"
        assert words(manager) == "READY=1"
        milter.stop()
        assert words(manager) == "STOPPING=1"


def test_a_watchdog_is_fed(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with DkimcoreMilter(SIGNING, files=FILES):
        pings = 0
        while pings < 3:
            pings += manager.recv(4096) == b"WATCHDOG=1"
