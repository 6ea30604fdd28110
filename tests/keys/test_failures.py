"""A failure to open is remembered for a while, and not for ever."""

from __future__ import annotations

import pytest

from dkimcore.errors import KeyNotFound, KeyUnavailable, KeyUriError
from dkimcore.keys.failures import Failures


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def failures(clock):
    return Failures(clock=clock)


def test_it_is_raised_anew_until_it_is_over(failures, clock):
    error = KeyNotFound("no such key", uri="acme:k")
    failures.add("acme:k", error, seconds=15.0)
    clock.now += 14.9
    for _ in range(3):
        with pytest.raises(KeyNotFound, match="no such key") as caught:
            failures.refuse("acme:k")
        assert caught.value is not error
    assert error.__traceback__ is None
    failures.refuse("acme:other")
    clock.now += 0.1
    failures.refuse("acme:k")


def test_what_may_pass_is_remembered_briefly(failures, clock):
    failures.add("acme:k", KeyUnavailable("down", uri="acme:k"), seconds=15.0)
    with pytest.raises(KeyUnavailable):
        failures.refuse("acme:k")
    clock.now += 1.0
    failures.refuse("acme:k")


def test_no_time_is_no_memory(failures):
    failures.add("acme:k", KeyUriError("x"), seconds=0.0)
    failures.refuse("acme:k")


def test_it_can_be_forgotten(failures):
    for name in ("a", "b"):
        failures.add(name, KeyUriError("x"), seconds=15.0)
    failures.forget("a")
    failures.refuse("a")
    failures.clear()
    failures.refuse("b")
    failures.forget("never known")


def test_names_that_strangers_choose_cost_bounded_memory(failures, clock):
    for number in range(5000):
        failures.add(f"acme:{number}", KeyUriError("x"), seconds=15.0)
    assert len(failures) == 4096
    clock.now += 15
    failures.add("acme:k", KeyUriError("x"), seconds=15.0)
    assert len(failures) == 1
