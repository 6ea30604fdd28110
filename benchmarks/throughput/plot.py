"""Draws throughput over connections as SVG, by hand: no drawing library is needed for two lines.

The picture brings its own background, and follows the reader's wish for dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Line", "Panel", "Point", "draw"]

WIDTH, HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 400, 270, 34, 46, 62, 14
COLUMNS = 2
_HEAD, _LEGEND = 40, 20
_ENTRIES = 3  # in a row of the legend
# No CSS variables: programs that only draw SVG do not know them.
_LIGHT = {"page": "#ffffff", "ink": "#222222", "grid": "#dddddd"} | {
    "a": "#0b66c3",
    "b": "#c2410c",
    "c": "#6b7280",
}
_DARK = {"page": "#181a1b", "ink": "#dddddd", "grid": "#3a3d40"} | {
    "a": "#60a5fa",
    "b": "#fb923c",
    "c": "#9ca3af",
}
_SHAPES = """\
text { font-family: system-ui, sans-serif; font-size: 12px; }
.title { font-size: 16px; font-weight: 600; }
.panel { font-weight: 600; }
.grid { stroke-width: 1; }
.line { fill: none; stroke-width: 2; }
.bar { stroke-width: 1; }
.dashed { stroke-dasharray: 6 4; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A figure with its spread.

    Attributes:
        x: Connections, or what else the panel has across.
        y: Messages a second, or what else it has upwards.
        low: The least of the turns.
        high: The greatest.
    """

    x: int
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One contender.

    Attributes:
        name: For the legend; lines of one name look alike in all panels.
        colour: ``a``, ``b`` or ``c``.
        points: In the order of x.
        dashed: How it is drawn.
    """

    name: str
    colour: str
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One diagram.

    Attributes:
        title: Stands above it.
        lines: At least one with a point.
        across: What stands below it.
        upwards: What stands beside it.
    """

    title: str
    lines: Sequence[Line]
    across: str = "connections"
    upwards: str = "messages per second"


def draw(title: str, panels: Sequence[Panel]) -> str:
    """Draws diagrams side by side.

    Args:
        title: Stands above all.
        panels: What to draw; each has its own scale for y.

    Returns:
        A whole SVG file.
    """
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    names = {line.name: line for panel in panels for line in panel.lines}
    bottom = _HEAD + rows * HEIGHT
    width = columns * WIDTH
    height = bottom + _LEGEND * math.ceil(len(names) / _ENTRIES) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{_quoted(title)}">',
        f"<style>\n{_style()}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        _text(LEFT, 26, title, kind="title"),
    ]
    for number, panel in enumerate(panels):
        x, y = number % columns * WIDTH, _HEAD + number // columns * HEIGHT
        parts += [f'<g transform="translate({x} {y})">', *_panel(panel), "</g>"]
    parts += _legend(names, bottom + 14, width)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _style() -> str:
    dark = _colours(_DARK).replace("\n", "\n  ").rstrip(" ")
    return f"{_SHAPES}{_colours(_LIGHT)}@media (prefers-color-scheme: dark) {{\n  {dark}}}\n"


def _colours(palette: dict[str, str]) -> str:
    lines = "".join(
        f".{one} {{ stroke: {palette[one]}; }} .dot.{one} {{ fill: {palette[one]}; }}\n"
        for one in ("a", "b", "c", "grid")
    )
    return f".page {{ fill: {palette['page']}; }} text {{ fill: {palette['ink']}; }}\n{lines}"


def _panel(panel: Panel) -> list[str]:
    xs = sorted({point.x for line in panel.lines for point in line.points})
    step, count = _scale(max(point.high for line in panel.lines for point in line.points))
    low, high = math.log2(xs[0]), math.log2(xs[-1])

    def across(x: float) -> float:
        part = (math.log2(x) - low) / (high - low) if high > low else 0.5
        return LEFT + 8 + part * (WIDTH - LEFT - RIGHT - 16)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - y / (step * count) * (HEIGHT - TOP - BOTTOM)

    parts = [_text(LEFT, TOP - 10, panel.title, kind="panel")]
    for tick in range(count + 1):
        y = down(tick * step)
        parts.append(_stroke(LEFT, y, WIDTH - RIGHT, y, "grid"))
        parts.append(_text(LEFT - 6, y + 4, f"{tick * step:g}", anchor="end"))
    for number in xs:
        parts.append(_text(across(number), HEIGHT - BOTTOM + 17, str(number), anchor="middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 10, panel.across, anchor="middle"))
    parts.append(
        f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(panel.upwards)}</text>"
    )
    for line in panel.lines:
        spots = [(across(one.x), down(one.y), down(one.low), down(one.high)) for one in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in spots)
        dashed = " dashed" if line.dashed else ""
        parts.append(f'<polyline class="line {line.colour}{dashed}" points="{path}"/>')
        for x, y, least, most in spots:
            parts.append(_stroke(x, least, x, most, f"bar {line.colour}"))
            parts.append(f'<circle class="dot {line.colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>')
    return parts


def _legend(names: Mapping[str, Line], top: int, width: int) -> list[str]:
    parts = []
    for number, (name, line) in enumerate(names.items()):
        x = LEFT + number % _ENTRIES * (width - LEFT) / _ENTRIES
        y = top + number // _ENTRIES * _LEGEND
        dashed = " dashed" if line.dashed else ""
        parts.append(_stroke(x, y - 4, x + 26, y - 4, f"line {line.colour}{dashed}"))
        parts.append(_text(x + 32, y, name))
    return parts


def _scale(most: float) -> tuple[float, int]:
    """A round step between the lines of a grid, and how many there are."""
    power = 10.0 ** math.floor(math.log10(most / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * 5 >= most)
    return step, math.ceil(most / step)


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _stroke(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>'


def _quoted(text: str) -> str:
    return escape(text, {'"': "&quot;"})
