"""Signatures are given up at their deadlines, in whatever order these come."""

from __future__ import annotations

import threading
import time

import pytest

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.patience import Patience
from dkimcore.keys.pending import PendingSignature
from dkimcore.keys.schedule import Schedule
from tests.lineartime import is_linear


@pytest.fixture
def patience():
    expiry = Schedule("test-expiry")
    yield Patience(expiry)
    expiry.close()


def pending(seconds):
    return PendingSignature(bytes(32), uri="acme:k", deadline=time.monotonic() + seconds)


def done(one):
    event = threading.Event()
    one.when_done(event.set)
    return event


def test_a_signature_is_given_up_at_its_deadline(patience):
    one = pending(0.05)
    patience.add(one)
    assert done(one).wait(30)
    assert time.monotonic() >= one.deadline
    with pytest.raises(KeyUnavailable, match="before the deadline"):
        one.result()


def test_one_that_is_impatient_does_not_wait_for_those_before_it(patience):
    late, early = pending(60), pending(0.02)
    patience.add(late)
    patience.add(early)
    assert done(early).wait(5)
    assert not late.done


def test_many_in_any_order_are_given_up_none_early(patience):
    many = [pending(number * 37 % 50 / 500) for number in range(500)]
    early = []

    def look(one):
        if time.monotonic() < one.deadline:
            early.append(one)

    for one in many:
        one.when_done(lambda one=one: look(one))
        patience.add(one)
    assert all(done(one).wait(30) for one in many)
    assert early == []
    assert len(patience) == 0


def test_what_is_settled_is_not_kept_behind_what_is_waited_for(patience):
    """A backend that is dead for long costs no memory for signatures that came or were refused."""
    patience.add(pending(600))
    for _ in range(20_000):
        one = pending(300)
        patience.add(one)
        one.settle(b"")
    assert len(patience) < 1000


def test_what_is_settled_already_is_not_waited_for(patience):
    one = pending(600)
    one.settle(b"")
    patience.add(one)
    assert len(patience) == 0


def test_where_the_system_had_no_thread_once_the_next_signature_brings_it(patience, monkeypatch):
    """Whatever the deadline of that one is."""
    first, second = pending(0.05), pending(60)

    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        patience.add(first)
    patience.add(second)
    assert done(first).wait(10)
    assert not second.done


def test_closing_gives_up_what_waits_and_what_comes_later(patience):
    waiting, later = pending(600), pending(600)
    patience.add(waiting)
    patience.close()
    patience.add(later)
    for one in (waiting, later):
        with pytest.raises(KeyUnavailable, match="closed before") as caught:
            one.result()
        assert caught.value.temporary


@pytest.mark.alone
def test_a_hundred_thousand_expire_in_linear_time(patience):
    def expire(count):
        soon = [pending(0.001) for _ in range(count)]
        for one in soon:
            patience.add(one)
        assert done(soon[-1]).wait(60)

    expire(100_000)
    assert is_linear(int, expire, clock=time.process_time)  # another thread lets them expire
