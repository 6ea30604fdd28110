"""A worker's loop over real sockets: many connections, slow ones, bad ones, and its end."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import socket
import threading
from queue import SimpleQueue

import pytest

from dkimcore.testing import EphemeralKey
from dkimcore_milter import channel as channels
from dkimcore_milter import loop as loops
from dkimcore_milter.conversation import Conversation
from dkimcore_milter.loop import Loop
from dkimcore_milter.meter import Board
from dkimcore_milter.metrics import Gauge
from dkimcore_milter.service import Service
from dkimcore_milter.threads import Threads
from dkimcore_milter.timers import Timers
from tests.milter.mta import FIELDS, message
from tests.milter.processes import descriptors
from tests.milter.site import Site
from tests.milter.test_conversation import TABLES, slow
from tests.servers.milterclient import Delivery, MilterClient, converse, deliver
from tests.servers.milterwire import MilterError, Outlook, pack

__all__ = ["slow"]  # a fixture

KEY = EphemeralKey.ed25519()
SIGNING = "Domain example.com\nSelector s1\nKeyFile key\n"
MESSAGE = b"From: a@example.com\r\nSubject: hi\r\n\r\nhello\r\n"
INSIDE = Delivery(host="localhost", address="127.0.0.1")
GONE = (MilterError, ConnectionError)


class Running:
    """A loop in a thread; `tell` lets it call something in its own thread."""

    def __init__(self, engine, path, *, board=None, row=0, **limits):
        self.log, self.address = [], f"unix:{path}"
        self.board = Board(1) if board is None else board
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        self._start(engine, listener, row, limits)

    def _start(self, engine, listener, row, limits):
        service = Service(
            engine=engine, log=self.log.append, meter=self.board.meter(row), inet=False
        )
        self._ours, self._theirs = socket.socketpair()
        self._calls = []
        self.loop = Loop(service, listener, **limits)
        self.loop.listen_to(self._theirs, self._obey)
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def _obey(self):
        self._theirs.recv(1)
        self._calls.pop(0)()
        self._theirs.send(b"!")

    def tell(self, call):
        self._calls.append(call)
        self._ours.send(b"!")
        assert self._ours.recv(1)

    def ask(self, question):
        answers = []
        self.tell(lambda: answers.append(question()))
        return answers[0]

    def wait_until_idle(self):
        while self.ask(lambda: self.loop.connections):
            pass  # each question is a turn of the loop

    def close(self):
        if self.thread.is_alive():
            self.tell(lambda: self.loop.finish(0.0))
        self.thread.join(30)
        assert not self.thread.is_alive()
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.key("key", KEY)
    return made


@pytest.fixture
def start(site, tmp_path):
    """Starts loops, and ends them."""
    with contextlib.ExitStack() as stack:

        def start(conf=SIGNING, **limits):
            path = str(tmp_path / f"sock{len(stack._exit_callbacks)}")
            running = Running(site.engine(conf), path, **limits)
            stack.callback(running.close)
            return running

        yield start


def greeted(running, **offered):
    client = MilterClient(running.address, timeout=30)
    client.negotiate(**offered)
    client.connect("localhost", "127.0.0.1")
    return client


def is_signed(outcome):
    return [change.name for change in outcome.changes] == [b"DKIM-Signature"]


def test_connections_have_their_turns(start):
    running = start()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(greeted(running)) for _ in range(20)]
        for client in clients:
            client.mail(b"<a@example.com>")
        for client in reversed(clients):
            assert is_signed(converse(client, MESSAGE, INSIDE))


def test_closed_connections_leave_nothing(start):
    running = start()
    deliver(running.address, MESSAGE, INSIDE)
    running.wait_until_idle()
    gc.collect()  # also what tests before this one left open
    before = len(descriptors(os.getpid()))
    gc.disable()
    try:
        for _ in range(50):
            assert is_signed(deliver(running.address, MESSAGE, INSIDE))
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as odd:
            odd.connect(running.address.removeprefix("unix:"))
            odd.sendall(b"\0\0\0\0")
            assert odd.recv(1) == b""
        running.wait_until_idle()
        # Without a collection: nothing that was closed is held by a cycle.
        assert not [thing for thing in gc.get_objects() if isinstance(thing, channels.Channel)]
    finally:
        gc.enable()
    assert len(descriptors(os.getpid())) == before
    assert running.board.meter(0).value(Gauge.CONNECTIONS) == 0


def test_as_many_connections_as_may_be(start):
    running = start(maximum=2)
    with greeted(running), greeted(running) as second, MilterClient(running.address) as third:
        third._socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            third.negotiate()
        second.close()
        third._socket.settimeout(30)
        assert third._receive()[0] == b"O"  # the answer to what it asked before
    (line,) = running.log
    assert (line.event, line.text[:13]) == ("connections-full", "2 connections")


def test_no_descriptor_is_left_for_a_while(start):
    running = start()
    with MilterClient(running.address, timeout=30) as first:
        first.negotiate()
        waiting = socket.socket(socket.AF_UNIX)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            waiting.connect(running.address.removeprefix("unix:"))
            while not running.log:
                first.abort()
                assert first.connect("localhost", "127.0.0.1").outlook is Outlook.CONTINUE
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        (line,) = running.log
        assert line.text == "cannot accept a connection: Too many open files"
        with waiting:
            waiting.settimeout(30)
            waiting.sendall(pack(b"O", b"\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"))
            assert waiting.recv(100)


def flood(sock, octets):
    """Sends until nobody reads any more; returns how many octets that were."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 50 * 1024 * 1024:
            sent += sock.send(octets[sent % len(octets) :])
    return sent


