"""A signature that was asked for and will come, or not, before its deadline."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PendingSignature"]


class PendingSignature:
    """Safe to share between threads.

    Args:
        digest: What is signed.
        uri: The key.
        deadline: Until when there is a use for it, on the clock of `time.monotonic`.

    Attributes:
        attempts: How often the backend was asked.
    """

    __slots__ = (
        "_callbacks",
        "_gate",
        "_lock",
        "_outcome",
        "attempts",
        "deadline",
        "digest",
        "uri",
    )

    def __init__(self, digest: bytes, *, uri: str, deadline: float) -> None:
        self.digest = digest
        self.uri = uri
        self.deadline = deadline
        self.attempts = 0
        self._outcome: bytes | KeyBackendError | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        self._gate.acquire()

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome is not None

    def settle(self, outcome: bytes | KeyBackendError) -> bool:
        """Say what became of it.

        Args:
            outcome: The signature, or why there is none.

        Returns:
            Whether nothing was said before: the first one counts.
        """
        with self._lock:
            if self._outcome is not None:
                return False
            self._outcome = outcome
            callbacks, self._callbacks = self._callbacks, []
        self._gate.release()
        for call in callbacks:
            call()
        return True

    def expire(self) -> None:
        """Give up waiting."""
        self.settle(
            KeyUnavailable(
                "there was no signature before the deadline: its backend is slow or down; see "
                "what the log says about it",
                uri=self.uri,
            )
        )

    def when_done(self, call: Callable[[], None]) -> None:
        """Call something, which must not raise, once: as soon as the outcome is known.

        Args:
            call: What to call; by the thread that knows, or at once by this one.
        """
        with self._lock:
            if self._outcome is None:
                self._callbacks.append(call)
                return
        call()

    def result(self) -> bytes:
        """Return the signature, waiting for it until the deadline.

        Raises:
            KeyBackendError: There is none.
        """
        if self._outcome is None:
            left = self.deadline - time.monotonic()
            if self._gate.acquire(timeout=max(left, 0.0)):
                self._gate.release()
            else:
                self.expire()
        outcome = self._outcome
        if isinstance(outcome, bytes):
            return outcome
        if outcome is None:  # settle() says so before it opens the gate
            raise KeyUnavailable("the signature was given up", uri=self.uri)
        raise outcome.with_traceback(None)
