"""The limits of a worker, in a real one: connections, threads, memory; what waits is not lost."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import sys
import threading
import urllib.request

import pytest

from dkimcore.testing import EphemeralKey
from tests.milter.processes import children, wait_until_gone
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import Delivery, MilterClient, converse
from tests.servers.milterwire import Outlook
from tests.servers.nsd import free_port
from tests.servers.postfix import wait_until

FILES = {"key": EphemeralKey.ed25519().private_pem()}
SIGNING = "KeyFile {folder}/key\nDomain example.com\nSelector s1\n"
INSIDE = Delivery(host="localhost", address="127.0.0.1")
MESSAGE = b"From: a@example.com\r\nSubject: hi\r\n\r\nhello\r\n"
SIGNED = (
    b"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=%b; h=from; bh=47DEQpj8HBSa+/TImW+5JCeu"
    b"QeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n" + MESSAGE
)
MIB = 1 << 20


class Measured(DkimcoreMilter):
    """A milter that serves metrics."""

    def __init__(self, conf, **options):
        self.port = free_port()
        metrics = f"DkimcoreMetrics inet:{self.port}@127.0.0.1\n"
        super().__init__(conf + metrics, **options)

    def hits(self, limit):
        """How often a limit was reached."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        start = f'dkimcore_milter_limits_hit_total{{limit="{limit}"}} '
        (line,) = [line for line in lines if line.startswith(start)]
        return float(line.removeprefix(start))


def signed(client):
    outcome = converse(client, MESSAGE, INSIDE)
    return [change.name for change in outcome.changes] == [b"DKIM-Signature"]


def begin(client):
    """Begins a message."""
    client.negotiate()
    client.connect("localhost", "127.0.0.1")
    client.mail(b"<a@example.com>")
    client.rcpt(b"<b@example.net>")
    client.header(b"From", b" a@example.com")


def end(client):
    """Ends it; whether it is signed."""
    client.eoh()
    client.body(b"hello\r\n")
    changes, reply = client.eom()
    assert reply.outlook is Outlook.ACCEPT
    return [change.name for change in changes] == [b"DKIM-Signature"]


def test_connections():
    """The third waits until another one goes; none is refused."""
    conf = SIGNING + "DkimcoreMaximumConnections 2\n"
    with Measured(conf, files=FILES) as milter:
        first, second = MilterClient(milter.address), MilterClient(milter.address)
        begin(first)
        begin(second)
        third = MilterClient(milter.address)
        third.macros(b"C", {})
        line = milter.wait_for("connections-full")
        assert line["text"] == "2 connections, which is as many as may be: others have to wait"
        assert milter.hits("connections") >= 1  # the probe at the start may have been the second
        assert end(first)
        first.close()
        third.negotiate()
        assert signed(third)
        third.close()
        assert end(second)
        second.close()


