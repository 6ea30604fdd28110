"""The few things that a loop does at a time instead of at an event."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Timers"]


class Timers:
    """Calls and when each is due; times are those of a clock of the caller's, in seconds.

    Attributes:
        next: When the first is due; infinite if there is none.
    """

    def __init__(self) -> None:
        self._due: dict[Callable[[], None], float] = {}
        self.next = math.inf

    def set(self, call: Callable[[], None], when: float) -> None:
        """Let something be called, once; a time that was set for it before is forgotten."""
        self._due[call] = when
        self.next = min(self._due.values())

    def stop(self, call: Callable[[], None]) -> None:
        """Let it not be called; harmless if that was not planned."""
        self._due.pop(call, None)
        self.next = min(self._due.values(), default=math.inf)

    def run(self, now: float) -> None:
        """Call what is due."""
        for call in [call for call, when in self._due.items() if when <= now]:
            self.stop(call)
            call()
