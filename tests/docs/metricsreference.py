"""The rows of docs/reference/metrics.md, as `dkimcore_milter.metrics` has them."""

from __future__ import annotations

from dkimcore_milter.metrics import FAMILIES, PREFIX, Count, Gauge, Timer

__all__ = ["table"]

KINDS = {Count: "counter", Gauge: "gauge", Timer: "histogram"}


def table():
    """Returns one row for each metric: its name, type, labels with their values, and help."""
    members = [*Count, *Gauge, *Timer]
    rows = []
    for name, family in FAMILIES.items():
        mine = [member for member in members if member.family == name]
        kind = type(mine[0])
        full = f"{PREFIX}{name}{'_total' if kind is Count else ''}"
        rows.append(f"| `{full}` | {KINDS[kind]} | {labels(family, mine)} | {family.help} |")
    return rows


def labels(family, members):
    """Returns the labels and all of their values."""
    if family.per_worker:
        return "`worker`: its number"
    parts = []
    for place, label in enumerate(family.labels):
        values = dict.fromkeys(member.labels[place] for member in members)
        parts.append(f"`{label}`: {', '.join(values)}")
    return "; ".join(parts) or "-"
