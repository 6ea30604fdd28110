"""Keeps answers as long as DNS allows, and asks once for what several want at once.

Wraps a resolver that tells TTLs.  How long and how many is `dkimcore.resolvers.answercache`'s,
what is asked and how `dkimcore.resolvers.dnspython`'s.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers.answercache import MAX_ENTRIES, AnswerCache, CacheStatistics
from dkimcore.resolvers.owner import fold_name

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from dkimcore.resolvers import AsyncTimedTxtResolver, TimedTxtResolver

__all__ = ["AsyncCachingResolver", "CachingResolver"]


class _Caching:
    """What both flavours have: a cache, and a life after a fork."""

    def __init__(self, *, max_entries: int, clock: Callable[[], float]) -> None:
        self._cache = AnswerCache(max_entries=max_entries, clock=clock)
        _living.add(self)

    @property
    def statistics(self) -> CacheStatistics:
        """Hits, misses and entries so far."""
        with self._cache.lock:
            return self._cache.statistics()

    def clear(self) -> None:
        """Forget every answer; queries under way still answer who waits for them."""
        with self._cache.lock:
            self._cache.clear()

    def _after_fork(self) -> None:
        # A thread that held it, or was asking, does not exist in the child.
        self._cache.lock = threading.Lock()


class _Flight:
    """A query under way that others wait for."""

    __slots__ = ("answer", "landed")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.answer: TxtAnswer | None = None


class CachingResolver(_Caching):
    """Keeps the answers of a blocking resolver; safe to share between threads.

    Threads that want one name at the same time wait for one query.  After a fork the
    child keeps the answers and asks anew for what was under way.

    Args:
        resolver: Whom to ask.
        max_entries: How many answers to keep, besides 8 MiB of them.
        clock: Seconds that never go backwards.
    """

    takes_timeout = True

    def __init__(
        self,
        resolver: TimedTxtResolver,
        *,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(max_entries=max_entries, clock=clock)
        self._resolver = resolver
        self._flights: dict[str, _Flight] = {}

    def lookup_txt(self, name: str, *, timeout: float | None = None) -> TxtAnswer:
        """Give the TXT records at an absolute name, asking only if need be; never raises.

        Args:
            name: The name, A-labels.
            timeout: Seconds, where less are left than the resolver would take.
        """
        key = fold_name(name)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            with self._cache.lock:
                answer = self._cache.get(key)
                flight = self._flights.get(key)
                if answer is not None:
                    self._cache.hits += 1
                    return answer
                if flight is None:
                    self._cache.misses += 1
                    own = self._flights[key] = _Flight()
            if flight is None:
                return self._fly(name, key=key, flight=own, timeout=left)
            if not flight.landed.wait(left):
                return TxtAnswer(TxtStatus.FAILED, detail="no answer within the time left")
            if flight.answer is not None:
                with self._cache.lock:
                    self._cache.hits += 1
                return flight.answer
            # Who asked had less time than this one, or was interrupted.

    def peek_txt(self, name: str) -> TxtAnswer | None:
        """Give the TXT records at an absolute name if they are kept; nobody is asked."""
        with self._cache.lock:
            answer = self._cache.get(fold_name(name))
            if answer is not None:
                self._cache.hits += 1
            return answer

    def _fly(self, name: str, *, key: str, flight: _Flight, timeout: float | None) -> TxtAnswer:
        try:
            timed = self._resolver.lookup_txt_with_ttl(name, timeout=timeout)
            with self._cache.lock:
                self._cache.put(key, timed)
            if timed.ttl > 0 or timed.answer.status is not TxtStatus.FAILED:
                flight.answer = timed.answer
            return timed.answer
        finally:
            with self._cache.lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.landed.set()

    def _after_fork(self) -> None:
        super()._after_fork()
        self._flights = {}


class AsyncCachingResolver(_Caching):
    """Keeps the answers of a resolver for asyncio.

    Tasks of one event loop that want one name at the same time wait for one query, which
    goes on when one of them is cancelled.  Event loops in several threads may share it:
    they share the answers, not the queries under way.

    Args:
        resolver: Whom to ask.
        max_entries: How many answers to keep, besides 8 MiB of them.
        clock: Seconds that never go backwards.
    """

    def __init__(
        self,
        resolver: AsyncTimedTxtResolver,
        *,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(max_entries=max_entries, clock=clock)
        self._resolver = resolver
        self._flights: dict[str, asyncio.Task[TxtAnswer]] = {}

    async def lookup_txt(self, name: str) -> TxtAnswer:
        """Give the TXT records at an absolute name, asking only if need be; never raises."""
        import asyncio

        loop = asyncio.get_running_loop()
        key = fold_name(name)
        with self._cache.lock:
            answer = self._cache.get(key)
            if answer is not None:
                self._cache.hits += 1
                return answer
            flight = self._flights.get(key)
            if flight is not None and not flight.done() and flight.get_loop() is loop:
                self._cache.hits += 1
            else:
                self._cache.misses += 1
                flight = self._flights[key] = loop.create_task(self._fly(name, key=key))
                flight.add_done_callback(lambda done: self._landed(key, done))
        try:
            # Shielded: others may wait for the same query, and its answer is kept anyway.
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if flight.cancelled() and this is not None and not this.cancelling():
                return TxtAnswer(TxtStatus.FAILED, detail="the query was cancelled")
            raise

    async def _fly(self, name: str, *, key: str) -> TxtAnswer:
        timed = await self._resolver.lookup_txt_with_ttl(name)
        with self._cache.lock:
            self._cache.put(key, timed)
        return timed.answer

    def _landed(self, key: str, flight: asyncio.Task[TxtAnswer]) -> None:
        with self._cache.lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _after_fork(self) -> None:
        super()._after_fork()
        self._flights = {}


_living: WeakSet[_Caching] = WeakSet()


def _renew_all() -> None:
    for caching in list(_living):
        caching._after_fork()


os.register_at_fork(after_in_child=_renew_all)
