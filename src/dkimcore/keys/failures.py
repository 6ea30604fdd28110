"""Why keys could not be opened lately: a backend is not asked again by every message."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.keys.tracebacks import fresh_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.errors import DkimError

__all__ = ["Failures"]

_BRIEFLY = 1.0
"""How long, in seconds, a failure that may pass is remembered at most: the endpoint's breaker
knows when its backend is down."""

_MOST = 4096
"""How many are remembered: key tables name less that is kept elsewhere, but a caller may ask for
what strangers named."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a key could not be opened, and until when that counts."""

    error: DkimError
    until: float


class Failures:
    """Safe to share between threads.

    Args:
        clock: The time in seconds.
    """

    __slots__ = ("_clock", "_known", "_lock")

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Failure] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """Leave the parent's lock behind."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, name: str, error: DkimError, *, seconds: float) -> None:
        """Remember a failure.

        Args:
            name: The key.
            error: Why.
            seconds: How long, unless it may pass.
        """
        now = self._clock()
        if error.temporary:
            seconds = min(seconds, _BRIEFLY)
        with self._lock:
            if len(self._known) >= _MOST:
                over = [each for each, known in self._known.items() if known.until <= now]
                for each in over or [next(iter(self._known))]:
                    del self._known[each]
            self._known[name] = _Failure(error, now + seconds)

    def refuse(self, name: str) -> None:
        """Raise what is remembered about a key.

        Raises:
            ConfigError: This was it.
            KeyBackendError: This was it.
        """
        known = self._known.get(name)
        if known is not None and self._clock() < known.until:
            raise fresh_copy(known.error)

    def forget(self, name: str) -> None:
        """Let a key be opened anew."""
        with self._lock:
            self._known.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._known.clear()
