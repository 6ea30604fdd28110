"""What a worker says of itself now and then: that its loop turns, its memory, its descriptors.

Read from /proc; where there is none (another system, ChangeRootDirectory) memory and
descriptors are not shown.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from dkimcore_milter.metrics import Gauge

if TYPE_CHECKING:
    from dkimcore_milter.meter import Meter

__all__ = ["VITALS_SECONDS", "open_descriptors", "resident_memory", "show_vitals"]

VITALS_SECONDS = 5.0
"""How often a worker is looked at; a scrape comes every 15 s or less often."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_memory() -> int | None:
    """Return how many octets of memory this process has now; None if that is not known."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/statm", "rb") as f:
        return int(f.read(256).split()[1]) * _PAGE
    return None


def open_descriptors() -> int | None:
    """Return how many file descriptors this process has open; None if that is not known."""
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/fd")) - 1  # listing takes one itself
    return None


def show_vitals(meter: Meter) -> None:
    """Let the gauges of this process show how it is; to be called by its loop."""
    meter.set(Gauge.HEARTBEAT, time.monotonic())
    meter.set(Gauge.RESIDENT_MEMORY, resident_memory() or 0)
    meter.set(Gauge.OPEN_DESCRIPTORS, open_descriptors() or 0)