def test_threads():
    """One thread waits for a name server that says nothing; the other message waits for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        conf = f"Mode v\nDkimcoreMaximumThreads 1\nNameservers 127.0.0.1:{port}\nDNSTimeout 1\n"
        with Measured(conf) as milter:
            found = []

            def send(number):
                with MilterClient(milter.address) as client:
                    client.negotiate()
                    delivery = Delivery(queue_id=f"Q{number}")
                    outcome = converse(client, SIGNED % b"s%d" % number, delivery)
                    found.append(outcome.replies[-1][1].smtp)

            senders = [threading.Thread(target=send, args=(number,)) for number in range(2)]
            for sender in senders:
                sender.start()
            line = milter.wait_for('"threads"')
            assert line["event"] == "limit-reached"
            assert line["job_id"] in ("Q0", "Q1")
            for sender in senders:
                sender.join()
            assert len(found) == 2
            assert all(reply.startswith("4") for reply in found)  # On-DNSError
            assert milter.hits("threads") == 1


class Confined(DkimcoreMilter):
    """A filter that sees its socket from another root directory than we do."""

    def command(self, conf, _socket_name):
        return super().command(conf, "local:/run/socket")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root directory")
def test_memory_without_proc(tmp_path):
    """With ChangeRootDirectory the most that a worker had counts."""
    nobody = pwd.getpwnam("nobody")
    tmp_path.chmod(0o755)
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", nobody.pw_uid, nobody.pw_gid)
    conf = f"{SIGNING}UserID nobody\nChangeRootDirectory {tmp_path}\nDkimcoreMaximumMemory 16\n"
    with Confined(conf, files=FILES, socket_name=f"local:{tmp_path}/run/socket") as milter:
        (first,) = children(milter.pid, 1)
        clients = [grown(milter) for _ in range(40)]
        milter.wait_for("memory-full", timeout=20)
        assert first in children(milter.pid, 2)
        for client in clients:
            client.close()
        assert first not in children(milter.pid, 1)


def grown(milter):
    """A connection with a packet of 1 MiB, but for its last octet."""
    client = MilterClient(milter.address)
    begin(client)
    client.eoh()
    client._socket.sendall(MIB.to_bytes(4, "big") + b"B" + bytes(MIB - 2))
    return client


class Impatient(DkimcoreMilter):
    """A filter whose workers, when they are relieved, keep their connections for a second."""

    def command(self, conf, socket_name):
        code = (
            "import sys; from dkimcore_milter import worker; worker._RELIEF_SECONDS = 1.0; "
            "from dkimcore_milter.command import main; sys.exit(main())"
        )
        _, _, _, *arguments = super().command(conf, socket_name)
        return [sys.executable, "-c", code, *arguments]


def is_cut(client):
    """Waits until a connection is closed from the other side."""
    try:
        return client._socket.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_relieved_worker_ends_after_a_time():
    """Messages that are never ended do not keep its memory."""
    conf = SIGNING + "DkimcoreMaximumMemory 16\n"
    with Impatient(conf, files=FILES) as milter, contextlib.ExitStack() as stack:
        (first,) = children(milter.pid, 1)
        clients = [stack.enter_context(grown(milter)) for _ in range(40)]
        milter.wait_for("memory-full", timeout=20)
        wait_until_gone(first)
        assert all(is_cut(client) for client in clients)
        children(milter.pid, 1)
        with MilterClient(milter.address) as late:
            late.negotiate()
            assert signed(late)
        assert "worker-died" not in str(milter.log())


def test_workers_filled_one_after_the_other_do_not_add_up():
    """There are as many that were relieved as there are that serve; the oldest ends for another."""
    conf = SIGNING + "DkimcoreMaximumMemory 16\n"
    with DkimcoreMilter(conf, files=FILES) as milter, contextlib.ExitStack() as stack:
        clients, workers = [], set(children(milter.pid, 1))
        for number in range(1, 5):
            clients.append([stack.enter_context(grown(milter)) for _ in range(40)])
            wait_until(
                lambda number=number: str(milter.log()).count("memory-full") == number, "relief"
            )
            count = min(2, number + 1)
            assert len(children(milter.pid, count)) == count
            workers.update(children(milter.pid))
            if number > 1:
                assert all(is_cut(client) for client in clients[number - 2])
        assert len(workers) == 5
        with MilterClient(milter.address) as late:
            late.negotiate()
            assert signed(late)


def test_memory():
    """A worker that has grown is replaced; what it has begun it ends."""
    conf = SIGNING + "DkimcoreMaximumMemory 16\n"
    with Measured(conf, files=FILES) as milter:
        before = set(children(milter.pid, 2))  # the worker, and what serves the metrics
        clients = [grown(milter) for _ in range(40)]
        line = milter.wait_for("memory-full", timeout=20)
        assert line["text"].endswith("MiB, 16 allowed: another worker takes the place of this one")
        assert milter.hits("memory") == 1
        (successor,) = set(children(milter.pid, 3)) - before
        with MilterClient(milter.address) as late:
            late.negotiate()
            assert signed(late)
        for client in clients:
            client._socket.sendall(b"\0")
            assert client._answer().outlook is Outlook.CONTINUE
            changes, reply = client.eom()
            assert reply.outlook is Outlook.ACCEPT
            assert [change.name for change in changes] == [b"DKIM-Signature"]
            client.close()
        assert successor in children(milter.pid, 2)
        assert len(before & set(children(milter.pid))) == 1
        assert "worker-died" not in str(milter.log())
