"""A worker's loop and keys that are kept elsewhere: many messages wait, and no thread for each."""

from __future__ import annotations

import contextlib
import threading

import pytest

from dkimcore_milter.loop import Loop
from tests.milter import farkeys
from tests.milter.mta import message
from tests.milter.test_loop import (
    INSIDE,
    MESSAGE,
    greeted,
    is_signed,
    site,
    start,
    wait_for,
)
from tests.servers.milterclient import converse, deliver
from tests.servers.milterwire import Outlook, pack

__all__ = ["site", "start"]  # fixtures

TABLES = "KeyTable csl:k=example.com:s1:far:one/k,o=example.com:s2:far:two/o\n"
TABLES += "SigningTable csl:example.com=k\n"
COUNT = 40


@pytest.fixture
def far(tmp_path, monkeypatch):
    with farkeys.installed(tmp_path / "packages", monkeypatch) as service:
        yield service


@pytest.fixture
def waiting(start, far):
    """A loop, and messages on as many connections whose keys are being asked."""
    with contextlib.ExitStack() as stack:

        def waiting(count=COUNT, conf="", **limits):
            running = start(TABLES + conf, **limits)
            deliver(running.address, MESSAGE, INSIDE)  # the key is open now
            running.wait_until_idle()
            far.gate.clear()
            while far.called.acquire(blocking=False):
                pass
            clients = [stack.enter_context(greeted(running)) for _ in range(count)]
            for client in clients:
                client._socket.sendall(message())
            loop = running.loop
            wait_for(running, lambda: sum(each.working for each in loop._channels) == count)
            return running, clients

        yield waiting


def answers(client):
    """The letters of what a filter says, up to its verdict."""
    letters = [client._receive()[0]]
    while letters[-1] not in (b"a", b"y"):
        letters.append(client._receive()[0])
    return b"".join(letters)


def test_no_message_takes_a_thread(waiting, far):
    before = threading.active_count()
    running, clients = waiting()
    threads = threading.active_count() - before
    assert threads <= 1 + 16 + 4  # the loop's, the endpoint's, and a few that keep time
    assert running.loop._key_threads._count <= 1  # which opened the key
    assert running.loop._dns_threads._count == 0
    far.gate.set()
    for client in clients:
        assert answers(client) == b"cci" + b"a"
    # What came while the first calls were under way shared the next ones.
    assert len(far.calls) < COUNT


def test_those_that_wait_hold_up_nobody(waiting, far):
    running, _clients = waiting()
    with greeted(running) as other:
        other.mail(b"<a@example.org>")
        other.header(b"From", b" x@example.org")
        assert other.eoh().outlook is not Outlook.TEMPFAIL
        other.abort()
    assert running.loop._key_threads._busy == 0


def test_results_that_come_together_wake_the_loop_once(waiting, far, monkeypatch):
    far.batch = 1000
    taken, turns = [], []

    def take(self):
        turns.append(len(self._results))
        real(self)

    real = Loop._take_results
    running, clients = waiting(conf="")
    monkeypatch.setattr(Loop, "_take_results", take)
    hold, held = threading.Event(), threading.Event()

    def pause():
        held.set()
        hold.wait(30)

    # While the loop is busy, all answers come.
    telling = threading.Thread(target=running.tell, args=(pause,))
    telling.start()
    assert held.wait(30)
    far.gate.set()
    while len(running.loop._results) < COUNT:
        pass
    hold.set()
    telling.join(30)
    for client in clients:
        taken.append(answers(client))
    assert turns == [COUNT]
    assert taken == [b"ccia"] * COUNT


def test_mtas_are_told_that_it_goes_on(waiting, far):
    _running, clients = waiting(2, progress_seconds=0.01)
    for client in clients:
        assert client._receive()[0] == b"c"
        assert client._receive()[0] == b"c"
        assert client._receive()[0] == b"p"
    far.gate.set()
    for client in clients:
        assert answers(client).replace(b"p", b"") == b"ia"


def test_connections_that_are_closed_meanwhile(waiting, far):
    running, clients = waiting(8, progress_seconds=0.01)
    for client in clients:
        client.close()
    running.wait_until_idle()  # telling them to wait shows that they are gone
    engine = running.loop._service.engine
    assert engine._users == 8  # their sessions end with the answers
    far.gate.set()
    wait_for(running, lambda: engine._users == 0)
    assert is_signed(deliver(running.address, MESSAGE, INSIDE))
    assert [line for line in running.log if line.event == "internal-error"] == []


def test_an_abort_that_came_meanwhile(waiting, far):
    _running, (client,) = waiting(1)
    client._socket.sendall(pack(b"A") + message())
    far.gate.set()
    assert answers(client) == b"ccia"
    assert answers(client) == b"ccia"


def test_at_the_end_they_are_answered(waiting, far):
    running, (client,) = waiting(1)
    running.tell(lambda: running.loop.finish(30.0))
    far.gate.set()
    assert answers(client) == b"ccia"
    running.thread.join(30)
    assert not running.thread.is_alive()


def test_at_the_end_those_that_take_too_long_are_not_waited_for(waiting, far):
    running, (_client,) = waiting(1)
    running.tell(lambda: running.loop.finish(0.05))
    running.thread.join(30)
    assert not running.thread.is_alive()
    far.gate.set()


def test_a_full_queue_is_said_at_once(waiting, far, tmp_path):
    far.batch = 1
    (tmp_path / "keys.toml").write_text('[backend.x]\ntype = "far"\nthreads = 1\nqueue = 1\n')
    conf = f"DkimcoreKeyBackends {tmp_path}/keys.toml\n"
    running, (first,) = waiting(1, conf=conf)
    assert far.called.acquire(timeout=30)  # it is in the call and not in the queue
    with greeted(running) as second, greeted(running) as third:
        second._socket.sendall(message())
        wait_for(running, lambda: sum(each.working for each in running.loop._channels) == 2)
        outcome = converse(third, MESSAGE, INSIDE)
        assert outcome.reply.smtp == "451 4.7.5 resource unavailable"
        far.gate.set()
        assert answers(first) == answers(second) == b"ccia"


def test_another_key_signs_instead_and_is_waited_for_by_a_thread(waiting, far):
    other = farkeys.service("two")
    other.gate.clear()
    running, (client,) = waiting(
        1, conf="DkimcoreOnKeyFailure csl:*=fallback:o\n", progress_seconds=0.01
    )
    far.fail()
    far.gate.set()
    assert other.called.acquire(timeout=30)  # it is opened, and tested
    with greeted(running) as third:
        third.mail(b"<a@example.org>")
        third.abort()
    other.gate.set()
    assert answers(client).replace(b"p", b"") == b"ccia"
