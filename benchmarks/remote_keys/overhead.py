"""What local signing loses to the key store around it: alternating blocks in one thread."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import repeat
from typing import TYPE_CHECKING

from benchmarks.remote_keys.scenario import ALGORITHMS
from benchmarks.report import Section, Target
from benchmarks.rounds import Plan, Spread, duration, measure, ratio
from dkimcore.keys.signing import start_signing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.remote_keys.sites import Sites
    from benchmarks.rounds import Timed
    from dkimcore.keys.stored import StoredKey

__all__ = ["overhead"]

_GOAL = 1.02
_DIGEST = bytes(range(32))


def overhead(sites: Sites, *, rounds: int, slot: float) -> Section:
    """Compares a key of the store with the same key without it.

    Args:
        sites: Where the keys are.
        rounds: How many; the figure is the median of their ratios.
        slot: Seconds of each contender in one round.
    """
    section = Section(
        title="The key store around a local key",
        note="CPU time of one signature in turns of a few milliseconds; ratios to the key alone, "
        "with the least and the greatest of the rounds. Started: as a program asks that has keys "
        "elsewhere too, which gets an object with the outcome.",
        columns=["algorithm", "the key alone", "in the store", "ratio", "started", "ratio"],
    )
    plan = Plan(rounds=rounds, slot=slot, budget=1000.0)
    for algorithm, name in ALGORITHMS.items():
        key = sites.local(algorithm)
        found = measure({what: _timed(call) for what, call in _contenders(key)}, plan)
        stored = ratio(found["stored"], found["alone"])
        started = ratio(found["started"], found["alone"])
        times = [duration(Spread.of(found[what]).median) for what in ("alone", "stored", "started")]
        section.rows.append([name, times[0], times[1], _finely(stored), times[2], _finely(started)])
        section.data.append(
            {"algorithm": algorithm, "seconds": found, "ratio": asdict(stored)}
            | {"started": asdict(started)}
        )
        section.targets.append(
            Target(
                name=f"{name}: a signature by the store to one by the key alone",
                goal="less than 1.02 times as long",
                figure=_finely(stored),
                reached=stored.median < _GOAL,
            )
        )
    return section


def _contenders(key: StoredKey) -> Iterator[tuple[str, Callable[[], object]]]:
    alone = key.backend_key.sign_digest
    stored = key.sign_digest
    yield "alone", lambda: alone(_DIGEST)
    yield "stored", lambda: stored(_DIGEST)
    yield "started", lambda: start_signing(key, _DIGEST).result()


def _timed(function: Callable[[], object]) -> Timed:
    """As `rounds.timed`, by the thread's own time: a neighbour's turn would hide 2 %."""

    def run(count: int) -> float:
        start = time.thread_time()
        for _ in repeat(None, count):
            function()
        return time.thread_time() - start

    return run


def _finely(spread: Spread) -> str:
    return f"{spread.median:.3f} ({spread.low:.3f}..{spread.high:.3f})"
