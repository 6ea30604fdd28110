"""The run: stretches of messages with a look at all processes after each, and the verdict.

After a stretch all connections are closed, so that what is left is what the processes keep.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.soak.gauges import Process, quiet
from benchmarks.soak.traffic import Tally, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.soak.site import Site

__all__ = ["GROWTH", "WARM_UP", "Look", "Plan", "Soak", "soak"]

GROWTH = 0.05
"""By how much memory may grow after the first messages."""

WARM_UP = 20_000
"""How many messages that are: pools, caches and the allocator's arenas fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done.

    Attributes:
        messages: How many are sent.
        reloads: How often the configuration is loaded anew, in the middle of traffic.
        stretch: How many messages there are between two looks, without reloads.
        warm_up: After how many messages memory may not grow any more.
        lanes: How many connections there are at once.
    """

    messages: int
    reloads: int = 0
    stretch: int = 10_000
    warm_up: int = WARM_UP
    lanes: int = 16

    @property
    def step(self) -> int:
        """How many messages there are between two looks."""
        return self.messages // (self.reloads + 1) if self.reloads else self.stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the processes held, once.

    Attributes:
        messages: How many had been sent.
        processes: What they held.
    """

    messages: int
    processes: list[Process]

    def mean(self, role: str) -> float:
        """Resident memory of one process of a kind, in KiB."""
        return statistics.fmean(one.resident for one in self.processes if one.role == role)

    def proportional(self) -> int:
        """Memory of all processes, what they share counted once, in KiB."""
        return sum(one.proportional for one in self.processes)

    def descriptors(self) -> dict[str, list[int]]:
        """How many descriptors the processes of each kind have."""
        found: dict[str, list[int]] = {}
        for one in self.processes:
            found.setdefault(one.role, []).append(one.descriptors)
        return {role: sorted(found[role]) for role in sorted(found)}


@dataclass(slots=True, kw_only=True)
class Soak:
    """What came of it.

    Attributes:
        plan: What was done.
        looks: What the processes held, from time to time.
        tally: What became of the messages.
        seconds: How long it took.
        complaints: Log lines that there should not be.
    """

    plan: Plan
    tally: Tally
    looks: list[Look] = field(default_factory=list)
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def roles(self) -> list[str]:
        """The kinds of processes."""
        return list(self.looks[-1].descriptors())

    def growth(self, role: str) -> float:
        """By which part a process of a kind grew after the warm-up: the last looks to the first."""
        late = [look.mean(role) for look in self.looks if look.messages >= self.plan.warm_up]
        few = min(3, len(late) // 2) or 1
        return statistics.fmean(late[-few:]) / statistics.fmean(late[:few]) - 1

    def faults(self) -> list[str]:
        """What is not as it should be."""
        found = list(self.complaints)
        for role in self.roles:
            if (growth := self.growth(role)) > GROWTH:
                found.append(f"{role}: memory grew by {growth:.1%}")
        counts = {str(look.descriptors()) for look in self.looks}
        if len(counts) > 1:
            found.append(f"descriptors change: {', '.join(sorted(counts))}")
        tally = self.tally
        if tally.sent != tally.verdicts + tally.given_up or tally.sent != self.plan.messages:
            found.append(f"{tally.sent} messages sent, {tally.verdicts} verdicts")
        return found


def soak(site: Site, plan: Plan, tell: Callable[[str], object]) -> Soak:
    """Sends all messages.

    Args:
        site: The milter.
        plan: What to do.
        tell: Takes lines about progress.

    Raises:
        WrongAnswer: A message did not get just one verdict, the right one.
        TimeoutError: A reload did not come to its end.
    """
    started = time.monotonic()
    traffic = Traffic(site.address, site.key, lanes=plan.lanes)
    run = Soak(plan=plan, tally=traffic.tally)
    reloads = plan.reloads
    with contextlib.closing(traffic):
        while left := plan.messages - run.tally.sent:
            step = left if left < 2 * plan.step else plan.step
            if reloads:
                reloads -= 1
                traffic.run(step, halfway=site.reload)
                site.wait_for_reload()
            else:
                traffic.run(step)
            site.scrape()
            look = Look(messages=run.tally.sent, processes=quiet(site.supervisor))
            run.looks.append(look)
            tell(f"{look.messages} messages, {time.monotonic() - started:.0f} s: {_short(look)}")
    run.seconds = time.monotonic() - started
    run.complaints = site.complaints()
    return run


def _short(look: Look) -> str:
    return ", ".join(f"{one.role} {one.resident} KiB {one.descriptors}" for one in look.processes)
