"""Things that are done later, one after another, in a thread of their own."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from typing import TYPE_CHECKING

from dkimcore.keys.events import survive
from dkimcore.keys.forking import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Schedule"]

_LONGEST_WAIT = 86_400.0  # seconds; the system refuses to wait for some hundred years


class Schedule:
    """Calls things at their time.  A child process begins with an empty one.

    The thread is started with the first thing to do, and ends when the schedule is closed.

    Args:
        name: What its thread is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._closed = False
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin with an empty schedule."""
        self._condition = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call something, which must not raise, at a time of `time.monotonic`.

        Where the system has no thread for it now, the next thing to do comes with another try, as
        does `start`.

        Args:
            when: The time.
            call: What to call; what takes long holds up what comes behind it.
        """
        with self._condition:
            if self._closed:
                return
            heapq.heappush(self._due, (when, next(self._numbers), call))
            if self._thread is None:
                self._start()
            elif self._due[0][0] == when:
                self._condition.notify()

    @property
    def is_stuck(self) -> bool:
        """Whether there is something to do, and the system had no thread for it."""
        return self._thread is None and bool(self._due)

    def start(self) -> None:
        """Try once more to get a thread, where it `is_stuck`."""
        with self._condition:
            if self.is_stuck:
                self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, daemon=True, name=self._name)
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something, which must not raise, in so many seconds."""
        self.at(time.monotonic() + seconds, call)

    def close(self) -> None:
        """Forget what was to be done, and let the thread end."""
        with self._condition:
            self._closed = True
            self._due.clear()
            self._condition.notify()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            survive(call)

    def _next(self) -> Callable[[], None] | None:
        """Wait for what is due next; None: closed."""
        with self._condition:
            while not self._closed:
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    return heapq.heappop(self._due)[2]
                self._condition.wait(
                    min(self._due[0][0] - now, _LONGEST_WAIT) if self._due else None
                )
        return None
