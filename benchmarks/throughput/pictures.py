"""The pictures of the documentation: which outcomes are drawn, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.rounds import Spread
from benchmarks.throughput.plot import Line, Panel, Point, draw
from benchmarks.throughput.scenario import OPENDKIM, OURS, RSA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.throughput.contest import Outcome

__all__ = ["pictures"]

_TITLES = {
    "signing": ("sign", "Signing with RSA-2048 on a unix socket"),
    "verifying": ("verify", "Verifying RSA-2048 on a unix socket"),
}


def pictures(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Draws throughput over connections.

    Returns:
        File names and SVG; only those for which there are figures.
    """
    made = {}
    for name, (operation, title) in _TITLES.items():
        found = [
            one
            for one in outcomes
            if (one.cell.operation, one.cell.algorithm, one.cell.where) == (operation, RSA, "unix")
        ]
        sizes = sorted({one.cell.octets for one in found})
        panels = [_panel([one for one in found if one.cell.octets == size]) for size in sizes]
        if panels:
            made[f"throughput_{name}.svg"] = draw(title, panels)
    return made


def _panel(found: Sequence[Outcome]) -> Panel:
    lines = []
    for style in ("pipelined", "lock-step"):
        same = sorted(
            (one for one in found if one.cell.style == style), key=lambda one: one.cell.connections
        )
        for name, colour in ((OURS, "a"), (OPENDKIM, "b")) if same else ():
            points = [_point(one.cell.connections, one.figures[name].rates) for one in same]
            dashed = style == "lock-step"
            lines.append(Line(name=f"{name}, {style}", colour=colour, points=points, dashed=dashed))
        bare = [
            _point(one.cell.connections, [pure.rate for pure in one.bare])
            for one in same
            if one.bare
        ]
        if bare:
            lines.append(Line(name="RSA alone, all cores", colour="c", points=bare))
    return Panel(title=found[0].cell.size, lines=lines)


def _point(connections: int, rates: Sequence[float]) -> Point:
    spread = Spread.of(rates)
    return Point(x=connections, y=spread.median, low=spread.low, high=spread.high)