def test_one_that_reads_no_answers_is_read_from_no_more(start):
    running = start()
    with greeted(running) as greedy, greeted(running) as other:
        greedy._socket.settimeout(2)
        assert flood(greedy._socket, message() * 20) < 5 * 1024 * 1024
        assert is_signed(converse(other, MESSAGE, INSIDE))


def channel_of(running):
    (channel,) = running.loop._channels
    return channel


def narrow(running):
    """Lets few octets wait in the system for the MTA to read them."""
    sock = channel_of(running).sock
    running.ask(lambda: sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1))


def wait_for(running, question):
    while not running.ask(question):
        pass  # each question is a turn of the loop


def test_answers_after_a_wait_do_not_overtake_those_that_are_not_sent(start, slow):
    running = start(TABLES + "DkimcoreMaximumHeaderFields 5000\n")
    many = [*FIELDS, *[(b"", b"")] * 1100]
    with greeted(running, steps=0) as client:  # each field is answered, all of them in one turn
        converse(client, MESSAGE, INSIDE)  # the key is open now
        narrow(running)
        channel = channel_of(running)
        client._socket.sendall(message(many) + pack(b"H", b"x\0") * 1000)
        wait_for(running, lambda: channel._unsent is not None)
        wait_for(running, lambda: not channel.working)
        letters = [client._receive()[0] for _ in range(2 + len(many) + 4 + 1000)]
    before = 2 + len(many) + 2  # the envelope's, the fields', those of header's end and body
    assert letters == [b"c"] * before + [b"i", b"a"] + [b"c"] * 1000


def test_an_answer_does_not_overtake_progress_that_is_not_sent(start, slow, monkeypatch):
    running = start(TABLES, progress_seconds=0.0005)
    with greeted(running) as client:
        converse(client, MESSAGE, INSIDE)
        narrow(running)
        gate, channel = threading.Event(), channel_of(running)
        monkeypatch.setattr(slow, "GATE", gate.wait)
        client._socket.sendall(message())
        wait_for(running, lambda: channel._unsent is not None)
        gate.set()
        wait_for(running, lambda: not channel.working)
        letters = [client._receive()[0]]
        while letters[-1] != b"a":
            letters.append(client._receive()[0])
    told = letters.count(b"p")
    assert letters == [b"c", b"c", *[b"p"] * told, b"i", b"a"]


