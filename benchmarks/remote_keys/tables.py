"""Shows what was measured, and judges what was promised."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from benchmarks.remote_keys.milter import DISTANCE, LOCAL, REMOTE
from benchmarks.remote_keys.scenario import ALGORITHMS, ED25519, IN_FLIGHT, STAND_IN
from benchmarks.report import Section, Target
from benchmarks.rounds import Spread
from benchmarks.throughput.contest import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.remote_keys.contest import Outcome
    from benchmarks.remote_keys.milter import MilterOutcome
    from benchmarks.remote_keys.scenario import Place

__all__ = ["milter_section", "sections", "summary", "targets"]

_MOST = IN_FLIGHT[-1]
_RATES = {"vault-transit": 2000.0, "awskms": 300.0}
_WAITING = 0.050
_PART = 0.5
_NOTE = (
    "In each cell: signatures a second, and in brackets p50 / p99 in ms, as medians of the turns. "
    "Local: the greatest rate of the line as a part of local signing on all cores, beside it in "
    "time. CPU: microseconds of this process and of the server for a signature, where most are in "
    "flight. Batch: signatures in one request there."
)


_SUMMARY = (
    f"Signatures a second of one process with a service {DISTANCE * 1000:g} ms away, and in "
    "brackets p50 / p99 in ms. Local: the greatest of these rates as a part of local signing on "
    "all cores. The milter: its messages a second over 64 connections, as a part of those with "
    "the same key in a file."
)


def sections(outcomes: Sequence[Outcome]) -> list[Section]:
    """Makes a table of local signing, one of keys that are fetched, and one of each server."""
    remote: dict[tuple[str, str], dict[Place, list[Outcome]]] = {}
    for outcome in outcomes:
        place = outcome.cell.place
        if not place.is_fetched:
            places = remote.setdefault((place.server, place.backend), {})
            places.setdefault(place, []).append(outcome)
    fetched = [one for one in outcomes if one.cell.place.is_fetched]
    tables = [_table(server, backend, places) for (server, backend), places in remote.items()]
    for table in tables[:1]:
        table.note = _NOTE
    return [_local(outcomes, fetched), *tables]


def _local(outcomes: Sequence[Outcome], fetched: Sequence[Outcome]) -> Section:
    """A table of signing in this process: with key files, and with keys that were fetched."""
    section = Section(
        title="Local signing",
        note="Signatures a second of one process with a thread for each core. Keys that a backend "
        "gives away, or decrypts, are asked for once and sign here after that. The ratio is that "
        "to a key in a file, turn by turn.",
        columns=["key", "algorithm", "signatures/s", "p50 / p99 us", "ratio"],
    )
    for algorithm, name in ALGORITHMS.items():
        turns = [t for one in outcomes if one.cell.place.algorithm == algorithm for t in one.local]
        if turns:
            rate = Spread.of([turn.rate for turn in turns])
            parts = [Spread.of([percentile(t.latencies, p) for t in turns]) for p in (0.5, 0.99)]
            both = " / ".join(f"{part.median * 1e6:.0f}" for part in parts)
            section.rows.append(["file", name, str(rate), both, "1"])
            section.data.append({"backend": "file", "algorithm": algorithm, "rate": asdict(rate)})
    for one in fetched:
        place = one.cell.place
        both = " / ".join(f"{one.latency(part).median * 1e6:.0f}" for part in (0.5, 0.99))
        name = ALGORITHMS[place.algorithm]
        section.rows.append([place.backend, name, str(one.rate), both, str(one.ratio)])
        section.data.append(_numbers(one))
    return section


def _table(server: str, backend: str, places: dict[Place, list[Outcome]]) -> Section:
    counts = sorted({one.cell.in_flight for found in places.values() for one in found})
    section = Section(
        title=f"{backend}, {server}",
        note="As above.",
        columns=[
            *("algorithm", "latency"),
            *(f"{count} in flight" for count in counts),
            *("local", "CPU", "server", "batch"),
        ],
    )
    for place, found in places.items():
        by_count = {one.cell.in_flight: one for one in found}
        most = by_count[max(by_count)]
        best = max(found, key=lambda one: one.ratio.median)
        section.rows.append(
            [
                ALGORITHMS[place.algorithm],
                f"{place.latency * 1000:g} ms",
                *(_cell(by_count.get(count)) for count in counts),
                str(best.ratio),
                f"{most.cpu * 1e6:.0f}",
                f"{most.server_cpu * 1e6:.0f}" if most.server_cpu else "-",
                "-" if most.batch is None else f"{most.batch:.1f}",
            ]
        )
        section.data += [_numbers(one) for one in found]
    return section


def _cell(one: Outcome | None) -> str:
    if one is None:
        return "-"
    p50, p99 = (_ms(one.latency(part).median) for part in (0.5, 0.99))
    return f"{one.rate.median:.0f} ({p50} / {p99})"


def _ms(seconds: float) -> str:
    figure = seconds * 1000
    return f"{figure:.1f}" if figure < 10 else f"{figure:.0f}"


def _numbers(one: Outcome) -> dict[str, object]:
    return {
        **asdict(one.cell.place),
        "in_flight": one.cell.in_flight,
        "rates": [turn.rate for turn in one.turns],
        "local_rates": [turn.rate for turn in one.local],
        "p50": [percentile(turn.latencies, 0.5) for turn in one.turns],
        "p99": [percentile(turn.latencies, 0.99) for turn in one.turns],
        "cpu": one.cpu,
        "server_cpu": one.server_cpu,
        "batch": one.batch,
    }


def summary(outcomes: Sequence[Outcome], milters: Sequence[MilterOutcome]) -> str:
    """Makes the short table, in Markdown, of the page for those who choose.

    Args:
        outcomes: What came of the cells; the stand-in and the token 10 ms away are shown.
        milters: What came of the milter; 64 connections in lock-step are shown.
    """
    shown = [(8, "8 in flight"), (_MOST, f"{_MOST} in flight")]
    lines = [["key", "algorithm", *(name for _, name in shown), "local", "the milter"]]
    grouped: dict[tuple[str, str], dict[int, Outcome]] = {}
    for one in outcomes:
        place = one.cell.place
        if place.is_fetched or (
            place.latency == DISTANCE and (place.server == STAND_IN or place.backend == "pkcs11")
        ):
            grouped.setdefault((place.backend, place.algorithm), {})[one.cell.in_flight] = one
    parts = {
        one.cell.algorithm: f"{one.ratio.median:.2f}"
        for one in milters
        if (one.cell.style, one.cell.connections) == ("lock-step", 64)
    }
    for (backend, algorithm), found in grouped.items():
        best = max(found.values(), key=lambda one: one.ratio.median)
        cells = [_cell(found.get(count)) for count, _ in shown]
        if best.cell.place.is_fetched:
            cells = [f"{best.rate.median:.0f}"] * len(shown)
        milter = parts.get(algorithm, "-") if backend == "vault-transit" else "-"
        ratio = f"{best.ratio.median:.2f}"
        lines.append([f"`{backend}:`", ALGORITHMS[algorithm], *cells, ratio, milter])
    lines.insert(1, ["---"] * len(lines[0]))
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{_SUMMARY}\n\n{rows}\n"


def milter_section(outcomes: Sequence[MilterOutcome]) -> Section:
    """Makes the table of the milter, and judges what was promised of it."""
    section = Section(
        title=f"The milter with a Transit key {DISTANCE * 1000:g} ms away",
        note="Messages of 2 kB a second over a unix socket, with the key at the stand-in and with "
        "the same key in a file, in turns; p50 / p99 in ms. CPU: microseconds of the milter for a "
        "message.",
        columns=[
            *("algorithm", "style", "connections", "remote/s", "local/s", "ratio"),
            *("latency", "local", "CPU", "local"),
        ],
    )
    for one in outcomes:
        cell = one.cell
        row = [ALGORITHMS[cell.algorithm], cell.style, str(cell.connections)]
        row += [f"{one.rate(who).median:.0f}" for who in (REMOTE, LOCAL)]
        row.append(str(one.ratio))
        row += [
            " / ".join(_ms(one.latency(who, part)) for part in (0.5, 0.99))
            for who in (REMOTE, LOCAL)
        ]
        row += [f"{one.cpu(who) * 1e6:.0f}" for who in (REMOTE, LOCAL)]
        section.rows.append(row)
        section.data.append(
            {
                **{"algorithm": cell.algorithm, "style": cell.style},
                **{"connections": cell.connections, "ratio": asdict(one.ratio)},
                **{who: [run.rate for run in one.runs[who]] for who in (REMOTE, LOCAL)},
                **{f"{who}_cpu": one.cpu(who) for who in (REMOTE, LOCAL)},
            }
        )
        if (cell.connections, cell.algorithm) == (64, ED25519):
            section.targets.append(
                Target(
                    name=f"milter, Transit key {DISTANCE * 1000:g} ms away, Ed25519, 64 "
                    f"connections, {cell.style}: messages a second to those with a local key",
                    goal=f"at least {_PART:g}",
                    figure=str(one.ratio),
                    reached=one.ratio.median >= _PART,
                )
            )
    return section


def targets(outcomes: Sequence[Outcome]) -> list[Target]:
    """Judges what was promised of signatures in flight; what was not measured is left out."""
    made: list[Target] = []
    for one in outcomes:
        place = one.cell.place
        if (place.server, place.latency) != (STAND_IN, DISTANCE):
            continue
        if one.cell.in_flight == _MOST and place.backend in _RATES:
            made += _judged(one, _RATES[place.backend])
    return made


def _judged(one: Outcome, goal: float) -> Iterator[Target]:
    place = one.cell.place
    name = (
        f"{place.backend}, {ALGORITHMS[place.algorithm]}, {place.latency * 1000:g} ms, "
        f"{one.cell.in_flight} in flight"
    )
    yield Target(
        name=f"{name}: signatures a second of one process",
        goal=f"at least {goal:g}",
        figure=str(one.rate),
        reached=one.rate.median >= goal,
    )
    if place.backend == "vault-transit":
        waiting = one.latency(0.99)
        yield Target(
            name=f"{name}: p99",
            goal=f"under {_WAITING * 1000:g} ms",
            figure=f"{waiting.median * 1000:.0f} ms",
            reached=waiting.median < _WAITING,
        )
