"""A worker: a process that serves mail until its supervisor says otherwise, or is gone.

One thread runs the loop, which also listens to the supervisor.  Signals that are meant for the
supervisor do nothing here: service managers send them to all processes of a group.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import resource
import signal
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore_milter.keyvitals import show_keys
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.loop import Loop
from dkimcore_milter.meter import measure
from dkimcore_milter.metrics import Count
from dkimcore_milter.service import Service
from dkimcore_milter.vitals import VITALS_SECONDS, resident_memory, show_vitals

if TYPE_CHECKING:
    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.meter import Board, Meter

__all__ = ["CLOSING_SECONDS", "DRAIN", "READY", "RELIEF", "Generation", "work"]

DRAIN = b"d"
"""What a supervisor sends for: take no more connections, end when the last one is closed.  The
worker sends it back as soon as it takes none.  The end of the connection means: end now."""

READY = b"s"
"""What a worker sends when it has all that it needs, and serves."""

RELIEF = b"r"
"""What a worker sends that has grown too much (DkimcoreMaximumMemory): let another take my
place.  It serves until it is told to drain."""

CLOSING_SECONDS = 3.0
"""How long ending logins at key services may take; a module of PKCS #11 may hang for ever."""

_MIB = 1 << 20

_MEANT_FOR_SUPERVISOR = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
)

_FINISH_SECONDS = 0.7
"""How long the messages under way may take at the end."""

_RELIEF_SECONDS = 60.0
"""How long a worker that has grown too much may keep its connections when it was relieved; what
is not over then is tried again.  Nearly all messages take less than a second."""

_MEMORY_SECONDS = 1.0
"""How often a worker looks at its memory, which takes 10 us: a mail server on the same machine
can send some hundred MiB in that time, and not gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What the workers of one configuration share.

    Attributes:
        engine: What decides.
        log: Takes lines; good for several processes.
        listener: The listening socket's descriptor.
        inet: Whether it is a TCP socket.
        board: Where all processes count; of all configurations.
    """

    engine: Engine
    log: LogSink
    listener: int
    inet: bool
    board: Board

    @property
    def logs_in(self) -> bool:
        """Whether its workers may have logins at key services, which they end."""
        return bool(self.engine.keys.schemes)


def work(generation: Generation, control: socket.socket, *, row: int) -> int:
    """Serve mail, in a process that was forked for it.

    Args:
        generation: What to serve with.
        control: The connection to the supervisor.
        row: Its row of the board.

    Returns:
        The exit status.
    """
    _take_signals()
    gc.freeze()  # or collections would copy what is shared with the supervisor
    meter = generation.board.meter(row)
    measure(generation.engine, meter)
    measure(generation.log, meter)
    return _Worker(generation, control, meter).run()


def _take_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in _MEANT_FOR_SUPERVISOR:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _memory() -> int:
    """Octets of memory; the most there ever were, where /proc cannot be read (chroot)."""
    return resident_memory() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _Worker:
    def __init__(self, generation: Generation, control: socket.socket, meter: Meter) -> None:
        self._control = control
        self._engine = generation.engine
        self._logs_in = generation.logs_in
        self._log = generation.log
        self._meter = meter
        self._is_draining = False
        self._has_told = False
        limits = generation.engine.settings.limits
        self._may_grow = limits.memory * _MIB
        self._grown_from = _memory()
        self._end_at = math.inf
        service = Service(
            engine=generation.engine, log=generation.log, meter=meter, inet=generation.inet
        )
        self._loop = Loop(
            service,
            socket.socket(fileno=generation.listener),
            maximum=limits.connections,
            threads=limits.threads,
        )
        self._loop.listen_to(control, self._obey)
        self._loop.every(VITALS_SECONDS, lambda: show_vitals(meter))
        self._loop.every(VITALS_SECONDS, lambda: show_keys(meter, generation.engine.keys.store))
        self._loop.every(_MEMORY_SECONDS, self._look)

    def run(self) -> int:
        with contextlib.suppress(OSError):  # then the end of the connection is next
            self._control.send(READY)
        self._engine.keys.warm_up()
        self._loop.run()
        if self._logs_in:
            self._give_back()
        return os.EX_OK

    def _give_back(self) -> None:
        """End our logins at key services, which would otherwise stay good for their whole time."""
        closing = threading.Thread(target=self._close_keys, daemon=True, name="closes keys")
        with contextlib.suppress(RuntimeError):  # the system has no more threads
            closing.start()
            closing.join(CLOSING_SECONDS)

    def _close_keys(self) -> None:
        with contextlib.suppress(Exception):  # this process ends, and they end by themselves
            self._engine.keys.store.close()

    def _look(self) -> None:
        """Ask for relief if we have become too large; end if we were relieved long enough ago."""
        if self._loop.now >= self._end_at:
            self._end_at = math.inf
            self._loop.finish(_FINISH_SECONDS)
        elif self._is_too_large():
            self._tell()
            if not self._is_draining:
                with contextlib.suppress(OSError):  # asked again at the next look
                    self._control.send(RELIEF)
            elif self._end_at == math.inf:
                self._end_at = self._loop.now + _RELIEF_SECONDS

    def _is_too_large(self) -> bool:
        return 0 < self._may_grow < _memory() - self._grown_from

    def _tell(self) -> None:
        """Say once that we have become too large."""
        if self._has_told:
            return
        self._has_told = True
        self._meter.count(Count.LIMIT_MEMORY)
        grown = (_memory() - self._grown_from) // _MIB
        text = (
            f"grown by {grown} MiB, {self._may_grow // _MIB} allowed: another worker takes the "
            "place of this one"
        )
        self._log(LogLine(level=Level.WARNING, text=text, event="memory-full"))

    def _obey(self) -> None:
        """Do what the supervisor says."""
        try:
            said = self._control.recv(64)
        except OSError:
            said = b""
        if DRAIN in said and not self._is_draining:
            self._is_draining = True
            if self._is_too_large():
                self._end_at = self._loop.now + _RELIEF_SECONDS
            self._loop.stop_listening()
            with contextlib.suppress(OSError):  # then the end of the connection is next
                self._control.send(DRAIN)
        if not said:
            self._end_at = math.inf
            self._loop.ignore(self._control)
            self._loop.finish(_FINISH_SECONDS)
