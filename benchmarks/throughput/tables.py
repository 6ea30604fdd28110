"""Shows what was measured, and judges what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import Section, Target
from benchmarks.rounds import Spread
from benchmarks.throughput.scenario import ED25519, KB, OPENDKIM, OURS, RSA

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.throughput.contest import Outcome

__all__ = ["sections", "targets"]

_NAMES = {RSA: "RSA-2048", ED25519: "Ed25519"}
_VERBS = {"sign": "Signing", "verify": "Verifying"}
# Times the messages a second of opendkim, for every number of connections.
_GOALS = {
    ("sign", 2 * KB): 3.0,
    ("sign", 10 * KB): 3.0,
    ("sign", 100 * KB): 1.5,
    ("verify", 2 * KB): 1.5,
    ("verify", 10 * KB): 1.5,
    ("verify", 100 * KB): 1.0,
}
_SHARE, _WAITING = 0.7, 1 / 5
_Key = tuple[str, str, str, str]


def sections(outcomes: Sequence[Outcome]) -> list[Section]:
    """Makes a table of each operation, algorithm, socket and style, and one of bare RSA."""
    grouped: dict[_Key, list[Outcome]] = {}
    for outcome in outcomes:
        cell = outcome.cell
        key = (cell.operation, cell.algorithm, cell.where, cell.style)
        grouped.setdefault(key, []).append(outcome)
    made = [_table(key, found) for key, found in grouped.items()]
    compared = [outcome for outcome in outcomes if outcome.bare]
    return [*made, _bare(compared)] if compared else made


def _table(key: _Key, found: Sequence[Outcome]) -> Section:
    operation, algorithm, where, style = key
    lock_step = style == "lock-step"
    note = "Messages a second, and their ratio with the least and the greatest of the turns. "
    note += "CPU seconds for 1000 messages, of the filters and of the generator. "
    note += "MB at most, all processes added up."
    note += " Latency in ms, p50 / p99." if lock_step else ""
    columns = ["size", "connections", f"{OURS}/s", f"{OPENDKIM}/s", "ratio"]
    columns += ["CPU", OPENDKIM, "generator", "MB", OPENDKIM]
    if lock_step:
        columns += ["latency", OPENDKIM]
    section = Section(
        title=f"{_VERBS[operation]}, {_NAMES[algorithm]}, {where} socket, {style}",
        note=note,
        columns=columns,
    )
    for outcome in found:
        ours, theirs = outcome.figures[OURS], outcome.figures[OPENDKIM]
        row = [outcome.cell.size, str(outcome.cell.connections)]
        row += [f"{Spread.of(one.rates).median:.0f}" for one in (ours, theirs)]
        row += [str(outcome.ratio), f"{ours.cpu:.2f}", f"{theirs.cpu:.2f}", f"{ours.own_cpu:.2f}"]
        row += [f"{one.memory.peak / 1e6:.0f}" for one in (ours, theirs)]
        if lock_step:
            row += [
                f"{one.latency(0.5) * 1e3:.2f} / {one.latency(0.99) * 1e3:.2f}"
                for one in (ours, theirs)
            ]
        section.rows.append(row)
        section.data.append(_numbers(outcome))
    return section


def _numbers(outcome: Outcome) -> dict[str, object]:
    cell = outcome.cell
    return {
        "operation": cell.operation,
        "octets": cell.octets,
        "connections": cell.connections,
        "style": cell.style,
        "socket": cell.where,
        "algorithm": cell.algorithm,
        "bare_rsa": [pure.rate for pure in outcome.bare],
        "bare_rsa_cpu": [pure.cpu for pure in outcome.bare],
        **{
            name: {
                "rates": one.rates,
                "cpu_per_1000": one.cpu,
                "generator_cpu_per_1000": one.own_cpu,
                "memory_peak": one.memory.peak,
                "memory_proportional": one.memory.proportional,
                "p50": one.latency(0.5),
                "p99": one.latency(0.99),
            }
            for name, one in outcome.figures.items()
        },
    }


def _bare(found: Sequence[Outcome]) -> Section:
    section = Section(
        title="Signing, and RSA-2048 alone",
        note="RSA alone: one process per core that does nothing but sign a digest, in turn with "
        "the filters. Without generator: compared with RSA alone on what the generator leaves of "
        "the cores. By CPU: CPU time of RSA alone as a part of that of a message, the generator's "
        "included, which other work on the machine does not spoil.",
        columns=[
            *("size", "connections", f"{OURS}/s", "RSA alone/s"),
            *("part", "without generator", "part by CPU"),
        ],
    )
    for outcome in found:
        ours = Spread.of(outcome.figures[OURS].rates).median
        section.rows.append(
            [
                outcome.cell.size,
                str(outcome.cell.connections),
                f"{ours:.0f}",
                f"{Spread.of([pure.rate for pure in outcome.bare]).median:.0f}",
                str(outcome.share(less_generator=False)),
                str(outcome.share(less_generator=True)),
                str(outcome.cpu_share(less_generator=False)),
            ]
        )
    return section


def targets(outcomes: Sequence[Outcome]) -> list[Target]:
    """Judges what was promised; what was not measured is left out."""
    rsa = [one for one in outcomes if one.cell.algorithm == RSA]
    unix = [one for one in rsa if one.cell.where == "unix"]
    made = []
    for (operation, octets), goal in _GOALS.items():
        for style in ("lock-step", "pipelined"):
            found = [
                one
                for one in unix
                if (one.cell.operation, one.cell.octets, one.cell.style)
                == (operation, octets, style)
            ]
            if found:
                made.append(
                    Target(
                        name=f"{_VERBS[operation]}, {found[0].cell.size}, {style}: messages a "
                        f"second to {OPENDKIM}'s, any number of connections",
                        goal=f"at least {goal:g} times",
                        figure=_each(found, lambda one: one.ratio.median),
                        reached=all(one.ratio.median >= goal for one in found),
                    )
                )
    made += _shares([one for one in outcomes if one.bare])
    inet = [one for one in rsa if (one.cell.where, one.cell.style) == ("inet", "lock-step")]
    for operation, verb in _VERBS.items():
        found = [one for one in inet if one.cell.operation == operation]
        if found:
            made.append(
                Target(
                    name=f"{verb}, inet, lock-step: p50 to {OPENDKIM}'s",
                    goal=f"at most {_WAITING:g}",
                    figure=_each(found, lambda one: one.waiting.median),
                    reached=all(one.waiting.median <= _WAITING for one in found),
                )
            )
    return made


def _shares(found: Sequence[Outcome]) -> list[Target]:
    """With one connection one core does all the work, so that the best number counts."""
    made = []
    for size in dict.fromkeys(one.cell.size for one in found):
        same = [one for one in found if one.cell.size == size]
        made += [
            Target(
                name=f"Signing, {size}: part of RSA alone on all cores, best number of "
                f"connections{what}",
                goal=f"at least {_SHARE:g}",
                figure=", ".join(f"{count}: {part:.2f}" for count, part in parts.items()),
                reached=max(parts.values()) >= _SHARE,
            )
            for what, parts in (
                ("", _parts(same, less_generator=False)),
                (", without the generator's CPU", _parts(same, less_generator=True)),
            )
        ]
    return made


def _parts(found: Sequence[Outcome], *, less_generator: bool) -> dict[int, float]:
    """The part of RSA alone by connections: no more than the CPU times allow."""
    return {
        one.cell.connections: min(
            one.share(less_generator=less_generator).median,
            one.cpu_share(less_generator=less_generator).median,
        )
        for one in found
    }


def _each(found: Sequence[Outcome], figure: Callable[[Outcome], float]) -> str:
    """The figures by number of connections, as in ``1: 3.20, 64: 3.51``."""
    return ", ".join(
        f"{one.cell.connections}: {figure(one):.2f}"
        for one in sorted(found, key=lambda one: (one.cell.octets, one.cell.connections))
    )
