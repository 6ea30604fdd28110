"""What the processes of a milter hold, as Linux tells it: resident memory and descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "processes", "quiet"]

_PROC = Path("/proc")
_EXPORTER_DESCRIPTORS = 64
"""The exporter limits itself to so many (`dkimcore_milter.exporter`), and nothing else does."""

_PAUSE = 0.05
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process.

    Attributes:
        role: ``supervisor``, ``exporter`` or ``worker``.
        pid: Its id.
        resident: VmRSS, in KiB; memory that processes share counts for each.
        proportional: Pss, in KiB; shared memory counts once for all.
        descriptors: How many are open.
    """

    role: str
    pid: int
    resident: int
    proportional: int
    descriptors: int


def processes(supervisor: int) -> list[Process]:
    """Returns a milter's processes: the supervisor and its children, by age."""
    found = []
    tasks = _PROC / str(supervisor) / "task" / str(supervisor) / "children"
    for pid in (supervisor, *sorted(map(int, tasks.read_text().split()))):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found.append(_process(pid, is_supervisor=pid == supervisor))
    return found


def quiet(supervisor: int) -> list[Process]:
    """Returns the processes once their descriptors stay the same for a moment."""
    before = processes(supervisor)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        time.sleep(_PAUSE)  # /proc says nothing when it changes
        now = processes(supervisor)
        if [(one.pid, one.descriptors) for one in now] == [
            (one.pid, one.descriptors) for one in before
        ]:
            return now
        before = now
    return before


def _process(pid: int, *, is_supervisor: bool) -> Process:
    role = "worker"
    if is_supervisor:
        role = "supervisor"
    elif resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] == _EXPORTER_DESCRIPTORS:
        role = "exporter"
    return Process(
        role=role,
        pid=pid,
        resident=_kib(_PROC / str(pid) / "status", "VmRSS:"),
        proportional=_kib(_PROC / str(pid) / "smaps_rollup", "Pss:"),
        descriptors=len(os.listdir(_PROC / str(pid) / "fd")),
    )


def _kib(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise OSError(f"{path} has no {name}")
