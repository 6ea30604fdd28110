"""How often workers may die: AutoRestartCount and AutoRestartRate."""

from __future__ import annotations

from dkimcore_milter.restarts import Restarts


def test_without_limits_it_goes_on():
    restarts = Restarts(count=0, rate=None)
    assert [restarts.allow(0.0) for _ in range(1000)] == [None] * 1000


def test_a_count_is_for_the_whole_life():
    restarts = Restarts(count=2, rate=None)
    assert restarts.allow(0.0) is None
    assert restarts.allow(1e6) is None
    assert restarts.allow(2e6) == "maximum restart count exceeded (2)"


def test_a_rate_forgets_what_is_long_ago():
    restarts = Restarts(count=0, rate=(2, 60))
    assert restarts.allow(0.0) is None
    assert restarts.allow(30.0) is None
    assert restarts.allow(59.9) == "maximum restart rate exceeded (2 in 60 s)"
    assert restarts.allow(60.0) is None
    assert restarts.allow(89.9) is not None
    assert restarts.allow(90.0) is None
