"""Looks at processes from outside: children, descriptors, ends."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import time
from contextlib import suppress
from pathlib import Path

__all__ = [
    "HAS_IPV6",
    "accepted_sockets",
    "children",
    "descriptors",
    "open_path",
    "wait_until_gone",
]

_PIDFD_GETFD = 438  # syscall number on all architectures of Linux since 5.6


def _has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


HAS_IPV6 = _has_ipv6()
"""Whether this machine has the address ::1; some containers do not."""


def children(pid: int, count: int | None = None) -> list[int]:
    """Returns the process ids of a process's children that live.

    Args:
        pid: Its process id.
        count: Wait until there are so many.

    Raises:
        AssertionError: There are not so many in time.
    """
    end = time.monotonic() + 30.0
    while True:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found = [int(word) for word in words if _lives(int(word))]
        if count is None or len(found) == count:
            return found
        assert time.monotonic() < end, f"{pid} has {len(found)} children"
        time.sleep(0.01)  # nothing tells of a new process


def open_path(tmp_path: Path) -> None:
    """Lets other users through a test's folder, up to what pytest made."""
    tmp_path.chmod(0o711)
    for parent in tmp_path.parents:
        if parent.name.startswith(("pytest-", "popen-")):  # the latter: side by side
            parent.chmod(0o711)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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
