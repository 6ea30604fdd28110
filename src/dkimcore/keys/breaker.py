"""A circuit breaker: a backend that is down is not asked by everybody who wants a signature.

Closed, everybody may ask.  After failures in a row, or too many of the latest, it opens: nobody
may, and failing takes microseconds.  After a while one may ask; what comes of that decides.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Breaker"]

_IN_A_ROW = 5
_WINDOW = 10.0  # seconds
_ENOUGH = 20  # outcomes in the window, to judge by their share
_LATEST = 256  # outcomes that are remembered at most
_SHARE = 0.5
_FIRST_PAUSE = 1.0  # seconds
_LONGEST_PAUSE = 30.0


class Breaker:
    """Says whether a backend may be asked.  Safe to share between threads.

    Args:
        on_change: Called with what happened, ``opened`` or ``closed``, and the seconds until
            the next attempt.
        clock: The time in seconds.
    """

    def __init__(
        self,
        *,
        on_change: Callable[[str, float], None] = lambda _what, _pause: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._row = 0
        self._recent: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._pause = 0.0
        self._until = 0.0
        self._is_open = False
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the backend counts as down."""
        return self._is_open

    def refuses(self) -> float | None:
        """Return in how many seconds somebody may ask; None: now.  Takes no probe."""
        if not self._is_open:
            return None
        left = self._until - self._clock()
        return left if left > 0 else None

    def admit(self) -> float | None:
        """Ask to ask: as `refuses`, but when an open breaker says None, this is the one probe.

        Whoever is admitted has to say `succeeded` or `failed`.
        """
        with self._lock:
            refused = self.refuses()
            if refused is None and self._is_open:
                self._is_probing = True
                # A probe that never comes back is followed by another one.
                self._until = self._clock() + self._pause
            return refused

    def succeeded(self) -> None:
        """Hear that the backend answered."""
        if not self._is_open and self._row == 0 and not self._failures:
            return
        with self._lock:
            self._row = 0
            self._is_probing = False
            was_open, self._is_open = self._is_open, False
            self._pause = 0.0
            if was_open:
                self._recent.clear()
                self._failures = 0
            else:
                self._remember(failed=False)
        if was_open:
            self._on_change("closed", 0.0)

    def failed(self) -> None:
        """Hear that the backend did not answer."""
        with self._lock:
            self._row += 1
            self._remember(failed=True)
            share = self._failures / len(self._recent)
            is_down = self._row >= _IN_A_ROW or (len(self._recent) >= _ENOUGH and share > _SHARE)
            was_probing, self._is_probing = self._is_probing, False
            if not was_probing and (self._is_open or not is_down):
                return
            self._is_open = True
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._until = self._clock() + self._pause
            pause = self._pause
        self._on_change("opened", pause)

    def _remember(self, *, failed: bool) -> None:
        now = self._clock()
        self._recent.append((now, failed))
        self._failures += failed
        while self._recent[0][0] < now - _WINDOW or len(self._recent) > _LATEST:
            self._failures -= self._recent.popleft()[1]
