"""A worker: a process that serves mail until its supervisor says otherwise, or is gone.

libmilter runs in a thread; the main thread listens to the supervisor.  Signals that are meant
for the supervisor do nothing here: service managers send them to all processes of a group.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore_milter.activity import Activity
from dkimcore_milter.adapter import WAKE_SIGNAL, Service, serve, stop_listening
from dkimcore_milter.failure import StartFailure, describe
from dkimcore_milter.logline import Level, LogLine

if TYPE_CHECKING:
    from types import FrameType

    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.meter import Board, Meter

__all__ = ["DRAIN", "Generation", "work"]

DRAIN = b"d"
"""What a supervisor sends for: take no more connections, end when the last one is closed.  The
worker sends it back as soon as it takes none.  The end of the connection means: end now."""

_FINISH_SECONDS = 0.7
"""How long the messages under way may take at the end."""

_SETTLE_SECONDS = 1.0
"""How long a drained worker stays, for a connection that came just before and said nothing."""


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


def work(generation: Generation, control: socket.socket, *, row: int) -> int:
    """Serve mail, in a process that was forked for it.

    Args:
        generation: What to serve with.
        control: The connection to the supervisor.
        row: Its row of the board.

    Returns:
        The exit status: 0, or 70 if libmilter gave up.
    """
    _take_signals()
    gc.freeze()  # or collections would copy what is shared with the supervisor
    return _Worker(generation, control, generation.board.meter(row)).run()


def _take_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(WAKE_SIGNAL, _ignore)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    meant_for_supervisor = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}
    for number in meant_for_supervisor:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler, so that the signal interrupts a system call and does nothing else."""


class _Worker:
    def __init__(self, generation: Generation, control: socket.socket, meter: Meter) -> None:
        self._meter = meter
        self._generation = generation
        self._control = control
        self._woken, self._waker = socket.socketpair()
        self._waker.settimeout(0)
        self._activity = Activity(self._wake)
        self._failed = False
        self._thread = threading.Thread(target=self._serve, name="libmilter", daemon=True)
        self._silence: socket.socket | None = None
        self._drained_at = 0.0

    def run(self) -> int:
        self._thread.start()
        while not self._failed:
            ready, _, _ = select.select((self._control, self._woken), (), (), self._patience())
            if self._woken in ready:
                self._woken.recv(64)
            if self._control in ready and not self._obey():
                self._stop_listening()
                self._activity.wait_for_messages(_FINISH_SECONDS)
                return os.EX_OK
            if self._is_done():
                return os.EX_OK
        return os.EX_SOFTWARE

    def _obey(self) -> bool:
        """Read what the supervisor says; False means to end now."""
        try:
            said = self._control.recv(64)
        except OSError:
            return False
        if DRAIN in said and self._silence is None:
            self._stop_listening()
            self._drained_at = time.monotonic()
            self._control.send(DRAIN)
        return bool(said)

    def _patience(self) -> float | None:
        """How long to wait before `_is_done` may say something else."""
        if self._silence is None or self._activity.connections:
            return None
        return max(0.0, self._drained_at + _SETTLE_SECONDS - time.monotonic())

    def _is_done(self) -> bool:
        return self._patience() == 0.0

    def _stop_listening(self) -> None:
        if self._silence is None and self._thread.ident is not None:
            self._silence = stop_listening(self._generation.listener, thread=self._thread.ident)

    def _serve(self) -> None:
        generation = self._generation
        try:
            serve(
                Service(
                    engine=generation.engine,
                    log=generation.log,
                    activity=self._activity,
                    inet=generation.inet,
                )
            )
        except StartFailure as exc:
            self._say(str(exc))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the worker ends and says why
            self._say(describe(exc)[0])
        self._failed = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is awake already
            self._waker.send(b"!")

    def _say(self, text: str) -> None:
        self._generation.log(LogLine(level=Level.ERR, text=text, event="worker-failed"))
