"""How long answers are kept, and how many of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers import TimedAnswer
from dkimcore.resolvers.answercache import MAX_OCTETS, AnswerCache


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def found(text=b"v=DKIM1; p=", ttl=60.0):
    return TimedAnswer(TxtAnswer(TxtStatus.FOUND, (text,)), ttl)


@pytest.mark.parametrize(
    ("status", "ttl", "kept"),
    [
        (TxtStatus.FOUND, 60.0, 60.0),
        (TxtStatus.FOUND, 86400.0, 3600.0),
        (TxtStatus.NO_RECORD, 30.0, 30.0),
        (TxtStatus.NO_RECORD, float("inf"), 60.0),
        (TxtStatus.FAILED, 300.0, 5.0),
        (TxtStatus.FOUND, 0.0, 0.0),
        (TxtStatus.FAILED, -1.0, 0.0),
    ],
)
@pytest.mark.rfc("2308", "5")
def test_an_answer_is_kept_for_its_ttl_or_the_ceiling(status, ttl, kept):
    clock = Clock()
    cache = AnswerCache(clock=clock)
    answer = TxtAnswer(status)
    cache.put("a.", TimedAnswer(answer, ttl))
    if kept:
        clock.now += kept - 0.001
        assert cache.get("a.") is answer
    clock.now += 0.002
    assert cache.get("a.") is None
    assert cache.statistics().entries == 0


def test_a_newer_answer_takes_the_place_of_an_older():
    cache = AnswerCache()
    cache.put("a.", found(b"old"))
    cache.put("a.", found(b"new"))
    assert cache.get("a.").records == (b"new",)
    cache.put("a.", found(b"gone", ttl=0))
    assert cache.get("a.") is None


def test_the_least_recently_used_goes_first():
    cache = AnswerCache(max_entries=2)
    for name in ("a.", "b."):
        cache.put(name, found())
    cache.get("a.")
    cache.put("c.", found())
    assert [name for name in ("a.", "b.", "c.") if cache.get(name)] == ["a.", "c."]


def test_large_answers_push_out_others_before_memory_is_full():
    cache = AnswerCache()
    for number in range(1000):
        cache.put(f"{number}.", found(bytes(60000)))
    assert cache.statistics().entries == MAX_OCTETS // 60256
    assert cache.get("999.") is not None
    cache.clear()
    assert cache.statistics().entries == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.integers(0, 2**21))))
def test_ceilings_hold_whatever_is_put(puts):
    clock = Clock()
    cache = AnswerCache(max_entries=3, clock=clock)
    for name, ttl, octets in puts:
        clock.now += 1
        cache.put(name, found(bytes(octets), ttl))
        held = [answer for name in "abcd" if (answer := cache.get(name))]
        assert len(held) <= 3
        assert sum(len(answer.records[0]) for answer in held) <= MAX_OCTETS
    cache.clear()
    cache.put("a", found(bytes(MAX_OCTETS - 256)))
    assert cache.get("a") is not None
