"""A few threads for what has to wait for others; everything else is done by the loop's.

Threads are started when they are needed and stay.  Calls that wait for the same may have a part
of them only, so that what is dead holds up its own.  Where the system refuses one, those that
there are do the work, and if there is none, whoever asked does it.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["THREADS", "Threads"]

_T = TypeVar("_T")

THREADS = 512
"""How many messages of a worker may wait for name servers at once, and how many for keys that are
opened elsewhere; more of them wait for these.  A name server that is dead takes 10 s (DNSTimeout)
of one, and one that waits has 50 KiB, its message and its connection included."""


class _Group:
    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.busy = 0
        self.waiting: deque[Callable[[], None]] = deque()


class Threads:
    """A pool; daemon threads, which end with the process.

    Args:
        limit: How many at most.
        share: How many calls of one group at once; None: as many as there are threads.
    """

    def __init__(self, limit: int = THREADS, *, share: int | None = None) -> None:
        self._limit = limit
        self._share = limit if share is None else share
        self._groups: dict[str, _Group] = {}
        self._count = 0
        self._busy = 0
        self._lock = threading.Lock()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def do(
        self, call: Callable[[], _T], then: Callable[[_T], None], *, group: str | None = None
    ) -> bool:
        """Let a thread call something, soon.  For one thread's use.

        Args:
            call: What to call; it must not raise.
            then: Takes its result, called by the same thread, which counts as free by then: what
                it sets off needs no thread more.
            group: What it waits for, which others may wait for, too; None: for nothing like that.

        Returns:
            Whether a thread was free for it; if not, it waits for one.
        """

        def job() -> None:
            result = call()
            with self._lock:
                self._busy -= 1
                self._leave(group)
            then(result)

        with self._lock:
            if not self._join(group, job):
                return False
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

    def _join(self, name: str | None, job: Callable[[], None]) -> bool:
        """Count a call to its group, or let it wait until another one of that is done."""
        if name is None:
            return True
        group = self._groups.setdefault(name, _Group())
        if group.busy >= self._share:
            group.waiting.append(job)
            return False
        group.busy += 1
        return True

    def _leave(self, name: str | None) -> None:
        """Let the next call of a group follow one that is done."""
        if name is None:
            return
        group = self._groups[name]
        if group.waiting:
            self._busy += 1
            self._calls.put(group.waiting.popleft())
            return
        group.busy -= 1
        if group.busy == 0:
            del self._groups[name]

    def end(self) -> None:
        """Let all threads end when they have done what they were told."""
        for _ in range(self._count):
            self._calls.put(None)

    def _run(self) -> None:
        while (job := self._calls.get()) is not None:
            job()
