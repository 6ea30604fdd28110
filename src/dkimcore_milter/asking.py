"""The signatures of one message, asked for side by side.

Keys that are kept elsewhere are all asked before those at hand sign, and nobody waits: whoever
wants to know is called when the last one is there, or was given up.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError
from dkimcore.keys.signing import start_signing
from dkimcore_milter.keymeter import count_key_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys import SigningKey
    from dkimcore.keys.pending import PendingSignature
    from dkimcore_milter.meter import Meter
    from dkimcore_milter.metrics import Timer

__all__ = ["Asked", "deadline_in", "signs_here"]


def signs_here(key: SigningKey) -> bool:
    """Whether a key signs in this process, so that nobody has to wait."""
    return bool(getattr(key, "is_local", False))


def deadline_in(seconds: float) -> float:
    """Return when so many seconds are over, on the clock of `time.monotonic`."""
    return monotonic() + seconds


class Asked:
    """Signatures that were asked for.

    Args:
        wanted: Keys, SHA-256 header hashes, and what times each key.
        deadline: Until when they are wanted, on the clock of `time.monotonic`.
        meter: Counts.
    """

    __slots__ = ("_left", "_lock", "_meter", "_outcomes", "_pending", "_tell", "_wanted")

    def __init__(
        self, wanted: Sequence[tuple[SigningKey, bytes, Timer]], *, deadline: float, meter: Meter
    ) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._tell: Callable[[], None] | None = None
        pending: dict[int, PendingSignature] = {}
        order = sorted(range(len(wanted)), key=lambda number: signs_here(wanted[number][0]))
        begun = {}
        for number in order:
            key, digest, _ = wanted[number]
            begun[number] = monotonic()
            pending[number] = start_signing(key, digest, deadline=deadline)
        self._wanted = wanted
        self._pending = tuple(pending[number] for number in range(len(wanted)))
        self._outcomes: list[bytes | KeyBackendError] = []
        # Only now: where a start raises, nobody is called.
        self._left = len(wanted) + 1
        for number, (_, _, timer) in enumerate(wanted):
            self._watch(self._pending[number], timer, begun[number])
        self._one_less()

    def _watch(self, pending: PendingSignature, timer: Timer, begun: float) -> None:
        def done() -> None:
            self._meter.observe(timer, monotonic() - begun)
            self._one_less()

        pending.when_done(done)

    def _one_less(self) -> None:
        with self._lock:
            self._left -= 1
            tell = self._tell if self._left == 0 else None
        if tell is not None:
            tell()

    def when_done(self, tell: Callable[[], None]) -> None:
        """Call something, which must not raise, once: as soon as all outcomes are known.

        Args:
            tell: What to call; by the thread that knows, or at once by this one.
        """
        with self._lock:
            if self._left > 0:
                self._tell = tell
                return
        tell()

    def outcomes(self) -> list[bytes | KeyBackendError]:
        """Return the signatures, or why there is none, waiting until the deadline.

        They are verified here, and not by the threads that got them: the loop has nothing
        better to do than what it can conclude.
        """
        if not self._outcomes:
            self._outcomes = [_outcome(pending) for pending in self._pending]
            for outcome, (_, _, timer) in zip(self._outcomes, self._wanted, strict=True):
                if isinstance(outcome, KeyBackendError):
                    count_key_error(outcome, timer=timer, meter=self._meter)
        return self._outcomes


def _outcome(pending: PendingSignature) -> bytes | KeyBackendError:
    try:
        return pending.result()
    except KeyBackendError as exc:
        return exc
