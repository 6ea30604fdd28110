"""Measures: every cell has its turn in every round, in another order, with local signing beside it.

A shared machine is faster at one moment than at the next, so a cell is compared only with the
local signing right before and after it.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.remote_keys.callers import Turn, keep_in_flight, sign_locally
from benchmarks.rounds import Spread
from benchmarks.throughput.contest import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.remote_keys.apart import Asked
    from benchmarks.remote_keys.scenario import Cell, Pace
    from benchmarks.remote_keys.sites import Sites

__all__ = ["Outcome", "measure"]

_SEED = 5  # the same orders in every run


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a cell.

    Attributes:
        cell: What was measured.
        turns: Its turns.
        local: Local signing beside each turn.
        asked: How often the stand-in was asked in each turn; nothing where it was not.
    """

    cell: Cell
    turns: list[Turn] = field(default_factory=list)
    local: list[Turn] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    @property
    def rate(self) -> Spread:
        """Signatures a second."""
        return Spread.of([turn.rate for turn in self.turns])

    @property
    def ratio(self) -> Spread:
        """The same as a part of local signing, turn by turn."""
        return Spread.of(
            [turn.rate / local.rate for turn, local in zip(self.turns, self.local, strict=True)]
        )

    def latency(self, part: float) -> Spread:
        """Seconds that this part of a turn's signatures took at most."""
        return Spread.of([percentile(turn.latencies, part) for turn in self.turns])

    @property
    def cpu(self) -> float:
        """CPU seconds of this process for one signature."""
        return sum(turn.cpu for turn in self.turns) / self._signatures

    @property
    def server_cpu(self) -> float:
        """CPU seconds of the server for one signature."""
        return sum(turn.server_cpu for turn in self.turns) / self._signatures

    @property
    def batch(self) -> float | None:
        """How many signatures a request to the stand-in asked for; None where there was none."""
        requests = sum(one.requests for one in self.asked)
        return sum(one.signatures for one in self.asked) / requests if requests else None

    @property
    def _signatures(self) -> int:
        return sum(turn.signatures for turn in self.turns)


def measure(cells: Sequence[Cell], sites: Sites, pace: Pace) -> list[Outcome]:
    """Measures cells.

    Args:
        cells: What to measure.
        sites: Where the keys are.
        pace: How long.

    Raises:
        NoSignature: One did not come.
    """
    outcomes = [Outcome(cell=cell) for cell in cells]
    for number in range(pace.rounds):
        order = list(outcomes)
        random.Random(_SEED + number).shuffle(order)
        for outcome in order:
            _turn(outcome, sites, pace)
        print(
            f"round {number + 1}/{pace.rounds} of {len(cells)} cells", file=sys.stderr, flush=True
        )
    return outcomes


def _turn(outcome: Outcome, sites: Sites, pace: Pace) -> None:
    """Measures a cell once, between two halves of its share of local signing."""
    place = outcome.cell.place
    key, local = sites.key(place), sites.local(place.algorithm)
    before = sign_locally(local, seconds=pace.local / 2)
    asked = sites.stand_in.asked()
    if place.is_fetched:
        turn = sign_locally(key, seconds=pace.local)
    else:
        turn = keep_in_flight(
            key,
            outcome.cell.in_flight,
            seconds=pace.seconds,
            server_cpu=lambda: sites.cpu(place),
        )
    outcome.turns.append(turn)
    outcome.asked.append(sites.stand_in.asked().since(asked))
    after = sign_locally(local, seconds=pace.local / 2)
    outcome.local.append(
        Turn(
            signatures=before.signatures + after.signatures,
            elapsed=before.elapsed + after.elapsed,
            cpu=before.cpu + after.cpu,
            latencies=before.latencies + after.latencies,
        )
    )
