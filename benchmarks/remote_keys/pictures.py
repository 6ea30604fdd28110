"""The pictures of the documentation: signatures a second and p99 over messages in flight."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.remote_keys.scenario import ALGORITHMS, LATENCIES
from benchmarks.rounds import Spread
from benchmarks.throughput.plot import Line, Panel, Point, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.remote_keys.contest import Outcome

__all__ = ["pictures"]

_STYLES = {
    latency: (colour, dashed)
    for latency, (colour, dashed) in zip(
        LATENCIES, [("a", False), ("a", True), ("b", False), ("b", True)], strict=True
    )
}


def pictures(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Draws every server and algorithm that was measured with several numbers in flight.

    Returns:
        File names and SVG.
    """
    rates = _panels(outcomes, lambda one: one.rate, "signatures per second")
    waits = _panels(outcomes, lambda one: _milliseconds(one.latency(0.99)), "p99 in ms")
    if not rates:
        return {}
    return {
        "remote_keys_rate.svg": draw("Signatures a second, by latency added", rates),
        "remote_keys_waiting.svg": draw("How long one in a hundred waits, by latency added", waits),
    }


def _panels(
    outcomes: Sequence[Outcome], figure: Callable[[Outcome], Spread], upwards: str
) -> list[Panel]:
    grouped: dict[tuple[str, str, str], list[Outcome]] = {}
    for one in outcomes:
        place = one.cell.place
        if not place.is_fetched:
            key = place.backend, place.server, place.algorithm
            grouped.setdefault(key, []).append(one)
    panels = []
    for (backend, server, algorithm), found in grouped.items():
        lines = [_line(latency, found, figure) for latency in LATENCIES]
        drawn = [line for line in lines if len(line.points) > 1]
        if drawn:
            local = Spread.of([turn.rate for one in found for turn in one.local]).median
            title = f"{backend}, {server}, {ALGORITHMS[algorithm]} (local: {local:.0f}/s)"
            panels.append(
                Panel(title=title, lines=drawn, across="messages in flight", upwards=upwards)
            )
    return panels


def _line(latency: float, found: Sequence[Outcome], figure: Callable[[Outcome], Spread]) -> Line:
    points = []
    for one in sorted(found, key=lambda one: one.cell.in_flight):
        if one.cell.place.latency == latency:
            spread = figure(one)
            points.append(
                Point(x=one.cell.in_flight, y=spread.median, low=spread.low, high=spread.high)
            )
    colour, dashed = _STYLES[latency]
    return Line(name=f"{latency * 1000:g} ms", colour=colour, points=points, dashed=dashed)


def _milliseconds(seconds: Spread) -> Spread:
    return replace(
        seconds,
        median=seconds.median * 1000,
        low=seconds.low * 1000,
        high=seconds.high * 1000,
    )
