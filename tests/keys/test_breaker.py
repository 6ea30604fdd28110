"""A circuit breaker opens after failures, lets one probe pass, and closes when it succeeds."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.keys.breaker import Breaker


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Told(list):
    def __call__(self, what, pause):
        self.append((what, pause))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def breaker(clock, told):
    return Breaker(on_change=told, clock=clock)


def fail(breaker, times=5):
    for _ in range(times):
        breaker.failed()


def test_five_failures_in_a_row_open_it_and_no_fewer(breaker, told):
    fail(breaker, 4)
    breaker.succeeded()
    fail(breaker, 4)
    assert not breaker.is_open
    assert breaker.admit() is None
    breaker.failed()
    assert breaker.is_open
    assert breaker.admit() == pytest.approx(1.0)
    assert told == [("opened", 1.0)]


def test_more_than_half_of_the_latest_twenty_open_it(breaker, told):
    for _ in range(5):
        fail(breaker, 2)
        breaker.succeeded()
    assert not breaker.is_open  # 10 of 15
    fail(breaker, 2)
    breaker.succeeded()
    assert not breaker.is_open
    fail(breaker, 2)
    assert breaker.is_open  # 14 of 20
    assert told == [("opened", 1.0)]


def test_failures_that_are_long_ago_do_not_count(breaker, clock):
    for _ in range(12):
        fail(breaker, 2)
        breaker.succeeded()
        clock.now += 4.0
    assert not breaker.is_open


def test_one_probe_half_opens_it_and_its_success_closes_it(breaker, clock, told):
    fail(breaker)
    clock.now += 1.0
    assert breaker.refuses() is None
    assert breaker.admit() is None  # the probe
    assert breaker.admit() == pytest.approx(1.0)  # all others
    assert breaker.refuses() == pytest.approx(1.0)
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.admit() is None
    assert told == [("opened", 1.0), ("closed", 0.0)]


def test_it_waits_twice_as_long_after_each_probe_that_fails_up_to_half_a_minute(
    breaker, clock, told
):
    fail(breaker)
    for _ in range(6):
        clock.now += breaker.admit()
        assert breaker.admit() is None
        breaker.failed()
    assert [pause for _, pause in told] == [1, 2, 4, 8, 16, 30, 30]
    clock.now += 30
    breaker.admit()
    breaker.succeeded()
    fail(breaker)
    assert told[-1] == ("opened", 1.0)


def test_a_probe_that_hangs_is_followed_by_another(breaker, clock):
    fail(breaker)
    clock.now += 1.0
    assert breaker.admit() is None
    clock.now += 1.0
    assert breaker.admit() is None
    breaker.succeeded()
    breaker.failed()  # the first one, at last
    assert not breaker.is_open


def test_calls_that_began_before_it_opened_and_fail_later_do_not_keep_it_open(breaker, clock):
    fail(breaker)
    clock.now += 0.9
    fail(breaker, 20)
    clock.now += 0.1
    assert breaker.admit() is None


def test_of_many_threads_one_is_the_probe(breaker, clock):
    fail(breaker)
    clock.now += 1.0
    start, admitted = threading.Barrier(8), []

    def ask():
        start.wait()
        admitted.append(breaker.admit())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert admitted.count(None) == 1


def test_without_anybody_to_tell():
    breaker = Breaker()
    fail(breaker)
    assert breaker.is_open


@given(st.lists(st.sampled_from(["fail", "succeed", "wait", "admit"]), max_size=400))
def test_whatever_happens_it_is_asked_again_within_its_pause(steps):
    clock = Clock()
    breaker = Breaker(clock=clock)
    for step in steps:
        if step == "fail":
            breaker.failed()
        elif step == "succeed":
            breaker.succeeded()
            assert not breaker.is_open or breaker.refuses() is not None
        elif step == "wait":
            clock.now += 0.7
        else:
            breaker.admit()
        wait = breaker.refuses()
        assert wait is None or 0 < wait <= 30
    clock.now += 30
    assert breaker.admit() is None
    breaker.succeeded()
    assert breaker.admit() is None
    assert len(breaker._recent) <= 257
