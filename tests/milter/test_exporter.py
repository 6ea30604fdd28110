"""The process that serves metrics and health: what it says, whom it serves, how it ends."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from dkimcore.testing import EphemeralKey
from dkimcore_milter.crew import Crew
from dkimcore_milter.failure import StartFailure
from dkimcore_milter.meter import Board
from dkimcore_milter.metrics import Gauge
from dkimcore_milter.scrape import AT_ONCE, REQUEST_OCTETS, ScrapeServer
from tests.milter.processes import children, wait_until_gone
from tests.milter.scraping import fetch, healthz, scrape, wait_until
from tests.servers.dkimcoremilter import DidNotStart, DkimcoreMilter
from tests.servers.milterclient import Delivery, deliver
from tests.servers.nsd import free_port

FILES = {"key": EphemeralKey.ed25519().private_pem()}
CONF = (
    "KeyFile {folder}/key\nDomain example.com\nSelector s1\n"
    "DkimcoreMetrics local:{folder}/metrics\n"
)
INSIDE = Delivery(host="localhost", address="127.0.0.1")
MESSAGE = b"From: a@example.com\r\nSubject: hi\r\n\r\nhello\r\n"


def metrics_of(milter):
    return f"local:{milter.folder}/metrics"


def sign(milter):
    """Delivers a message, which is signed."""
    assert len(deliver(milter.address, MESSAGE, INSIDE).changes) == 1


def worker(milter):
    """Returns the process id of the only worker, which the exporter is not."""
    found = wait_until(lambda: [pid for pid in children(milter.pid) if listens(pid, milter)])
    assert len(found) == 1
    return found[0]


def listens(pid, milter, path=None):
    """Whether a process holds the filter's own listening socket."""
    path = path or f"{milter.folder}/socket"
    with open("/proc/net/unix") as lines:
        rows = [line.split() for line in lines]
    inodes = {row[6] for row in rows if row[-1] == path and row[5] == "01"}
    return bool({f"socket:[{inode}]" for inode in inodes} & set(links(pid)))


