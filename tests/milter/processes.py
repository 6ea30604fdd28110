"""Looks at processes from outside: children, descriptors, ends."""

from __future__ import annotations

import ctypes
import os
import select
import socket
from contextlib import suppress
from pathlib import Path

__all__ = ["accepted_sockets", "children", "descriptors", "wait_until_gone"]

_PIDFD_GETFD = 438  # syscall number on all architectures of Linux since 5.6


def children(pid: int) -> list[int]:
    """Returns the process ids of a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int) -> set[int]:
    """Returns the open descriptors of a process."""
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def wait_until_gone(pid: int, *, timeout: float = 30.0) -> None:
    """Waits for the end of a process that is not our child.

    Raises:
        AssertionError: It did not end in time.
    """
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            assert select.select([handle], [], [], timeout)[0], f"process {pid} goes on"
        finally:
            os.close(handle)


def accepted_sockets(pid: int) -> list[socket.socket]:
    """Returns copies of the TCP sockets that a process has accepted.

    Raises:
        OSError: We may not look into that process.
    """
    handle = os.pidfd_open(pid)
    found = []
    try:
        for descriptor in descriptors(pid):
            copy = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, handle, descriptor, 0)
            if copy < 0:
                raise OSError(ctypes.get_errno(), "pidfd_getfd")
            if not os.readlink(f"/proc/self/fd/{copy}").startswith("socket:"):
                os.close(copy)
                continue
            taken = socket.socket(fileno=copy)
            with suppress(OSError):
                if taken.family in (socket.AF_INET, socket.AF_INET6) and taken.getpeername():
                    found.append(taken)
                    continue
            taken.close()
    finally:
        os.close(handle)
    return found
