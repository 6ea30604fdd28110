"""Where the processes of a filter count: a board in shared memory, a row for each process.

The supervisor makes the board before it forks.  Each process writes its own row and nobody
else's, so nothing is locked between processes; threads of one process share a lock.  A row
outlives its process: what was counted stays, and the next process goes on from there.  Numbers are
doubles, which every machine we run on writes and reads whole.

What the numbers mean is `dkimcore_milter.metrics`'.
"""

from __future__ import annotations

import mmap
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from dkimcore_milter.metrics import BUCKETS, CELLS, Gauge

if TYPE_CHECKING:
    from dkimcore_milter.metrics import Count, Timer

__all__ = ["SUPERVISOR", "Board", "Measurable", "Meter", "measure"]

SUPERVISOR = 0
"""The supervisor's row; the others are the workers'."""

_ROWS = 8192
"""More than there are processes: 1024 workers at most (DkimcoreWorkers), four times as many that
end (`dkimcore_milter.crew`), and 1024 new ones of a reload."""

_DOUBLE = 8
_WIDTH = -(-CELLS // 8) * 8  # whole cache lines: no two processes write the same one
_GAUGES = tuple(gauge.cell for gauge in Gauge)


class Board:
    """The numbers of all processes; shared with every process forked afterwards.

    Args:
        processes: How many rows there are.
    """

    def __init__(self, processes: int = _ROWS) -> None:
        self._processes = processes
        # Anonymous and shared; pages of rows that nobody uses cost nothing.
        memory = mmap.mmap(-1, (8 + processes * _WIDTH) * _DOUBLE)
        self._numbers = memoryview(memory).cast("d")
        self._taken: set[int] = set()  # the supervisor's; others have old copies of it

    @property
    def processes(self) -> int:
        """How many rows there are."""
        return self._processes

    @property
    def rows(self) -> int:
        """How many rows were in use so far."""
        return int(self._numbers[0])

    @property
    def live_rows(self) -> int:
        """How many rows there are up to the last one that is in use now."""
        return int(self._numbers[1])

    def meter(self, process: int) -> Meter:
        """Return what the process with this row counts with.

        Args:
            process: The number of its row, from 0.
        """
        return Meter(self, process)

    def reserve(self, process: int) -> None:
        """Take a row into use; by the supervisor, before it forks the row's process."""
        self._taken.add(process)
        for number, rows in enumerate((self.rows, self.live_rows)):
            if process >= rows:
                self._numbers[number] = process + 1

    def clear_gauges(self, process: int) -> None:
        """Forget the gauges of a process that is gone; what it counted stays."""
        row = self.row(process)
        for cell in _GAUGES:
            row[cell] = 0.0
        self._taken.discard(process)
        self._numbers[1] = max(self._taken, default=-1) + 1

    def row(self, process: int) -> memoryview[float]:
        """Return the numbers of a process, to read and write."""
        first = 8 + process * _WIDTH
        return self._numbers[first : first + CELLS]

    def values(self, cell: int) -> list[float]:
        """Return a cell of all rows that were in use."""
        return self._column(cell, self.rows)

    def live_values(self, cell: int) -> list[float]:
        """Return a cell of the rows up to the last one that is in use now."""
        return self._column(cell, self.live_rows)

    def _column(self, cell: int, rows: int) -> list[float]:
        return list(self._numbers[8 + cell : 8 + rows * _WIDTH : _WIDTH])


class Meter:
    """What one process counts with; its threads may share it.

    Args:
        board: Where the numbers are.
        process: The number of the process's row.
    """

    __slots__ = ("_board", "_lock", "_process", "_row")

    def __init__(self, board: Board, process: int) -> None:
        board.reserve(process)
        self._board = board
        self._process = process
        self._row = board.row(process)
        self._lock = threading.Lock()

    @classmethod
    def alone(cls) -> Meter:
        """Return a meter that nobody else reads."""
        return cls(Board(1), 0)

    def count(self, count: Count, amount: float = 1.0) -> None:
        """Add to what only grows."""
        with self._lock:
            self._row[count.cell] += amount

    def set(self, gauge: Gauge, value: float) -> None:
        """Say what a gauge shows now."""
        self._row[gauge.cell] = value

    def add(self, gauge: Gauge, delta: float) -> None:
        """Let a gauge go up or down."""
        with self._lock:
            self._row[gauge.cell] += delta

    def observe(self, timer: Timer, seconds: float) -> None:
        """Put a duration into a histogram."""
        bucket = timer.cell + bisect_left(BUCKETS, seconds)
        with self._lock:
            self._row[bucket] += 1.0
            self._row[timer.sum_cell] += seconds

    def finish(self, gauge: Gauge, count: Count, timer: Timer, *, seconds: float) -> None:
        """Count the end of something: one less in the gauge, one more in the others."""
        row = self._row
        bucket = timer.cell + bisect_left(BUCKETS, seconds)
        with self._lock:
            row[gauge.cell] -= 1.0
            row[count.cell] += 1.0
            row[bucket] += 1.0
            row[timer.sum_cell] += seconds

    def value(self, cell: Count | Gauge) -> float:
        """Return what this process counted so far, or what its gauge shows."""
        return self._row[cell.cell]

    def others(self, gauge: Gauge) -> list[float]:
        """Return that gauge of all other processes that accept connections."""
        # The supervisor may take rows into use or give them up between the two lines.
        accepting = self._board.live_values(Gauge.ACCEPTING.cell)
        values = self._board.live_values(gauge.cell)
        own = self._process
        return [
            value
            for process, (value, accepts) in enumerate(zip(values, accepting, strict=False))
            if accepts and process != own
        ]


@runtime_checkable
class Measurable(Protocol):
    """What is made before the workers are, and counts what happens in each of them."""

    def measure(self, meter: Meter) -> None:
        """Count there from now on."""
        ...


def measure(thing: object, meter: Meter) -> None:
    """Let something count there, if it counts at all."""
    if isinstance(thing, Measurable):
        thing.measure(meter)