def test_a_slow_key_holds_up_nobody_else(start, slow, monkeypatch):
    running = start(TABLES + SIGNING.partition("\n")[0], progress_seconds=0.01)
    with greeted(running) as first, greeted(running) as second:
        converse(first, MESSAGE, INSIDE)
        gate = threading.Event()
        monkeypatch.setattr(slow, "GATE", gate.wait)
        outcomes = []
        mta = threading.Thread(target=lambda: outcomes.append(converse(first, MESSAGE, INSIDE)))
        mta.start()
        while first.progress == 0:
            second.mail(b"<a@example.com>")
            second.rcpt(b"<b@example.net>")
            second.header(b"From", b" x@example.org")
            assert second.eoh().outlook is not Outlook.TEMPFAIL
            second.abort()
        gate.set()
        mta.join(30)
    assert is_signed(outcomes[0])
    assert outcomes[0].progress > 0


def test_dead_name_servers_do_not_hold_up_slow_keys(start, slow):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.settimeout(30)
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        conf = f"{TABLES}Mode sv\nNameservers 127.0.0.1:{port}\nDNSTimeout 30\n"
        running = start(conf, threads=1)
        digest = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        signature = b" v=1; a=rsa-sha256; d=dead.example; s=s; h=from; b=AAAA; bh=" + digest
        with greeted(running) as ours, MilterClient(running.address, timeout=30) as other:
            other.negotiate()
            other.connect("mx.example.org", "192.0.2.1")
            other._socket.sendall(message([*FIELDS, (b"DKIM-Signature", signature)]))
            assert silent.recv(512)
            assert is_signed(converse(ours, MESSAGE, INSIDE))
            assert running.ask(lambda: any(each.working for each in running.loop._channels))


def test_one_that_goes_away_while_a_key_takes_its_time(start, slow, monkeypatch):
    running = start(TABLES, progress_seconds=0.01)
    deliver(running.address, MESSAGE, INSIDE)
    gate = threading.Event()
    monkeypatch.setattr(slow, "GATE", gate.wait)
    with greeted(running) as client:
        client._socket.sendall(message())
    running.wait_until_idle()  # telling it to wait shows that it is gone
    gate.set()
    monkeypatch.setattr(slow, "GATE", None)
    assert is_signed(deliver(running.address, MESSAGE, INSIDE))
    assert running.log == [] or all(line.event != "internal-error" for line in running.log)


def test_a_bug_ends_one_connection(start, monkeypatch):
    running = start()
    with greeted(running) as first, greeted(running) as second:

        def fail(*_arguments):
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(Conversation, "_handle", fail)
            with pytest.raises(GONE):
                first.eom()
        assert is_signed(converse(second, MESSAGE, INSIDE))
    (line,) = [line for line in running.log if line.event == "internal-error"]
    assert "RuntimeError: a bug" in line.text
    assert "Traceback" in line.fields["traceback"]


