"""Takes connections from the listening socket that all workers share.

A worker that has more connections than another leaves new ones alone for a moment.  One that
has as many as it may have, or no descriptor left, leaves them in the system's queue, where
MTAs wait.  None of this ends the worker or keeps it busy.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.metrics import Count, Gauge
from dkimcore_milter.poller import READ

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore_milter.poller import Poller
    from dkimcore_milter.service import Service
    from dkimcore_milter.timers import Timers

__all__ = ["Acceptor"]

_YIELD_SECONDS = 0.001
"""How long a worker leaves a connection to those that have fewer; waking takes 0.1 ms."""

_PAUSE_SECONDS = 0.5
"""How long nothing is accepted when the system refuses."""

_EPISODE_SECONDS = 60.0
"""What happens again sooner than this is not logged again."""

_TRANSIENT = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR})
"""The connection is at fault, not the system (accept(2))."""


class Acceptor:
    """The listening socket's end in one worker.

    Args:
        listener: The listening socket; closed by `stop`.
        service: Its meter and its log are used.
        poller: Tells when somebody connects.
        timers: Calls later.
        clock: Says when it is.
        adopt: Takes a connection.
        maximum: How many connections there may be.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        service: Service,
        poller: Poller,
        timers: Timers,
        clock: Callable[[], float],
        adopt: Callable[[socket.socket], None],
        maximum: int,
    ) -> None:
        self._listener: socket.socket | None = listener
        self._service = service
        self._meter = service.meter
        self._poller = poller
        self._timers = timers
        self._clock = clock
        self._adopt = adopt
        self._maximum = maximum
        self._count = 0
        self._is_watching = False
        self._said: dict[str, float] = {}
        listener.setblocking(False)  # noqa: FBT003 - its only form
        self._meter.set(Gauge.CONNECTIONS, 0)
        self._meter.set(Gauge.ACCEPTING, 1)
        self._watch()

    def closed(self) -> None:
        """Learn that a connection was closed."""
        self._count -= 1
        self._meter.set(Gauge.CONNECTIONS, self._count)
        if self._count == self._maximum - 1:
            self._watch()

    def stop(self) -> None:
        """Take no more; those that wait in the queue are left to the other processes."""
        self._rest()
        self._timers.stop(self._take_one)
        self._meter.set(Gauge.ACCEPTING, 0)
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _watch(self) -> None:
        if self._listener is not None and not self._is_watching:
            self._is_watching = True
            self._poller.register(self._listener, READ, self._on_connection)

    def _rest(self, seconds: float | None = None) -> None:
        """Leave the socket alone; None: until `_watch`."""
        if self._listener is not None and self._is_watching:
            self._is_watching = False
            self._poller.unregister(self._listener)
        if seconds is not None:
            self._timers.set(self._take_one, self._clock() + seconds)

    def _on_connection(self) -> None:
        others = self._meter.others(Gauge.CONNECTIONS) if self._count else ()
        if others and min(others) < self._count:
            self._rest(_YIELD_SECONDS)
        else:
            self._accept()

    def _take_one(self) -> None:
        """Take what nobody else took meanwhile."""
        if self._count < self._maximum:
            self._watch()
            self._accept()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            taken, _ = self._listener.accept()
        except BlockingIOError:
            return  # another worker has it
        except OSError as exc:
            if exc.errno not in _TRANSIENT:
                text = f"cannot accept a connection: {exc.strerror}"
                self._hold_off(Count.LIMIT_DESCRIPTORS, text, "accept-failed")
                self._rest(_PAUSE_SECONDS)
            return
        taken.setblocking(False)  # noqa: FBT003 - its only form
        self._count += 1
        self._meter.set(Gauge.CONNECTIONS, self._count)
        self._meter.count(Count.CONNECTIONS_ACCEPTED)
        self._adopt(taken)
        if self._count >= self._maximum:
            text = f"{self._count} connections, which is as many as may be: others have to wait"
            self._hold_off(Count.LIMIT_CONNECTIONS, text, "connections-full")
            self._rest()

    def _hold_off(self, limit: Count, text: str, event: str) -> None:
        self._meter.count(limit)
        now, before = self._clock(), self._said.get(event)
        self._said[event] = now
        if before is None or now - before > _EPISODE_SECONDS:
            self._service.log(LogLine(level=Level.WARNING, text=text, event=event))
