"""Which sockets are ready, and what to call for each: epoll(7), elsewhere than on Linux poll(2).

`selectors` does the same with an object for each event, which takes 1.3 us instead of 0.9 each
time that a loop wakes, as it does for each packet of an MTA that waits for answers.
"""

from __future__ import annotations

import math
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["READ", "WRITE", "Poller"]

READ = select.POLLIN
WRITE = select.POLLOUT
"""As in epoll(7), which took them over."""

_AT_ONCE = 64
"""How many sockets are handled before the loop looks at anything else."""


class Poller:
    """Sockets, what is waited for, and what to call then.

    Errors, and a peer that is gone, are told as what was waited for.

    Args:
        portable: Whether to do without epoll(7), as on systems that have none.

    Attributes:
        calls: What to call, by file descriptor.
    """

    __slots__ = ("_system", "calls")

    def __init__(self, *, portable: bool = not hasattr(select, "epoll")) -> None:
        self._system = _Poll() if portable else select.epoll()
        self.calls: dict[int, Callable[[], None]] = {}

    def register(self, sock: socket.socket, events: int, call: Callable[[], None]) -> None:
        """Wait for events of one more socket."""
        number = sock.fileno()
        self._system.register(number, events)
        self.calls[number] = call

    def modify(self, sock: socket.socket, events: int) -> None:
        """Wait for other events."""
        self._system.modify(sock.fileno(), events)

    def unregister(self, sock: socket.socket) -> None:
        """Forget a socket, which is still open."""
        number = sock.fileno()
        del self.calls[number]
        self._system.unregister(number)

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """Wait until something is ready.

        Args:
            seconds: How long; at once if it is not above 0.

        Returns:
            File descriptors and events.  What is called for one may close another: look up
            each in `calls` when it has its turn.
        """
        return self._system.poll(seconds if seconds > 0.0 else 0.0, _AT_ONCE)

    def close(self) -> None:
        """Wait for nothing more; the sockets stay open."""
        self.calls.clear()
        self._system.close()


class _Poll:
    """poll(2), with the methods of `select.epoll`."""

    __slots__ = ("_poll", "modify", "register", "unregister")

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def poll(self, seconds: float, _at_once: int) -> list[tuple[int, int]]:
        return self._poll.poll(math.ceil(seconds * 1000))

    def close(self) -> None:
        pass
