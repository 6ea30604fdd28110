"""Turns: threads and forked processes take them one after another."""

from __future__ import annotations

import os
import threading
import time

import pytest

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.turns import Turns
from tests.forked import child_doing, fork, succeeded


def soon(seconds=20.0):
    return time.monotonic() + seconds


def test_threads_take_them_one_after_another():
    turns, inside, most = Turns(), [], []

    def work():
        for _ in range(50):
            with turns.taken("token", soon(), uri="x:y"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (400, 1)


def test_another_name_does_not_wait():
    turns = Turns()
    with turns.taken("one", soon(), uri="x:y"), turns.taken("other", soon(), uri="x:y"):
        pass


@pytest.mark.parametrize("is_forked", [False, True])
def test_who_waits_has_an_end(is_forked):
    turns = Turns()
    turns.share()
    with turns.taken("token", soon(), uri="x:y"):
        if not is_forked:
            assert is_refused(turns)
            return
        assert succeeded(child_doing(lambda: is_refused(turns)))


def is_refused(turns):
    try:
        with turns.taken("token", soon(0.05), uri="x:y"):
            return False
    except KeyUnavailable as exc:
        return exc.uri == "x:y"


def test_a_process_that_dies_in_its_turn_gives_it_back():
    turns = Turns()
    turns.share()
    child = fork()
    if child == 0:
        with turns.taken("token", soon(), uri="x:y"):
            os._exit(0)
    os.waitpid(child, 0)
    with turns.taken("token", soon(), uri="x:y"):
        pass


def test_a_child_that_was_forked_in_a_turn_can_have_the_next():
    """Its parent's thread is not there to end it."""
    turns = Turns()
    turns.share()
    read, write = os.pipe()

    def work():
        os.read(read, 1)
        with turns.taken("token", soon(), uri="x:y"):
            pass

    with turns.taken("token", soon(), uri="x:y"):
        child = child_doing(work)
    os.write(write, b"!")
    assert succeeded(child)
    os.close(read)
    os.close(write)


def test_without_shared_memory_threads_take_turns(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    turns = Turns()
    with turns.taken("token", soon(), uri="x:y"):
        assert is_refused(turns)
    with turns.taken("token", soon(), uri="x:y"):
        pass


def test_an_offer_is_not_insisted_on():
    turns = Turns()
    with turns.taken("token", soon(), uri="x:y"), turns.offered("token", 0.01):
        pass
    with turns.offered("token", 0.01):
        assert is_refused(turns)


def test_what_fails_in_an_offered_turn_is_raised():
    turns = Turns()
    with pytest.raises(KeyUnavailable, match="away"), turns.offered("token", 1.0):
        raise KeyUnavailable("away", uri="x:y")
    with turns.taken("token", soon(0.0), uri="x:y"):
        pass