def links(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue


def test_nothing_is_served_unless_asked_for():
    conf = CONF.replace("DkimcoreMetrics", "# ")
    with DkimcoreMilter(conf, files=FILES) as milter:
        assert len(children(milter.pid, 1)) == 1


def test_metrics_over_tcp():
    address = f"inet:{free_port()}@127.0.0.1"
    conf = CONF.replace("local:{folder}/metrics", address)
    with DkimcoreMilter(conf, files=FILES, workers=2) as milter:
        wait_until(lambda: healthz(address)[1]["accepting"] == 2)
        found = scrape(address)
        for row in "12":
            assert found["worker_resident_memory_bytes", row] > 2**20
            assert 3 < found["worker_open_descriptors", row] < 50
            assert found["worker_silent_seconds", row] >= 0
        assert found["worker_starts_total"] == 2
        assert found["start_time_seconds"] == found["last_reload_timestamp_seconds"] > 1.7e9
        assert milter.stop() == 0
        with pytest.raises(OSError, match="refused"):
            fetch(address, "/metrics")


def test_other_requests_get_an_error():
    with DkimcoreMilter(CONF, files=FILES) as milter:
        assert fetch(metrics_of(milter), "/")[0] == 404
        assert fetch(metrics_of(milter), "/metrics/../healthz")[0] == 404
        assert fetch(metrics_of(milter), "/metrics?name=x")[0] == 200
        assert fetch(metrics_of(milter), "/metrics", method="POST")[0] == 501
        assert milter.output() == ""


def test_health_tells_of_a_failed_reload_and_does_not_fail():
    with DkimcoreMilter(CONF, files=FILES) as milter:
        address = metrics_of(milter)
        good = {"status": "ok", "accepting": 1, "last_reload": "success"}
        wait_until(lambda: healthz(address) == (200, good))
        conf = milter.folder / "filter.conf"
        text = conf.read_text()
        conf.write_text(f"{text}\nNonsense yes\n")
        os.kill(milter.pid, signal.SIGHUP)
        milter.wait_for("the old configuration stays")
        bad = {"status": "ok", "accepting": 1, "last_reload": "failure"}
        wait_until(lambda: healthz(address) == (200, bad))
        before = scrape(address)
        assert before["reloads_total", "failure"] == 1
        assert before["last_reload_success"] == 0
        conf.write_text(text)
        os.kill(milter.pid, signal.SIGHUP)
        milter.wait_for("configuration reloaded")
        wait_until(lambda: healthz(address) == (200, good))
        after = scrape(address)
        assert after["reloads_total", "success"] == 1
        assert after["last_reload_timestamp_seconds"] > before["last_reload_timestamp_seconds"]


def test_counts_survive_a_reload_and_a_killed_worker():
    with DkimcoreMilter(f"{CONF}AutoRestart yes\n", files=FILES) as milter:
        address = metrics_of(milter)
        sign(milter)
        sign(milter)
        wait_until(lambda: scrape(address)["connections_accepted_total"] >= 2)
        before = scrape(address)
        os.kill(worker(milter), signal.SIGKILL)
        milter.wait_for("terminated with signal 9, restarting")
        sign(milter)
        os.kill(milter.pid, signal.SIGHUP)
        milter.wait_for("configuration reloaded")
        sign(milter)
        after = scrape(address)
        accepted = "connections_accepted_total"
        assert after[accepted] >= before[accepted] + 2
        assert before["messages_total", "sign", "accept"] == 2
        assert after["messages_total", "sign", "accept"] == 4
        assert after["signatures_made_total", "ed25519"] == 4
        assert after["worker_deaths_total", "signal"] == 1
        assert after["worker_restarts_total"] == 1
        assert after["worker_starts_total"] == 3
        assert after["workers_accepting"] == 1


def test_without_it_mail_goes_on_and_it_comes_back():
    with DkimcoreMilter(CONF, files=FILES) as milter:
        address = metrics_of(milter)
        wait_until(lambda: scrape(address))
        for _ in range(2):
            (victim,) = [pid for pid in children(milter.pid, 2) if not listens(pid, milter)]
            os.kill(victim, signal.SIGKILL)
            sign(milter)
            wait_until(lambda: scrape(address))
        assert scrape(address)["exporter_deaths_total"] == 2
        assert milter.wait_for("exporter")["event"] == "exporter-died"
        assert len(children(milter.pid, 2)) == 2
        assert milter.stop() == 0


def test_it_ends_with_a_killed_supervisor():
    with DkimcoreMilter(CONF, files=FILES) as milter:
        wait_until(lambda: scrape(metrics_of(milter)))
        pids = children(milter.pid, 2)
        os.kill(milter.pid, signal.SIGKILL)
        for pid in pids:
            wait_until_gone(pid)


def test_an_end_removes_the_socket():
    with DkimcoreMilter(CONF, files=FILES) as milter:
        wait_until(lambda: scrape(metrics_of(milter)))
        pids = children(milter.pid, 2)
        assert milter.stop() == 0
        for pid in pids:
            wait_until_gone(pid)
        assert "metrics" not in os.listdir(milter.folder)


@pytest.mark.parametrize(
    ("value", "status", "text"),
    [
        ("inet:9115@192.0.2.1", 69, "DkimcoreMetrics: can't open the socket inet:9115@192.0.2.1"),
        ("local:/nowhere/metrics", 69, "make the directory /nowhere"),
        ("9115", 78, 'DkimcoreMetrics "9115": a port needs its kind'),
    ],
)
def test_a_socket_that_cannot_be_had_is_said_at_the_start(value, status, text):
    conf = CONF.replace("local:{folder}/metrics", value)
    with pytest.raises(DidNotStart) as caught, DkimcoreMilter(conf, files=FILES):
        pass
    assert caught.value.status == status
    assert text in caught.value.output


@pytest.fixture
def serving():
    """A server with little patience, and its address."""
    board = Board(2)
    board.meter(1).set(Gauge.ACCEPTING, 1)
    board.meter(1).set(Gauge.HEARTBEAT, time.monotonic())
    supervised = [True]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = ScrapeServer(
            listener, board=board, is_supervised=lambda: supervised[0], seconds=0.5
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"inet:{port}@127.0.0.1", supervised
        server.shutdown()
        thread.join()


def client(address):
    port = int(address.split(":")[1].split("@")[0])
    return socket.create_connection(("127.0.0.1", port), 30)


def test_health_fails_without_a_supervisor(serving):
    address, supervised = serving
    assert healthz(address)[0] == 200
    supervised[0] = False
    assert healthz(address)[0] == 503


def test_a_slow_request_is_cut_off_even_if_octets_keep_coming(serving):
    with client(serving[0]) as slow:
        slow.settimeout(0.05)
        for _ in range(200):
            try:
                slow.send(b"G")
                if slow.recv(1000) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return  # reset: it was closed before
    pytest.fail("it was served for 10 seconds")


def test_a_request_without_end_is_not_read_to_its_end(serving):
    with client(serving[0]) as endless:
        sent = 0
        endless.settimeout(30)
        with contextlib.suppress(ConnectionError):  # it was closed meanwhile
            while sent < 100 * 2**20:
                sent += endless.send(b"x" * REQUEST_OCTETS)
        assert sent < 50 * 2**20  # what the buffers of two sockets hold


@pytest.mark.parametrize(
    "request_line", [b"<b>&\x1b[31m /metrics HTTP/1.0", b"GET x <b>", b"<b>", b"GET / HTTP/<b>"]
)
def test_an_error_does_not_repeat_what_the_client_wrote(serving, request_line):
    with client(serving[0]) as odd:
        odd.sendall(request_line + b"\r\n\r\n")
        answer = b"".join(iter(lambda: odd.recv(4096), b""))
    assert answer
    assert b"<b>" not in answer
    assert b"\x1b" not in answer


@contextlib.contextmanager
def coming_back(address, number, *, said=b""):
    """So many clients that do no more than say something, and connect again when closed."""
    ended = threading.Event()

    def come_back():
        while not ended.is_set():
            with contextlib.suppress(OSError), client(address) as idle:
                connected.release()
                idle.sendall(said)
                while idle.recv(1000):
                    pass

    connected = threading.Semaphore(0)
    threads = [threading.Thread(target=come_back) for _ in range(number)]
    for thread in threads:
        thread.start()
    for _ in range(2 * number):  # until they came back
        connected.acquire()
    yield
    ended.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("said", [b"", b"GET /metrics HTTP/1.0\r\nHost: "])
@pytest.mark.parametrize("number", [9, 2 * AT_ONCE])
def test_idle_clients_do_not_keep_others_away(serving, number, said):
    address, _ = serving
    with coming_back(address, number, said=said):
        for _ in range(20):
            assert healthz(address)[0] == 200


def test_clients_that_read_no_answer_do_not_keep_others_away(serving):
    address, _ = serving
    with contextlib.ExitStack() as stack:
        for _ in range(2 * AT_ONCE):
            deaf = stack.enter_context(client(address))
            deaf.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        for _ in range(20):
            assert healthz(address)[0] == 200


class Confined(DkimcoreMilter):
    """A filter that sees its sockets from another root directory than we do."""

    def command(self, conf, _socket_name):
        return super().command(conf, "local:/run/socket")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its root directory")
def test_metrics_from_another_root_directory_and_user(tmp_path):
    tmp_path.chmod(0o755)
    run = tmp_path / "run"
    run.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(run, nobody.pw_uid, nobody.pw_gid)
    conf = CONF.replace("local:{folder}/metrics", "local:/run/metrics")
    conf += f"UserID nobody\nChangeRootDirectory {tmp_path}\n"
    with Confined(conf, files=FILES, socket_name=f"local:{run}/socket") as milter:
        sign(milter)
        found = scrape(f"local:{run}/metrics")
        assert found["messages_total", "sign", "accept"] == 1
        assert found["signatures_made_total", "ed25519"] == 1
        assert (run / "metrics").stat().st_uid == nobody.pw_uid
        # Who dies here is started again without Python's files.
        for pid in children(milter.pid, 2):
            if not listens(pid, milter, "/run/socket"):
                os.kill(pid, signal.SIGKILL)
        milter.wait_for("exporter-died")
        wait_until(lambda: scrape(f"local:{run}/metrics")["exporter_deaths_total"] == 1)


def test_no_two_workers_count_in_one_row():
    crew = Crew(Board(4))
    members = crew._members
    for row in (1, 2, 3):
        assert crew._free_row() == row
        members.append(SimpleNamespace(row=row))
    with pytest.raises(StartFailure, match="3 workers are too many"):
        crew._free_row()
    members.remove(SimpleNamespace(row=2))
    assert crew._free_row() == 2
