"""The process that serves the metrics (DkimcoreMetrics), as its supervisor sees it.

A child of the supervisor, so that neither it nor a worker ever speaks HTTP.  Mail does not
depend on it: when it dies it is started again, when that fails it is tried later.  It ends
with its supervisor, whose end of a connection between the two is then closed.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

from dkimcore_milter.signals import OBEYED, blocked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkimcore_milter.meter import Board

__all__ = ["Exporter", "check_installed"]

_PAUSE_SECONDS = 1.0
"""How long after a start the next one may be."""

_DESCRIPTORS = 64


def check_installed() -> str | None:
    """Import what serving needs, while its files can be reached.

    Returns:
        What to do if it is not there.
    """
    try:
        import dkimcore_milter.scrape  # noqa: F401 - costs memory that few need
    except ImportError as exc:
        return (
            f"DkimcoreMetrics needs prometheus-client ({exc}): run pip install 'dkimcore[milter]', "
            "or take DkimcoreMetrics out"
        )
    return None


class Exporter:
    """The process, while there is one.

    Args:
        listener: Where it serves; it listens already.
        board: Where the processes count.
    """

    def __init__(self, listener: socket.socket, board: Board) -> None:
        self._listener = listener
        self._board = board
        self._pid: int | None = None
        self._control: socket.socket | None = None
        self._not_before = 0.0

    @property
    def due(self) -> float | None:
        """When to call `start` again, on the clock `time.monotonic`; None if it runs."""
        return self._not_before if self._pid is None else None

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What no worker may hold open."""
        return (self._listener, *((self._control,) if self._control is not None else ()))

    def start(self, *, close: Iterable[int]) -> bool:
        """Start it, unless it runs or was started a moment ago.

        Args:
            close: The descriptors that the new process closes.

        Returns:
            Whether it was started.
        """
        now = time.monotonic()
        if self._pid is not None or now < self._not_before:
            return False
        self._not_before = now + _PAUSE_SECONDS
        try:
            ours, theirs = socket.socketpair()
        except OSError:  # no descriptors are left
            return False
        with theirs, blocked():
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                return False
            if pid == 0:
                for descriptor in (ours.fileno(), *close):
                    os.close(descriptor)
                _live(self._listener, self._board, theirs)
        self._pid, self._control = pid, ours
        return True

    def reap(self) -> str | None:
        """Forget it if it has ended, and say how; None if it lives, or never did."""
        if self._pid is None:
            return None
        pid, wait_status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return None
        self._forget()
        code = os.waitstatus_to_exitcode(wait_status)
        how = f"terminated with signal {-code}" if code < 0 else f"exited with status {code}"
        return f"exporter {pid} {how}"

    def end(self) -> None:
        """End it; nothing is lost with it."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._forget()
        self._listener.close()

    def _forget(self) -> None:
        self._pid = None
        if self._control is not None:
            self._control.close()
            self._control = None


def _live(listener: socket.socket, board: Board, control: socket.socket) -> None:
    """Be the exporter; never returns."""
    try:
        _serve(listener, board, control)
    except BaseException:  # noqa: BLE001, S110 - nothing may get back into the supervisor's code
        pass
    finally:
        os._exit(os.EX_SOFTWARE)


def _serve(listener: socket.socket, board: Board, control: socket.socket) -> None:
    from dkimcore_milter.scrape import ScrapeServer

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in set(OBEYED) - {signal.SIGCHLD}:  # service managers send them to all of a group
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    threading.Thread(target=_end_with, args=(control,), daemon=True).start()
    supervisor = os.getppid()
    server = ScrapeServer(listener, board=board, is_supervised=lambda: os.getppid() == supervisor)
    server.serve_forever(poll_interval=60.0)


def _end_with(control: socket.socket) -> None:
    """End as soon as the supervisor is gone."""
    with contextlib.suppress(OSError):
        control.recv(1)
    os._exit(os.EX_OK)
