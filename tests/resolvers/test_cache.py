"""Caching resolvers: asked once, answered many times, from threads, tasks and after a fork."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers import DeadlineTxtResolver, TimedAnswer, cache
from dkimcore.resolvers.cache import AsyncCachingResolver, CachingResolver
from tests.forked import fork

FOUND = TimedAnswer(TxtAnswer(TxtStatus.FOUND, (b"v=DKIM1; p=",)), 60.0)
HURRIED = TimedAnswer(TxtAnswer(TxtStatus.FAILED, detail="in a hurry"), 0.0)
WAIT = 10.0  # seconds; never reached unless something is broken


class Source:
    """Answers when its gate is open; blocking and, as `Source.aio`, for asyncio."""

    def __init__(self, *answers):
        self.answers = list(answers) or [FOUND]
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def next(self, name):
        self.asked.append(name)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def lookup_txt_with_ttl(self, name, *, timeout=None):
        answer = self.next(name)
        self.entered.release()
        assert self.gate.wait(WAIT)
        return answer


class AsyncSource(Source):
    def __init__(self, *answers):
        super().__init__(*answers)
        self.open = asyncio.Event()
        self.open.set()

    async def lookup_txt_with_ttl(self, name):
        answer = self.next(name)
        await self.open.wait()
        return answer


def test_the_second_question_is_answered_from_the_cache():
    source = Source()
    resolver = CachingResolver(source)
    for name in ("s1._domainkey.Example.com.", "S1._domainkey.example.com"):
        assert resolver.lookup_txt(name) is FOUND.answer
    assert source.asked == ["s1._domainkey.Example.com."]
    assert resolver.statistics == (1, 1, 1)
    resolver.clear()
    resolver.lookup_txt("s1._domainkey.example.com.")
    assert resolver.statistics == (1, 2, 1)


def test_answers_are_asked_for_again_when_their_time_is_over():
    now = [0.0]
    source = Source()
    resolver = CachingResolver(source, clock=lambda: now[0])
    for now[0] in (0.0, 59.0, 60.0):
        resolver.lookup_txt("a.")
    assert len(source.asked) == 2


def test_threads_that_want_one_name_wait_for_one_query():
    source = Source()
    source.gate.clear()
    resolver = CachingResolver(source)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(resolver.lookup_txt, "a.") for _ in range(8)]
        source.entered.acquire()
        other = pool.submit(resolver.lookup_txt, "a.", timeout=0.02)
        source.gate.set()
        assert {future.result(WAIT) for future in waiting} == {FOUND.answer}
        assert other.result(WAIT).status in (TxtStatus.FOUND, TxtStatus.FAILED)
    assert source.asked == ["a."]


def test_an_uncacheable_answer_still_serves_who_waited():
    source = Source(TimedAnswer(FOUND.answer, 0.0))
    source.gate.clear()
    resolver = CachingResolver(source)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(resolver.lookup_txt, "a.")
        source.entered.acquire()
        second = pool.submit(resolver.lookup_txt, "a.", timeout=WAIT)
        joined = threading.Timer(0.05, source.gate.set)
        joined.start()
        assert first.result(WAIT) is second.result(WAIT) is FOUND.answer
    assert resolver.statistics.entries == 0


def test_who_waits_gives_up_when_the_time_is_over():
    source = Source()
    source.gate.clear()
    resolver = CachingResolver(source)
    assert isinstance(resolver, DeadlineTxtResolver)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(resolver.lookup_txt, "a.")
        source.entered.acquire()
        answer = resolver.lookup_txt("a.", timeout=0.01)
        assert (answer.status, answer.detail) == (
            TxtStatus.FAILED,
            "no answer within the time left",
        )
        source.gate.set()
        assert first.result(WAIT) is FOUND.answer


@pytest.mark.parametrize("first", [HURRIED, KeyboardInterrupt("stopped")])
def test_who_had_no_time_spoils_nothing_for_others(first):
    source = Source(first, FOUND)
    resolver = CachingResolver(source)
    if first is HURRIED:
        assert resolver.lookup_txt("a.", timeout=0.01) is HURRIED.answer
    else:
        with pytest.raises(KeyboardInterrupt):
            resolver.lookup_txt("a.")
    assert resolver.lookup_txt("a.") is FOUND.answer


def test_who_waits_for_one_without_time_asks_again():
    source = Source(HURRIED, FOUND)
    source.gate.clear()
    resolver = CachingResolver(source)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(resolver.lookup_txt, "a.", timeout=0.01)
        source.entered.acquire()
        second = pool.submit(resolver.lookup_txt, "a.")
        threading.Timer(0.05, source.gate.set).start()
        assert first.result(WAIT) is HURRIED.answer
        assert second.result(WAIT) is FOUND.answer
    assert len(source.asked) == 2


def test_many_threads_and_names_at_once():
    source = Source()
    resolver = CachingResolver(source, max_entries=5)
    names = [f"n{number % 10}." for number in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(resolver.lookup_txt, names)) == {FOUND.answer}
    hits, misses, entries = resolver.statistics
    assert (hits + misses, misses, entries) == (2000, len(source.asked), 5)


def test_after_a_fork_the_child_keeps_answers_and_asks_for_what_was_under_way():
    source = Source()
    resolver = CachingResolver(source)
    resolver.lookup_txt("kept.")
    source.gate.clear()
    thread = threading.Thread(target=resolver.lookup_txt, args=("a.",))
    thread.start()
    source.entered.acquire(timeout=WAIT)
    source.entered.acquire(timeout=WAIT)
    with resolver._cache.lock:  # as if another thread held it just then
        child = fork()
        if child == 0:
            source.gate = threading.Event()
            source.gate.set()
            resolver.lookup_txt("kept.")
            resolver.lookup_txt("a.")
            os._exit(0 if source.asked == ["kept.", "a.", "a."] else 1)
    source.gate.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert source.asked == ["kept.", "a."]


def test_a_query_from_before_a_fork_disturbs_nothing():
    """What happens in the child, seen from inside."""
    source = Source()
    source.gate.clear()
    resolver = CachingResolver(source)
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(resolver.lookup_txt, "a.")
        assert source.entered.acquire(timeout=WAIT)
        cache._renew_all()
        after = pool.submit(resolver.lookup_txt, "a.")
        assert source.entered.acquire(timeout=WAIT)
        source.gate.set()
        assert before.result(WAIT) is after.result(WAIT) is FOUND.answer
    assert resolver.lookup_txt("a.") is FOUND.answer
    assert len(source.asked) == 2


# asyncio


def test_tasks_that_want_one_name_wait_for_one_query():
    async def several():
        source = AsyncSource()
        source.open.clear()
        resolver = AsyncCachingResolver(source)
        tasks = [asyncio.create_task(resolver.lookup_txt("a.")) for _ in range(8)]
        await asyncio.sleep(0)
        source.open.set()
        answers = await asyncio.gather(*tasks)
        assert await resolver.lookup_txt("A") is FOUND.answer
        return answers, source.asked, resolver.statistics

    answers, asked, statistics = asyncio.run(several())
    assert set(answers) == {FOUND.answer}
    assert (asked, statistics) == (["a."], (8, 1, 1))


def test_a_cancelled_task_spoils_nothing_for_others():
    async def cancel_the_first():
        source = AsyncSource()
        source.open.clear()
        resolver = AsyncCachingResolver(source)
        first = asyncio.create_task(resolver.lookup_txt("a."))
        await asyncio.sleep(0)
        second = asyncio.create_task(resolver.lookup_txt("a."))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        source.open.set()
        assert await second is FOUND.answer
        assert len(source.asked) == 1

    asyncio.run(cancel_the_first())


def test_a_query_that_is_itself_cancelled_is_a_failure():
    async def cancelled():
        resolver = AsyncCachingResolver(AsyncSource(asyncio.CancelledError(), FOUND))
        answer = await resolver.lookup_txt("a.")
        return answer, await resolver.lookup_txt("a.")

    first, second = asyncio.run(cancelled())
    assert (first.status, first.detail) == (TxtStatus.FAILED, "the query was cancelled")
    assert second is FOUND.answer


def test_event_loops_share_answers_and_not_queries():
    source = Source()

    class Slow:
        async def lookup_txt_with_ttl(self, name):
            return await asyncio.to_thread(source.lookup_txt_with_ttl, name)

    resolver = AsyncCachingResolver(Slow())
    source.gate.clear()

    def run():
        return asyncio.run(resolver.lookup_txt("a."))

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(run) for _ in range(2)]
        for _ in futures:
            assert source.entered.acquire(timeout=WAIT)
        source.gate.set()
        assert {future.result(WAIT) for future in futures} == {FOUND.answer}
    assert run() is FOUND.answer
    assert len(source.asked) == 2


def test_a_query_of_an_event_loop_that_is_gone_is_not_waited_for():
    source = AsyncSource()
    source.open.clear()
    resolver = AsyncCachingResolver(source)

    async def leave_it():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await resolver.lookup_txt("a.")

    asyncio.run(leave_it())
    source.open = asyncio.Event()
    source.open.set()
    assert asyncio.run(resolver.lookup_txt("a.")) is FOUND.answer


def test_the_asynchronous_one_survives_a_fork_too():
    resolver = AsyncCachingResolver(AsyncSource())
    with resolver._cache.lock:
        child = fork()
        if child == 0:
            answer = asyncio.run(resolver.lookup_txt("a."))
            os._exit(0 if answer is not None and answer.records else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
