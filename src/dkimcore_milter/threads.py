"""A few threads for what has to wait for others; everything else is done by the loop's.

Threads are started when they are needed and stay.  Where the system refuses one, those that
there are do the work, and if there is none, whoever asked does it.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["THREADS", "Threads"]

_T = TypeVar("_T")

THREADS = 64
"""How many messages of a worker may wait for name servers and key services at once; more of them
wait for these.  A name server that is dead takes 10 s (DNSTimeout) of one."""


class Threads:
    """A pool; daemon threads, which end with the process.

    Args:
        limit: How many at most.
    """

    def __init__(self, limit: int = THREADS) -> None:
        self._limit = limit
        self._count = 0
        self._busy = 0
        self._lock = threading.Lock()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def do(self, call: Callable[[], _T], then: Callable[[_T], None]) -> bool:
        """Let a thread call something, soon.  For one thread's use.

        Args:
            call: What to call; it must not raise.
            then: Takes its result, called by the same thread, which counts as free by then: what
                it sets off needs no thread more.

        Returns:
            Whether a thread was free for it; if not, it waits for one.
        """

        def job() -> None:
            result = call()
            with self._lock:
                self._busy -= 1
            then(result)

        with self._lock:
            self._busy += 1
            is_free = self._busy <= self._count
        self._calls.put(job)
        if is_free:
            return True
        if self._count >= self._limit:
            return False
        try:
            threading.Thread(target=self._run, daemon=True, name=f"wait-{self._count}").start()
        except RuntimeError:  # the system has no more threads
            if self._count > 0:
                return False
            mine = self._calls.get()
            if mine is not None:
                mine()
        else:
            self._count += 1
        return True

    def end(self) -> None:
        """Let all threads end when they have done what they were told."""
        for _ in range(self._count):
            self._calls.put(None)

    def _run(self) -> None:
        while (job := self._calls.get()) is not None:
            job()
