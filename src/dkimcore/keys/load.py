"""What waits for an endpoint's calls, and whether more of it would come too late.

A backend that is slower than it is asked would keep everybody waiting up to the deadline, and
then sign little that is still wanted.  So what cannot be ready in time is refused at once, and
the mail server tries again later.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.keys.keyline import KeyLine
    from dkimcore.keys.limits import EndpointLimits
    from dkimcore.keys.pending import PendingSignature

__all__ = ["Load"]

_WEIGHT = 0.2  # of the latest call in the mean
_LEAP = 4.0  # times the mean: one call that hung says little about the next
_NEWS = 60.0  # seconds between two messages about an overload


class Load:
    """To be used under the lock of the endpoint, but for `took` and `timeout`.

    Args:
        limits: The endpoint's.
        clock: The time in seconds.

    Attributes:
        signatures: How many wait for a call.
        calls: How many calls they will take.
    """

    __slots__ = ("_clock", "_limits", "_seconds", "_taken", "_told", "calls", "signatures")

    def __init__(
        self, limits: EndpointLimits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._seconds = 0.0
        self._taken = 0.0
        self._told = 0.0
        self.signatures = 0
        self.calls = 0

    def put(self, line: KeyLine, pending: PendingSignature) -> None:
        """Add a signature to a line."""
        if not self.signatures:
            self._taken = self._clock()  # before, there was nothing to take
        calls = line.calls
        line.put(pending)
        self.signatures += 1
        self.calls += line.calls - calls

    def take(self, line: KeyLine) -> list[PendingSignature]:
        """Take from a line what goes into one call."""
        signatures, calls = line.waiting, line.calls
        batch = line.take()
        self.signatures += line.waiting - signatures
        self.calls += line.calls - calls
        self._taken = self._clock()
        return batch

    def took(self, seconds: float) -> None:
        """Hear how long a call took.

        Args:
            seconds: Its time, also if it failed.
        """
        mean = self._seconds
        if mean:
            self._seconds = mean + _WEIGHT * (min(seconds, _LEAP * mean) - mean)
        else:
            self._seconds = max(seconds, 1e-6)

    def timeout(self, left: float) -> float:
        """Return how many seconds a call may take.

        As long as somebody waits for it, but at least a few times what calls take.  Under
        overload each begins with hardly more time than it needs: if it were cut short for that, a
        backend that is well would seem to be down, and quicker than it is.

        Args:
            left: Seconds until the deadline of what it is made for.
        """
        limits = self._limits
        return min(max(left, _LEAP * self._seconds), limits.connect_timeout + limits.read_timeout)

    def refuses(self, name: str, left: float) -> str | None:
        """Say why one more signature is refused; None: it may wait.

        Args:
            name: What the endpoint is called.
            left: Seconds until its deadline.
        """
        limits = self._limits
        if self.signatures >= limits.queue:
            return (
                f"{self.signatures} signatures wait for {name} already; it is too slow for this "
                "much mail, or its queue= too short"
            )
        # Less than a round of all threads is over before it matters.
        if self.calls < limits.threads:
            return None
        # Where no thread has come for a while, all of them are in calls at least as slow.
        seconds = max(self._seconds, self._clock() - self._taken)
        # Calls differ: one that began with a mean call's time left would come too late as often
        # as not, having taken the turn of another.  So there has to be time for one more.
        wait = (self.calls / limits.threads + 1) * seconds + self._seconds
        if wait <= left:
            return None
        return (
            f"{name} is too slow for this much mail: {self.signatures} signatures wait, "
            f"{limits.threads} calls at once take {seconds:.2g} s each, and this one would come "
            f"after {wait:.1f} s, which is too late; raise its threads= if it can take more"
        )

    def is_news(self) -> bool:
        """Whether operators should hear of a refusal now."""
        now = self._clock()
        if self._told and now - self._told < _NEWS:
            return False
        self._told = now
        return True
