"""How often workers may be started again: AutoRestart, AutoRestartCount, AutoRestartRate."""

from __future__ import annotations

from collections import deque

__all__ = ["Restarts"]


class Restarts:
    """Counts restarts against their limits.

    Args:
        count: Give up after so many; 0 means no limit (AutoRestartCount).
        rate: ``(n, seconds)``: give up at more than n within that time (AutoRestartRate).
    """

    def __init__(self, *, count: int, rate: tuple[int, int] | None) -> None:
        self._count = count
        self._rate = rate
        self._done = 0
        self._times: deque[float] = deque()

    def allow(self, now: float) -> str | None:
        """Count one more restart.

        Args:
            now: The time, in seconds of a clock that is never set.

        Returns:
            Which limit it exceeds; None if it may happen.
        """
        if self._count and self._done >= self._count:
            return f"maximum restart count exceeded ({self._count})"
        if self._rate is not None:
            limit, seconds = self._rate
            while self._times and self._times[0] <= now - seconds:
                self._times.popleft()
            if len(self._times) >= limit:
                return f"maximum restart rate exceeded ({limit} in {seconds} s)"
            self._times.append(now)
        self._done += 1
        return None
