"""A soak as tables: what the processes held from look to look, what was sent, what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import Section, Target
from benchmarks.soak.soak import GROWTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.soak.soak import Look, Soak

__all__ = ["sections"]

_ROWS = 16


def sections(runs: Sequence[Soak]) -> list[Section]:
    """Returns the tables of runs."""
    return [*map(_memory, runs), *map(_kinds, runs[:1])]


def _memory(run: Soak) -> Section:
    plan = run.plan
    title = f"{plan.messages} messages"
    if plan.reloads:
        title += f", {plan.reloads} reloads"
    return Section(
        title=title,
        note=f"{run.tally.connections} connections, {plan.lanes} at once; {run.seconds:.0f} s. "
        "Resident memory in MiB, of workers the mean; Pss is that of all processes together. "
        "Each look is taken when all connections are closed.",
        columns=["messages", *(_titles(run)), "Pss", "descriptors"],
        rows=[_row(run, look) for look in _some(run.looks)],
        data=[
            {"messages": look.messages, "pss": look.proportional(), **look.descriptors()}
            | {role: look.mean(role) for role in run.roles}
            for look in run.looks
        ],
        targets=_targets(run, title),
    )


def _titles(run: Soak) -> list[str]:
    return [f"{role}s" if role == "worker" else role for role in run.roles]


def _some(looks: Sequence[Look]) -> list[Look]:
    """No more rows than a reader takes in, the first and the last among them."""
    step = max(1, len(looks) / _ROWS)
    chosen = {int(number * step) for number in range(_ROWS)} | {len(looks) - 1}
    return [look for number, look in enumerate(looks) if number in chosen]


def _row(run: Soak, look: Look) -> list[str]:
    counts = look.descriptors()
    return [
        str(look.messages),
        *(f"{look.mean(role) / 1024:.1f}" for role in run.roles),
        f"{look.proportional() / 1024:.1f}",
        ", ".join(f"{role} {'/'.join(map(str, counts[role]))}" for role in counts),
    ]


def _targets(run: Soak, title: str) -> list[Target]:
    tally = run.tally
    least = run.plan.warm_up
    found = [
        Target(
            name=f"{role}: memory from {least} messages to {title}",
            goal=f"grows by less than {GROWTH:.0%}",
            figure=f"{run.growth(role):+.1%}",
            reached=run.growth(role) < GROWTH,
        )
        for role in run.roles
    ]
    counts = {str(look.descriptors()) for look in run.looks}
    figure = "constant" if len(counts) == 1 else f"{len(counts)} states"
    goal = "constant"
    name = f"descriptors of all processes, {title}"
    found.append(Target(name=name, goal=goal, figure=figure, reached=len(counts) == 1))
    found.append(
        Target(
            name=f"verdicts, {title}",
            goal="one for each message",
            figure=f"{tally.verdicts}, and {tally.given_up} given up by the sender",
            reached=tally.verdicts + tally.given_up == tally.sent == run.plan.messages,
        )
    )
    found.append(
        Target(
            name=f"log lines about failures of ours, {title}",
            goal="none",
            figure=str(len(run.complaints)),
            reached=not run.complaints,
        )
    )
    return found


def _kinds(run: Soak) -> Section:
    kinds = sorted(run.tally.kinds.items(), key=lambda item: -item[1])
    return Section(
        title="What was sent",
        note=f"Of {run.plan.messages} messages; where nothing else is said, clients of the site "
        "send what is signed and strangers what is verified.",
        columns=["message", "number"],
        rows=[[kind, str(count)] for kind, count in kinds],
        data=[dict(kinds)],
    )