def test_one_that_says_nothing_for_hours_is_closed(start, monkeypatch):
    monkeypatch.setattr(loops, "_SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(loops, "IDLE_SECONDS", 0.05)
    running = start()
    with MilterClient(running.address, timeout=30) as client:
        assert client._socket.recv(1) == b""


def test_one_that_does_not_end_its_packet_is_closed(start, monkeypatch):
    monkeypatch.setattr(loops, "_SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(loops, "STUCK_SECONDS", 0.05)
    running = start()
    with greeted(running) as idle, greeted(running) as stuck:
        stuck._socket.sendall(pack(b"H", b"x\0")[:-1])
        assert stuck._socket.recv(1) == b""
        assert is_signed(converse(idle, MESSAGE, INSIDE))


def test_what_is_done_again_and_again_survives_a_bug(start, monkeypatch):
    monkeypatch.setattr(loops, "_SWEEP_SECONDS", 0.01)
    running = start()
    beats, beaten = [], threading.Event()

    def beat():
        beats.append(1)
        if len(beats) == 2:
            raise RuntimeError("a bug")
        if len(beats) == 4:
            beaten.set()

    running.tell(lambda: running.loop.every(0.01, beat))
    assert beaten.wait(30)
    (line,) = running.log
    assert "a bug" in line.text


def test_no_more_are_taken_and_the_rest_goes_on(start):
    running = start()
    with greeted(running) as client:
        running.tell(running.loop.stop_listening)
        with pytest.raises(ConnectionRefusedError):
            MilterClient(running.address)
        assert is_signed(converse(client, MESSAGE, INSIDE))
        assert running.thread.is_alive()
    running.thread.join(30)
    assert not running.thread.is_alive()


def test_at_the_end_a_message_under_way_is_answered(start):
    running = start()
    with greeted(running) as busy, greeted(running) as idle:
        busy._socket.sendall(message().removesuffix(pack(b"E")))
        assert busy._receive()[0] == b"c"
        assert busy._receive()[0] == b"c"
        running.tell(lambda: running.loop.finish(30.0))
        changes, reply = busy.eom()
        assert (len(changes), reply.outlook) == (1, Outlook.ACCEPT)
        running.thread.join(30)
        assert not running.thread.is_alive()
        assert idle._socket.recv(1) == b""


def test_workers_share_connections_evenly(site, tmp_path):
    board, path = Board(2), str(tmp_path / "sock")
    engine = site.engine(SIGNING)
    first = Running(engine, path, board=board, row=0)
    second = object.__new__(Running)
    second.log, second.address, second.board = [], first.address, board
    shared = first.ask(lambda: first.loop._acceptor._listener.dup())
    second._start(engine, shared, 1, {})
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(greeted(first))
            counts = [
                running.ask(lambda r=running: r.loop.connections) for running in (first, second)
            ]
        assert counts == [4, 4]
    finally:
        first.close()
        second.close()


class TestThreads:
    def test_more_calls_than_threads(self):
        threads, done = Threads(2), threading.Semaphore(0)
        barrier = threading.Barrier(2, timeout=30)
        for _ in range(10):
            threads.do(barrier.wait, lambda _: done.release())
        for _ in range(10):
            assert done.acquire(timeout=30)
        threads.end()

    def test_without_threads_the_caller_does_it(self, monkeypatch):
        def refuse(_thread):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        done = []
        Threads().do(threading.current_thread, done.append)
        assert done == [threading.current_thread()]

    def test_one_call_after_the_other_needs_one_thread(self):
        """A thread for each call that finds the last one's thread still returning is too much."""
        threads, answers = Threads(), SimpleQueue()
        seen = set()
        for _ in range(1000):
            assert threads.do(threading.current_thread, answers.put) is True
            seen.add(answers.get(timeout=30))
        assert len(seen) == 1
        threads.end()

    def test_what_waits_for_the_same_has_its_share(self):
        threads, answers, gate = Threads(4, share=2), SimpleQueue(), threading.Event()
        begun = threading.Semaphore(0)

        def dead():
            begun.release()
            return gate.wait(30)

        free = [threads.do(dead, answers.put, group="dead.example") for _ in range(20)]
        assert free == [True] * 2 + [False] * 18
        for number in range(20):
            assert threads.do(lambda n=number: n, answers.put, group=f"{number}.example")
            assert answers.get(timeout=30) == number
        assert begun.acquire(timeout=30)
        assert begun.acquire(timeout=30)
        assert not begun.acquire(blocking=False)
        gate.set()
        assert [answers.get(timeout=30) for _ in range(20)] == [True] * 20
        assert threads._groups == {}
        threads.end()

    def test_a_call_without_a_free_thread_waits(self):
        threads, answers, gate = Threads(1), SimpleQueue(), threading.Event()
        assert threads.do(lambda: gate.wait(30), answers.put) is True
        assert threads.do(lambda: "second", answers.put) is False
        gate.set()
        assert [answers.get(timeout=30) for _ in range(2)] == [True, "second"]
        threads.end()


def test_timers_call_what_is_due():
    timers, called = Timers(), []
    first, second = lambda: called.append(1), lambda: called.append(2)
    timers.set(first, 10.0)
    timers.set(second, 20.0)
    timers.run(9.0)
    assert (timers.next, called) == (10.0, [])
    timers.set(first, 15.0)
    timers.run(15.0)
    timers.run(15.0)
    assert called == [1]
    timers.stop(second)
    timers.run(100.0)
    assert (timers.next, called) == (float("inf"), [1])
