"""Measures: each filter has its turn, several times, and only neighbours are compared."""

from __future__ import annotations

import contextlib
import os
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.rounds import Spread
from benchmarks.throughput.answers import Failed
from benchmarks.throughput.generator import Lane, Load, drive
from benchmarks.throughput.processes import Memory, cpu_seconds, memory
from benchmarks.throughput.scenario import (
    KB,
    OPENDKIM,
    OURS,
    Cell,
    client,
    contestants,
    witness,
)
from tests.servers.dkimcoremilter import DkimcoreMilter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.throughput.bare import BareSigning, Pure
    from benchmarks.throughput.generator import Run
    from benchmarks.throughput.mail import Mail
    from benchmarks.throughput.scenario import Pace
    from tests.servers.filterprocess import FilterProcess

__all__ = ["Figures", "Outcome", "crowd", "measure", "percentile"]

BUSY = 64  # connections that work beside those that are idle
_SAMPLES = 2  # of a turn, verified after it
_LEAST = 4  # messages of a turn
_TOLD = 4000  # characters of what a filter wrote before a message failed


@dataclass(slots=True, kw_only=True)
class Figures:
    """What is known of one filter in one cell.

    Attributes:
        runs: Its turns.
        memory: The most that it used.
    """

    runs: list[Run] = field(default_factory=list)
    memory: Memory = field(default_factory=lambda: Memory(peak=0, proportional=0))

    @property
    def rates(self) -> list[float]:
        """Messages a second, turn by turn."""
        return [run.rate for run in self.runs]

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes for 1000 messages."""
        return 1000 * sum(run.cpu for run in self.runs) / self._messages()

    @property
    def own_cpu(self) -> float:
        """CPU seconds of the generator for 1000 messages."""
        return 1000 * sum(run.own_cpu for run in self.runs) / self._messages()

    def latency(self, part: float) -> float:
        """Seconds that this part of all messages took at most."""
        return percentile([taken for run in self.runs for taken in run.latencies], part)

    def _messages(self) -> int:
        return sum(run.messages for run in self.runs)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a cell.

    Attributes:
        cell: What was measured.
        figures: Of each filter.
        bare: RSA alone, turn by turn; empty where it is not compared.
    """

    cell: Cell
    figures: dict[str, Figures]
    bare: list[Pure] = field(default_factory=list)

    @property
    def ratio(self) -> Spread:
        """How many times opendkim's messages a second ours has, compared turn by turn."""
        return _turn_by_turn(self.figures[OURS].rates, self.figures[OPENDKIM].rates)

    @property
    def waiting(self) -> Spread:
        """How many times opendkim's median latency ours is, compared turn by turn."""
        return _turn_by_turn(
            *(
                [statistics.median(run.latencies) for run in self.figures[name].runs]
                for name in (OURS, OPENDKIM)
            )
        )

    def share(self, *, less_generator: bool) -> Spread:
        """Our messages a second as a part of what RSA alone reaches.

        Args:
            less_generator: Whether RSA alone has only the CPU time that the generator leaves.
        """
        cores, possible = os.cpu_count() or 1, []
        for run, pure in zip(self.figures[OURS].runs, self.bare, strict=True):
            free = 1 - run.own_cpu / (run.elapsed * cores) if less_generator else 1.0
            possible.append(pure.rate * free)
        return _turn_by_turn(self.figures[OURS].rates, possible)

    def cpu_share(self, *, less_generator: bool) -> Spread:
        """RSA alone as a part of the CPU time of a message of ours.

        No rate can be a greater part than this, unless other work disturbed the one more than
        the other.

        Args:
            less_generator: Whether the generator's CPU time is left out.
        """
        ours = [
            (run.cpu + (0 if less_generator else run.own_cpu)) / run.messages
            for run in self.figures[OURS].runs
        ]
        return _turn_by_turn([pure.cpu for pure in self.bare], ours)


def measure(cell: Cell, mail: Mail, pace: Pace, bare: BareSigning | None = None) -> Outcome:
    """Measures a cell.

    Args:
        cell: What to measure.
        mail: The messages.
        pace: How long.
        bare: RSA alone; None leaves it out.

    Raises:
        Failed: A message failed.
        WrongAnswer: A signature does not verify.
    """
    with contextlib.ExitStack() as stack:
        filters = {
            name: stack.enter_context(one) for name, one in contestants(cell, mail.pair).items()
        }
        outcome = Outcome(cell=cell, figures={name: Figures() for name in filters})
        for turn in range(pace.turns):
            # Who begins changes: what a machine does over a cell hits both alike.
            for name in sorted(filters, reverse=turn % 2 == 1):
                figures = outcome.figures[name]
                with _named(f"{name}, {cell}", filters[name]):
                    run, used = _turn(cell, mail, pace, filters[name])
                figures.runs.append(run)
                figures.memory = _most(figures.memory, used)
            if bare is not None and cell.against_bare:
                outcome.bare.append(bare.sign(pace.seconds))
    return outcome


def crowd(mail: Mail, pace: Pace) -> Run:
    """Lets 64 connections send while many more are open and idle; those send one message at last.

    Raises:
        Failed: A connection was refused or closed, or a message failed.
    """
    cell = Cell(operation="sign", octets=2 * KB, connections=BUSY)
    with contestants(cell, mail.pair)[OURS] as server, _named(f"{OURS}, crowd", server):
        with _lanes(server, cell, pace.crowd) as idle, _lanes(server, cell, BUSY) as busy:
            run = _drive(cell, mail, pace.seconds * pace.turns, server, busy)
            run.total += _drive(cell, mail, 0, server, idle).total
        return run


def percentile(figures: Sequence[float], part: float) -> float:
    """Returns the figure that this part of all figures does not exceed.

    Args:
        figures: At least one.
        part: From 0 to 1.
    """
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _turn_by_turn(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])


def _turn(cell: Cell, mail: Mail, pace: Pace, server: FilterProcess) -> tuple[Run, Memory]:
    with _lanes(server, cell, cell.connections) as lanes:
        run = _drive(cell, mail, pace.seconds, server, lanes)
        return run, memory(server.pid)


def _drive(
    cell: Cell, mail: Mail, seconds: float, server: FilterProcess, lanes: Sequence[Lane]
) -> Run:
    agreed = lanes[0].agreed
    load = Load(
        scripts=mail.scripts(cell, agreed), witness=witness(cell), seconds=seconds, least=_LEAST
    )
    run = drive(lanes, load, lambda: cpu_seconds(server.pid))
    for number, answer in run.samples[:_SAMPLES]:
        mail.check(cell, agreed, number, answer)
    return run


@contextlib.contextmanager
def _lanes(server: FilterProcess, cell: Cell, count: int) -> Iterator[list[Lane]]:
    with contextlib.ExitStack() as stack:
        lanes: list[Lane] = []
        for _ in range(count):
            lanes.append(Lane(server.address, client(cell)))
            stack.callback(lanes[-1].close)
        yield lanes


@contextlib.contextmanager
def _named(what: str, server: FilterProcess) -> Iterator[None]:
    """Says which filter failed, and what it wrote."""
    try:
        yield
    except Failed as error:
        told = server.output()
        if isinstance(server, DkimcoreMilter):
            told += "".join(f"{entry}\n" for entry in server.log()[1:])
        raise Failed(f"{what}: {error}\n{told[:_TOLD]}") from error


def _most(one: Memory, other: Memory) -> Memory:
    return Memory(
        peak=max(one.peak, other.peak), proportional=max(one.proportional, other.proportional)
    )
