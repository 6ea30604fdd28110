"""A signature that was asked for and will come, or not, before its deadline.

Whoever takes it verifies it: what comes in one call is not verified by one thread, which all
would wait for, and the thread that makes calls makes the next one meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.errors import KeyBackendError, KeyUnavailable
from dkimcore.keys.events import survive
from dkimcore.keys.tracebacks import fresh_copy

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PendingSignature"]

Check: TypeAlias = "Callable[[bytes, bytes], bytes | KeyBackendError]"

_MOMENT = 1.0  # seconds, of which a thread that is settling needs a millionth


class PendingSignature:
    """Safe to share between threads.

    Nobody ever waits for a lock of it: a process may be forked while another thread settles it.

    Args:
        digest: What is signed.
        uri: The key.
        deadline: Until when there is a use for it, on the clock of `time.monotonic`.
        check: Returns signature data that fit the digest, or the error that takes their place;
            None: they are known to fit.

    Attributes:
        attempts: How often the backend was asked.
    """

    __slots__ = (
        "_answer",
        "_callbacks",
        "_check",
        "_first",
        "_gate",
        "_outcome",
        "attempts",
        "deadline",
        "digest",
        "uri",
    )

    def __init__(
        self, digest: bytes, *, uri: str, deadline: float, check: Check | None = None
    ) -> None:
        self.digest = digest
        self.uri = uri
        self.deadline = deadline
        self.attempts = 0
        self._check = check
        self._answer: bytes | KeyBackendError | None = None
        self._outcome: bytes | KeyBackendError | None = None  # the answer, checked
        self._callbacks: deque[Callable[[], None]] = deque()
        self._first = threading.Lock()  # whoever gets it settles; it is never given back
        self._gate = threading.Lock()
        self._gate.acquire()

    @property
    def done(self) -> bool:
        """Whether it has come, or will not."""
        return self._answer is not None

    def settle(self, outcome: bytes | KeyBackendError) -> bool:
        """Say what became of it.

        Args:
            outcome: The signature, not verified yet, or why there is none.

        Returns:
            Whether nothing was said before: the first one counts.
        """
        if not self._first.acquire(blocking=False):
            return False
        self._answer = outcome
        self._gate.release()
        if self._callbacks:
            self._call_back()
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
        """Call something, which must not raise, once: as soon as it is `done`.

        Args:
            call: What to call; by the thread that knows, or at once by this one.
        """
        self._callbacks.append(call)
        # If it was settled meanwhile: each is taken, and so called, by one of us two.
        if self._answer is not None:
            self._call_back()

    def _call_back(self) -> None:
        while True:
            try:
                call = self._callbacks.popleft()
            except IndexError:
                return
            survive(call)

    def result(self) -> bytes:
        """Return the signature, which was verified, waiting for it until the deadline.

        Raises:
            KeyBackendError: There is none.
        """
        outcome = self._outcome
        if outcome is None:
            # Threads that come together each check it, to the same end.
            outcome = self._outcome = self._checked(self._awaited())
        if isinstance(outcome, bytes):
            return outcome
        raise fresh_copy(outcome)

    def _awaited(self) -> bytes | KeyBackendError:
        """Return the answer, waiting for it until the deadline."""
        if self._answer is None:
            left = self.deadline - time.monotonic()
            is_open = self._gate.acquire(timeout=max(left, 0.0))
            if not is_open:
                self.expire()
                # A thread that was quicker says what, unless it stayed behind in a fork.
                is_open = self._gate.acquire(timeout=_MOMENT)
            if is_open:
                self._gate.release()
        if self._answer is None:
            return KeyUnavailable("the signature was given up", uri=self.uri)
        return self._answer

    def _checked(self, answer: bytes | KeyBackendError) -> bytes | KeyBackendError:
        if self._check is None or not isinstance(answer, bytes):
            return answer
        return self._check(answer, self.digest)
