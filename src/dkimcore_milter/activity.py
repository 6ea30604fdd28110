"""What a worker is doing: how many connections it has, and how many messages are under way.

The adapter counts; the worker waits for the counts to become nothing before it ends.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Activity"]

_REPLY_TIME = 0.05
"""Seconds that libmilter gets to send the reply after a callback has returned it."""


class Activity:
    """Counts of connections and messages.  Safe to share between threads.

    Args:
        on_idle: Called, by whatever thread, when the last connection is closed.
    """

    def __init__(self, on_idle: Callable[[], None] | None = None) -> None:
        self._changed = threading.Condition()
        self._on_idle = on_idle
        self._connections = 0
        self._messages = 0
        self._last_end = 0.0

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return self._connections

    @property
    def messages(self) -> int:
        """Messages whose end has not come yet."""
        return self._messages

    def connected(self) -> None:
        """Count a connection."""
        with self._changed:
            self._connections += 1

    def disconnected(self) -> None:
        """Count a connection less."""
        with self._changed:
            self._connections -= 1
            idle = self._connections == 0
        if idle and self._on_idle is not None:
            self._on_idle()

    def began(self) -> None:
        """Count a message."""
        with self._changed:
            self._messages += 1

    def ended(self) -> None:
        """Count a message less: its last reply is about to be sent."""
        with self._changed:
            self._messages -= 1
            self._last_end = time.monotonic()
            self._changed.notify_all()

    def wait_for_messages(self, timeout: float) -> bool:
        """Wait until no message is under way and the last reply has been sent.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether all came to their end in time.
        """
        end = time.monotonic() + timeout
        with self._changed:
            done = self._changed.wait_for(lambda: self._messages == 0, timeout)
            now = time.monotonic()
            pause = min(self._last_end + _REPLY_TIME, end) - now
        if done and pause > 0:
            time.sleep(pause)
        return done
