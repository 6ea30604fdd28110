"""Tables, targets, and how they are printed: for a terminal, for the documentation, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Report", "Section", "Target", "as_json", "as_markdown", "as_text", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure that was promised.

    Attributes:
        name: What is measured.
        goal: What was promised.
        figure: What was measured.
        reached: Whether that is enough.
        hot_spot: Where the time goes, if it is not.
        cell: Operation, size, body and c=, where a breakdown can tell the hot spot.
    """

    name: str
    goal: str
    figure: str
    reached: bool
    hot_spot: str = ""
    cell: tuple[str, str, str, str] | None = None

    @property
    def verdict(self) -> str:
        """In words."""
        return "reached" if self.reached else "NOT REACHED"


@dataclass(slots=True, kw_only=True)
class Section:
    """One table.

    Attributes:
        title: What it shows.
        note: How to read it.
        columns: Their headings.
        rows: Its cells, as text.
        data: The same as numbers, for JSON.
        targets: What was promised of these figures.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    data: list[dict[str, object]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Report:
    """A whole run."""

    conditions: dict[str, str]
    sections: list[Section] = field(default_factory=list)

    def targets(self) -> Section:
        """All promises in one table."""
        found = [target for section in self.sections for target in section.targets]
        reached = sum(target.reached for target in found)
        return Section(
            title="Targets",
            note=f"{reached} of {len(found)} reached.",
            columns=["what", "target", "measured", ""],
            rows=[[one.name, one.goal, one.figure, one.verdict] for one in found],
            data=[asdict(one) for one in found],
        )

    def verdicts(self) -> list[Section]:
        """The promises and, where some are not kept, where the time goes."""
        return [section for section in (self.targets(), self.hot_spots()) if section.rows]

    def hot_spots(self) -> Section:
        """Where the time goes in what is not reached, each named once."""
        found = [target for section in self.sections for target in section.targets]
        spots = {one.hot_spot: one.name for one in reversed(found) if one.hot_spot}
        return Section(
            title="Hot spots",
            note="Where the time goes in what did not reach its target.",
            columns=["what", "where the time goes"],
            rows=[[name, spot] for spot, name in reversed(spots.items())],
        )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligns columns with spaces."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_text(report: Report) -> str:
    """Prints for a terminal; the targets come last, where they are seen."""
    parts = ["\n".join(f"{name}: {value}" for name, value in report.conditions.items())]
    for section in [*report.sections, *report.verdicts()]:
        heading = f"{section.title}\n{'=' * len(section.title)}"
        parts.append(f"{heading}\n{section.note}\n\n{table(section.columns, section.rows)}")
    return "\n\n".join(parts) + "\n"


def as_markdown(report: Report) -> str:
    """Prints for docs/explanation/performance.md; the targets come first."""
    parts = ["\n".join(f"- {name}: {value}" for name, value in report.conditions.items())]
    for section in [*report.verdicts(), *report.sections]:
        lines = [section.columns, ["---"] * len(section.columns), *section.rows]
        rows = "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)
        parts.append(f"### {section.title}\n\n{section.note}\n\n{rows}")
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """Prints all figures, each round's for the comparison."""
    document = {
        "conditions": report.conditions,
        "sections": {section.title: section.data for section in report.sections},
        "targets": report.targets().data,
    }
    return json.dumps(document, indent=1) + "\n"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")
