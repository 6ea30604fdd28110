"""Prints the page of differences from the data that the test compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .catalogue import TOPICS
from .rules import RULES

if TYPE_CHECKING:
    from .model import Setting

__all__ = ["page"]

INTRODUCTION = """\
# Differences from OpenDKIM

{settings} configurations with {probes} messages go to Debian's opendkim (2.11.0~beta2) and to
`dkimcore-milter` in one test, `tests/milter/differential/test_differential.py`. It compares the
replies, the fields that are added and removed and their content, and lets dkimpy verify each
signature. Everything that differs is on this page; what is not here is alike.

## In many places

| OpenDKIM | dkimcore | Why |
|---|---|---|
{rules}
"""


def page() -> str:
    """Prints the page."""
    settings = [setting for topic in TOPICS.values() for setting in topic]
    parts = [
        INTRODUCTION.format(
            settings=len(settings),
            probes=sum(len(setting.probes) for setting in settings),
            rules="\n".join(_row(rule.theirs, rule.ours, rule.reason) for rule in RULES),
        )
    ]
    for topic, members in TOPICS.items():
        sections = [_section(setting) for setting in members if _differs(setting)]
        if sections:
            parts += [f"## {topic}\n", *sections]
    return "\n".join(parts)


def _differs(setting: Setting) -> bool:
    return any(probe.differences for probe in setting.probes)


def _section(setting: Setting) -> str:
    lines = [f"### {_text(setting.name[:1].upper() + setting.name[1:])}", ""]
    if setting.conf.strip():
        lines += ["```text", setting.conf.strip(), "```", ""]
    for name, content in setting.files.items():
        lines += [f"`{name}`:", "", "```text", content.rstrip(), "```", ""]
    lines += ["| Mail | What | OpenDKIM | dkimcore | Why |", "|---|---|---|---|---|"]
    lines += [
        _row(
            _text(probe.name),
            one.aspect,
            _code(one.theirs),
            _code(one.ours),
            one.reason,
        )
        for probe in setting.probes
        for one in probe.differences
    ]
    return "\n".join([*lines, ""])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Text that Markdown is to leave as it is."""
    for mark in "\\*_<>[]|`":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{text.replace('|', '/')}`" if text else "nothing"  # a | would end the cell
