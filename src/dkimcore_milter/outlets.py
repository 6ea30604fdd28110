"""Where log lines leave the process: a syslog socket, or standard output.

Neither ever raises or holds mail up: a line that cannot be handed over within `PATIENCE` is
lost, and for `PAUSE` seconds no other one waits.  An outlet may be used by several threads,
and by the children of a fork: each line is one system call.  What lines look like is left to
`logsink`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import threading
import time
from typing import Protocol

__all__ = ["PATIENCE", "PAUSE", "Outlet", "StandardOutput", "SyslogSocket"]

PATIENCE = 0.2
"""Seconds that one line may wait for a reader that is slow."""

PAUSE = 1.0
"""Seconds after a loss during which lines do not wait, and no connection is tried."""


class Outlet(Protocol):
    """Takes whole lines."""

    def send(self, line: bytes) -> bool:
        """Hand over a line, and say whether that worked; never raises."""

    def close(self) -> None:
        """Free the descriptor."""


class SyslogSocket:
    """The socket of the syslog daemon.

    It is connected at once, so that a later chroot() does not matter, and again when the
    daemon was restarted.  Daemons with a stream socket are served too, as by syslog(3).

    Args:
        address: Its path.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._connecting = threading.Lock()
        self._stream = False
        self._not_before = 0.0
        self._connect()

    def send(self, line: bytes) -> bool:
        """Hand over a line."""
        for _ in range(2):  # the second time over a new connection
            connected = self._socket or self._reconnect()
            if connected is None:
                return False
            try:
                connected.sendall(line + b"\0" if self._stream else line)
            except TimeoutError:
                self._lose(connected)
                return False
            except OSError:
                self._drop(connected)
            else:
                return True
        return False

    def close(self) -> None:
        """Free the descriptor; a later line connects again."""
        if self._socket is not None:
            self._drop(self._socket)

    def __del__(self) -> None:  # workers and reloads leave outlets behind
        self.close()

    def _reconnect(self) -> socket.socket | None:
        with self._connecting:  # forks happen where no other thread can hold it
            return self._socket or self._connect()

    def _connect(self) -> socket.socket | None:
        if time.monotonic() < self._not_before:
            return None
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            made = socket.socket(socket.AF_UNIX, kind)
            made.settimeout(PATIENCE)
            try:
                made.connect(self._address)
            except OSError as exc:
                made.close()
                if exc.errno != errno.EPROTOTYPE:
                    break
            else:
                self._stream = kind == socket.SOCK_STREAM
                self._socket = made
                return made
        self._not_before = time.monotonic() + PAUSE
        return None

    def _lose(self, connected: socket.socket) -> None:
        """The daemon does not read: wait for it again after a pause only."""
        self._not_before = time.monotonic() + PAUSE
        self._drop(connected)

    def _drop(self, connected: socket.socket) -> None:
        if self._socket is connected:
            self._socket = None
        connected.close()


class StandardOutput:
    """Standard output: a pipe, a socket of the service manager, a file or a terminal.

    Lines of at most `select.PIPE_BUF` octets from several processes never mix in a pipe.

    Args:
        descriptor: Its descriptor; it stays open.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._own = False
        self._socket: socket.socket | None = None
        self._not_before = 0.0
        self._is_cut = False  # whether half a line of ours stands at the end
        try:
            kind = os.fstat(descriptor).st_mode
        except OSError:
            return  # closed by whoever started us; each line is then lost
        if stat.S_ISFIFO(kind):
            self._reopen()
        elif stat.S_ISSOCK(kind):
            self._socket = socket.socket(fileno=os.dup(descriptor))

    def send(self, line: bytes) -> bool:
        """Hand over a line."""
        try:
            return self._is_ready() and self._write(line)
        except OSError:  # EPIPE: nobody reads; ENOSPC; EAGAIN: another process was faster
            return False

    def close(self) -> None:
        """Free what was opened besides the descriptor."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._own:
            os.close(self._descriptor)
            self._own = False
            self._descriptor = -1

    def __del__(self) -> None:  # workers and reloads leave outlets behind
        self.close()

    def _reopen(self) -> None:
        """Get a description of our own for a pipe, that may be non-blocking.

        O_NONBLOCK on the inherited one would also hit whoever shares it.
        """
        try:
            self._descriptor = os.open(
                f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except OSError:
            return  # no /proc, or another user's pipe: _is_ready() keeps us from waiting
        self._own = True

    def _write(self, line: bytes) -> bool:
        # A disk that is nearly full takes the first octets of a line.
        whole = b"\n" + line if self._is_cut else line
        if self._socket is not None:
            written = self._socket.send(whole, socket.MSG_DONTWAIT)
        else:
            written = os.write(self._descriptor, whole)
        self._is_cut = len(whole) - len(line) < written < len(whole)
        return written == len(whole)

    def _is_ready(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        waits = time.monotonic() >= self._not_before
        events = poll.poll(PATIENCE * 1000 if waits else 0)
        if not events and waits:
            self._not_before = time.monotonic() + PAUSE
        return bool(events)
