"""Prints the page of differences from the data that the test compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .catalogue import TOPICS
from .declared import DECLARED
from .rules import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .model import Difference, Setting

__all__ = ["page"]

INTRODUCTION = """\
{settings} configurations with {probes} messages go to Debian's opendkim (2.11.0~beta2) and to
`dkimcore-milter` in one test, `tests/milter/differential/test_differential.py`. It compares the
replies, the fields that are added and removed and their content, and lets dkimpy verify each
signature. Everything that differs is on this page; what is not here is alike.

## In many places

| What | OpenDKIM | dkimcore | Why |
|---|---|---|---|
{rules}
"""


def page() -> str:
    """Prints the page."""
    settings = {one.name: one for topic in TOPICS.values() for one in topic}
    head = INTRODUCTION.format(
        settings=len(settings),
        probes=sum(len(setting.probes) for setting in settings.values()),
        rules="\n".join(_row(rule.title, rule.theirs, rule.ours, rule.reason) for rule in RULES),
    )
    return "\n".join([head, *(_section(one, settings) for one in DECLARED)])


def _section(difference: Difference, settings: Mapping[str, Setting]) -> str:
    lines = [f"## {_text(difference.title)}", "", difference.reason, ""]
    for name in dict.fromkeys(case.setting for case in difference.cases):
        setting = settings[name]
        lines += [f"*{_text(setting.name[:1].upper() + setting.name[1:])}*", ""]
        if setting.conf.strip():
            lines += ["```text", setting.conf.strip(), "```", ""]
        for file, content in setting.files.items():
            lines += [f"`{file}`:", "", "```text", content.rstrip(), "```", ""]
        lines += ["| Mail | What | OpenDKIM | dkimcore |", "|---|---|---|---|"]
        lines += [
            _row(_text(case.probe), case.aspect, _code(case.theirs), _code(case.ours))
            for case in difference.cases
            if case.setting == name
        ]
        lines.append("")
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Text that Markdown is to leave as it is."""
    for mark in "\\*_<>[]|`":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{text.replace('|', '/')}`" if text else "nothing"  # a | would end the cell
