"""A few threads open keys, and none is left when there is nothing to open for a while."""

from __future__ import annotations

import threading
import weakref

from dkimcore.keys.opening import Openers
from tests.keys.remotes import Gate, eventually, threads_named


def ours():
    return threads_named("opens keys")


def test_no_more_at_once_than_allowed_and_all_in_the_end():
    openers, gate, done = Openers(3, linger=0.05), Gate(), threading.Semaphore(0)

    def work():
        gate(None)
        done.release()

    eventually(lambda: not ours())
    for _ in range(10):
        assert openers.begin(work)
    gate.await_calls(3)
    assert not gate.entered.acquire(timeout=0.05)
    assert len(ours()) == 3
    gate.open()
    for _ in range(10):
        assert done.acquire(timeout=30)
    eventually(lambda: not ours())


def test_one_stays_for_the_next_key_and_keeps_nothing_of_the_last():
    openers, threads = Openers(1, linger=30), []
    for _ in range(3):
        done = threading.Event()

        def work(done=done):
            threads.append(threading.current_thread())
            done.set()

        gone = weakref.ref(work)
        assert openers.begin(work)
        del work
        assert done.wait(30)
        eventually(lambda gone=gone: gone() is None)
    assert len(set(threads)) == 1


def test_what_raises_does_not_keep_the_next_from_being_opened():
    openers, done = Openers(1), threading.Event()

    def broken():
        raise SystemExit

    openers.begin(broken)
    openers.begin(done.set)
    assert done.wait(30)


def test_where_the_system_has_no_thread_that_is_said(monkeypatch):
    openers, gate, done = Openers(2), Gate(), threading.Event()

    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert not openers.begin(lambda: None)
    assert openers.begin(lambda: gate(None))
    gate.await_calls()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert openers.begin(done.set)  # the one that there is does it
    gate.open()
    assert done.wait(30)
