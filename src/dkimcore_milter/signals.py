"""The signals that the supervisor obeys, as events of its loop.

SIGTERM and SIGINT end the filter, SIGHUP and SIGUSR1 read the settings again (OpenDKIM ends at
SIGHUP), SIGCHLD tells of workers.  Python runs handlers between two instructions of the main
thread, so that an end can also interrupt the loading of large tables.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from enum import Enum
from typing import TYPE_CHECKING

from dkimcore_milter.readable import readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = ["OBEYED", "Event", "Interrupted", "Signals", "blocked"]


class Event(Enum):
    """What a signal asks for."""

    STOP = "stop"
    RELOAD = "reload"
    CHILD = "child"


OBEYED = {
    signal.SIGTERM: Event.STOP,
    signal.SIGINT: Event.STOP,
    signal.SIGHUP: Event.RELOAD,
    signal.SIGUSR1: Event.RELOAD,
    signal.SIGCHLD: Event.CHILD,
}


class Interrupted(BaseException):
    """The filter is to end, while something long was going on."""


class Signals:
    """Takes the signals of `OBEYED` until `close`; for the main thread only."""

    def __init__(self) -> None:
        self._pending: set[Event] = set()
        self._interruptible = False
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.settimeout(0)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._on_signal) for number in OBEYED}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OBEYED)  # whoever started us may block them

    def close(self) -> None:
        """Leave the signals to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._woken.close()
        self._waker.close()

    def wait(
        self, timeout: float | None = None, *, also: Sequence[socket.socket] = ()
    ) -> frozenset[Event]:
        """Wait for signals.

        Args:
            timeout: Seconds; None means until one comes.
            also: Sockets; what can be read from one ends the wait as well.

        Returns:
            What came since the last call; nothing if the time was up.
        """
        if not self._pending:
            readable((self._woken, *also), timeout)
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        events = frozenset(self._pending)
        self._pending -= events
        return events

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal to end break off what the block does.

        Raises:
            Interrupted: It came; `wait` tells of it as well.
        """
        self._interruptible = True
        try:
            if Event.STOP in self._pending:
                raise Interrupted
            yield
        finally:
            self._interruptible = False

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        event = OBEYED[signal.Signals(number)]
        self._pending.add(event)
        if event is Event.STOP and self._interruptible:
            self._interruptible = False
            raise Interrupted


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Hold the signals of `OBEYED` back, for a fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
