"""A signature that is waited for: settled once, told to everybody, late for nobody."""

from __future__ import annotations

import threading
import time

import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys.pending import PendingSignature


def pending(seconds=60.0):
    return PendingSignature(bytes(32), uri="acme:k", deadline=time.monotonic() + seconds)


def test_the_first_outcome_counts():
    one = pending()
    assert not one.done
    assert one.settle(b"first")
    assert not one.settle(b"second")
    one.expire()
    assert one.done
    assert one.result() == one.result() == b"first"


def test_an_error_is_raised_with_all_that_it_knows():
    cause = TimeoutError("x")
    error = KeyUnavailable("down", uri="acme:k", request_id="r-1", retry_after=3.0)
    error.__cause__ = cause
    one = pending()
    one.settle(error)
    with pytest.raises(KeyUnavailable, match=r"acme:k: down \(request r-1\)") as caught:
        one.result()
    assert caught.value.retry_after == 3.0
    assert caught.value.__cause__ is cause


def test_threads_that_share_an_error_do_not_share_its_traceback():
    """One object would grow with everybody who raises it, and keep their frames alive."""
    one, error = pending(), KeyDenied("no", uri="acme:k")
    one.settle(error)
    raised = []
    for _ in range(50):
        with pytest.raises(KeyDenied) as caught:
            one.result()
        raised.append(caught.value)
    assert len(set(map(id, raised))) == 50
    assert error.__traceback__ is None


def test_who_waits_is_woken_by_the_outcome():
    one, got = pending(), []
    threads = [threading.Thread(target=lambda: got.append(one.result())) for _ in range(4)]
    for thread in threads:
        thread.start()
    one.settle(b"signature")
    for thread in threads:
        thread.join(30)
    assert got == [b"signature"] * 4


def test_nobody_waits_beyond_the_deadline():
    one, begun = pending(0.05), time.monotonic()
    with pytest.raises(KeyUnavailable, match="before the deadline"):
        one.result()
    assert time.monotonic() - begun < 1.0
    assert not one.settle(b"too late")


def test_a_deadline_that_is_over_is_no_reason_to_lose_a_signature_that_is_there():
    one = pending(-1)
    one.settle(b"signature")
    assert one.result() == b"signature"


def test_it_is_verified_by_whoever_takes_it_and_once():
    checked, refusal = [], KeyUnusable("no", uri="acme:k")

    def check(signature_data, digest):
        checked.append((signature_data, digest, threading.current_thread()))
        return refusal if signature_data == b"wrong" else signature_data

    for answer in (b"right", b"wrong"):
        one = PendingSignature(bytes(32), uri="acme:k", deadline=0.0, check=check)
        other = threading.Thread(target=one.settle, args=(answer,))
        other.start()
        other.join()
        assert one.done
        assert checked == []
        for _ in range(2):
            if answer == b"right":
                assert one.result() == answer
            else:
                with pytest.raises(KeyUnusable, match="no"):
                    one.result()
        assert checked == [(answer, bytes(32), threading.current_thread())]
        checked.clear()


def test_an_error_is_not_verified():
    one = PendingSignature(bytes(32), uri="acme:k", deadline=0.0, check=lambda *_: b"signature")
    one.settle(KeyDenied("no", uri="acme:k"))
    with pytest.raises(KeyDenied):
        one.result()


def test_callbacks_are_called_once_before_and_after():
    one, calls = pending(), []
    one.when_done(lambda: calls.append("before"))
    assert calls == []
    one.settle(b"")
    one.when_done(lambda: calls.append("after"))
    one.settle(b"again")
    assert calls == ["before", "after"]


def test_a_callback_that_raises_harms_neither_who_settles_nor_the_others(caplog):
    one, calls = pending(), []

    def broken():
        raise RuntimeError("CANARY")

    one.when_done(broken)
    one.when_done(lambda: calls.append(1))
    assert one.settle(b"")
    assert calls == [1]
    assert "failed with RuntimeError" in caplog.text
    assert "in broken" in caplog.text
    assert "CANARY" not in caplog.text


@pytest.mark.parametrize("rounds", [300])
def test_races_of_settling_and_asking_to_be_told_lose_and_repeat_nothing(rounds):
    for number in range(rounds):
        one, start = pending(), threading.Barrier(3)
        called, won = [], []

        def settle(outcome, one=one, start=start, won=won):
            start.wait()
            if one.settle(outcome):
                won.append(outcome)

        threads = [threading.Thread(target=settle, args=(b"%d" % each,)) for each in range(2)]
        for thread in threads:
            thread.start()
        start.wait()
        for each in range(5):
            one.when_done(lambda each=each, called=called: called.append(each))
        for thread in threads:
            thread.join()
        assert sorted(called) == [0, 1, 2, 3, 4], number
        assert [one.result()] == won
