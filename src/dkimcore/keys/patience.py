"""Gives signatures up at their deadlines, whatever becomes of the calls that should bring them.

Whoever waits in `PendingSignature.result` looks at the clock himself; whoever wants to be told
depends on this.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.forking import renew_after_fork

if TYPE_CHECKING:
    from dkimcore.keys.pending import PendingSignature
    from dkimcore.keys.schedule import Schedule

__all__ = ["Patience"]

_SPARE = 256  # signatures that are settled and kept, before it is worth while to look for them


class Patience:
    """Safe to share between threads; a child process waits for nothing at first.

    Args:
        expiry: The clock.
    """

    def __init__(self, expiry: Schedule) -> None:
        self._expiry = expiry
        self._closed = False
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget what the parent waits for."""
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, PendingSignature]] = []
        self._next = math.inf  # when the clock rings
        self._most = _SPARE

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, pending: PendingSignature) -> None:
        """Give a signature up at its deadline.

        Args:
            pending: It; nothing happens if it comes earlier.
        """
        if pending.done:
            return
        deadline = pending.deadline
        with self._lock:
            if not self._closed:
                waiting = self._waiting
                while waiting and waiting[0][2].done:
                    heapq.heappop(waiting)
                if len(waiting) >= self._most:
                    self._tidy()
                heapq.heappush(self._waiting, (deadline, next(self._numbers), pending))
                if deadline < self._next:
                    self._next = deadline
                    self._expiry.at(deadline, self._ring)
                elif self._expiry.is_stuck:
                    self._expiry.start()
                return
        self._give_up(pending)

    def close(self) -> None:
        """Give everything up now, and whatever comes later."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
        for _, _, pending in waiting:
            self._give_up(pending)

    @staticmethod
    def _give_up(pending: PendingSignature) -> None:
        problem = "its KeyStore was closed before there was a signature"
        pending.settle(KeyUnavailable(problem, uri=pending.uri))

    def _tidy(self) -> None:
        """Drop what was settled: it may stand behind one that is waited for longer."""
        self._waiting = [entry for entry in self._waiting if not entry[2].done]
        heapq.heapify(self._waiting)
        self._most = max(_SPARE, 2 * len(self._waiting))

    def _ring(self) -> None:
        now = time.monotonic()
        late = []
        with self._lock:
            if self._next <= now:
                self._next = math.inf
            waiting = self._waiting
            while waiting and (waiting[0][2].done or waiting[0][0] <= now):
                late.append(heapq.heappop(waiting)[2])
            if waiting and waiting[0][0] < self._next:
                self._next = waiting[0][0]
                self._expiry.at(self._next, self._ring)
        for pending in late:
            pending.expire()
