"""Measuring several contenders in turn, and what is said about the figures.

A shared machine is faster at one moment than at the next.  So nobody is measured for long:
contenders change every few milliseconds, a round's figure is the median of such turns, and
only figures of one round are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Plan", "Spread", "Timed", "duration", "measure", "ratio", "timed"]

Timed = Callable[[int], float]
"""Does its work so many times and returns the seconds that took."""


# Shorter than what a scheduler gives another process, so that most turns are undisturbed.
_TURN = 0.008


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long to measure.

    Attributes:
        rounds: How many.
        slot: Seconds of each contender in one round, unless one execution takes longer.
        budget: Seconds of one contender in all rounds; a slow one takes part in fewer.
    """

    rounds: int
    slot: float
    budget: float


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure with what is known of its uncertainty.

    Attributes:
        median: Of all rounds.
        low: The least.
        high: The greatest.
        rounds: How many there were.
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """Sums figures up."""
        return cls(statistics.median(figures), min(figures), max(figures), len(figures))

    def __str__(self) -> str:
        if self.rounds == 1:
            return f"{_number(self.median)} (once)"
        return f"{_number(self.median)} ({_number(self.low)}..{_number(self.high)})"


def timed(function: Callable[[], object]) -> Timed:
    """Makes a contender of a function of this process."""

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in repeat(None, count):
            function()
        return time.perf_counter() - start

    return run


def measure(contenders: Mapping[str, Timed], plan: Plan) -> dict[str, list[float]]:
    """Measures contenders in turn.

    Returns:
        For each, the seconds of one execution in each of its rounds.
    """
    pace = {name: _Pace.of(run, plan) for name, run in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(plan.rounds):
        taking_part = {name: run for name, run in contenders.items() if number < pace[name].rounds}
        turns: dict[str, list[float]] = {name: [] for name in taking_part}
        for turn in range(max(pace[name].turns for name in taking_part)):
            for name, run in taking_part.items():
                if turn < pace[name].turns:
                    # The one before has filled the caches with its own code and data: that
                    # makes some 20 executions up to half as slow again.
                    if pace[name].count > 1:
                        run(pace[name].count // 2)
                    turns[name].append(run(pace[name].count) / pace[name].count)
        for name, figures in turns.items():
            seconds[name].append(statistics.median(figures))
    return seconds


@dataclass(frozen=True, slots=True)
class _Pace:
    """How often a contender runs: executions per turn, turns per round, rounds."""

    count: int
    turns: int
    rounds: int

    @classmethod
    def of(cls, run: Timed, plan: Plan) -> _Pace:
        once = run(1)  # the first execution fills caches and is never counted
        if once < plan.slot * 10:
            once = run(1)
        if once < _TURN:
            once = run(5) / 5
        once = max(once, 1e-9)
        count = max(1, round(_TURN / once))
        turns = max(1, round(plan.slot / (once * count)))
        rounds = int(plan.budget / (once * count * turns))
        return cls(count, turns, max(1, min(plan.rounds, rounds)))


def ratio(slower: Sequence[float], faster: Sequence[float]) -> Spread:
    """How many times as long the one takes as the other, compared round by round."""
    return Spread.of([one / other for one, other in zip(slower, faster, strict=False)])


def duration(seconds: float) -> str:
    """Shows a time of one execution as people read it."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds:.2f} s"


def _number(figure: float) -> str:
    return (
        f"{figure:.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
    )
