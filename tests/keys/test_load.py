"""What cannot be ready in time is refused at once."""

from __future__ import annotations

import pytest

from dkimcore.keys.limits import EndpointLimits
from dkimcore.keys.load import Load
from dkimcore.keys.pending import PendingSignature
from tests.keys.remotes import Service

LIMITS = EndpointLimits(threads=4, queue=100)


@pytest.fixture
def line(make_endpoint):
    return Service(make_endpoint(), batch=1).line()


def fill(load, line, number):
    for _ in range(number):
        load.put(line, PendingSignature(bytes(32), uri="acme:k", deadline=0.0))


def test_what_waits_is_counted_in_signatures_and_in_calls(make_endpoint):
    load, line = Load(LIMITS), Service(make_endpoint(), batch=8).line()
    fill(load, line, 20)
    assert (load.signatures, load.calls) == (20, 3)
    load.take(line)
    assert (load.signatures, load.calls) == (12, 2)
    load.take(line)
    load.take(line)
    assert (load.signatures, load.calls) == (0, 0)


def test_a_full_queue(line):
    load = Load(LIMITS)
    fill(load, line, 100)
    assert load.refuses("acme:eu", 3.0).startswith("100 signatures wait for acme:eu already")


def test_a_backend_that_is_too_slow_for_what_waits(line):
    load = Load(LIMITS)
    load.took(0.2)
    fill(load, line, 50)
    load.take(line)  # a thread has just come
    text = load.refuses("acme:eu", 2.0)
    assert "too slow for this much mail: 49 signatures wait, 4 calls at once take 0.2 s" in text
    assert load.refuses("acme:eu", 10.0) is None


def test_one_call_that_hung_is_no_reason_to_refuse(line):
    load = Load(LIMITS)
    for _ in range(10):
        load.took(0.01)
    load.took(2.5)
    fill(load, line, 50)
    load.take(line)
    assert load.refuses("acme:eu", 2.0) is None


def test_calls_that_all_became_slow_are_noticed_within_ten(line):
    load = Load(LIMITS)
    load.took(0.01)
    for _ in range(10):
        load.took(1.0)
    fill(load, line, 20)
    load.take(line)
    assert load.refuses("acme:eu", 3.0)


def test_calls_that_never_end_are_noticed_and_idle_times_are_none(line):
    now = 1000.0
    load = Load(LIMITS, clock=lambda: now)
    fill(load, line, 4)
    assert load.refuses("acme:eu", 3.0) is None
    now += 2.0  # and nobody took one
    assert load.refuses("acme:eu", 3.0)
    load.take(line)
    fill(load, line, 1)
    assert load.refuses("acme:eu", 3.0) is None


def test_less_than_a_round_is_never_refused_so_that_it_learns_of_better_times(line):
    load = Load(LIMITS)
    load.took(60.0)
    fill(load, line, 3)
    assert load.refuses("acme:eu", 3.0) is None


def test_a_call_may_take_a_few_times_what_calls_take_whatever_is_left():
    load = Load(LIMITS)  # one that is patient gets 2.5 s
    assert load.timeout(0.3) == 0.3  # nothing is known yet
    load.took(0.25)
    assert load.timeout(0.03) == 1.0
    assert load.timeout(2.0) == 2.0
    assert load.timeout(60.0) == 2.5
    for _ in range(10):
        load.took(2.0)
    assert load.timeout(0.03) == 2.5


def test_what_would_be_ready_in_time_only_if_its_call_is_a_quick_one_is_refused(line):
    load = Load(LIMITS)
    load.took(0.2)
    fill(load, line, 5)
    load.take(line)
    assert load.refuses("acme:eu", 0.5)  # it would come after 0.4 s on average
    assert load.refuses("acme:eu", 0.7) is None


def test_an_overload_is_told_now_and_then():
    load = Load(LIMITS)
    assert [load.is_news() for _ in range(3)] == [True, False, False]
