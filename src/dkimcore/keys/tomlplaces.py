"""Where in a TOML text something is written: `tomllib` tells values and no lines.

Also how deep it stands, for which `tomllib` has no limit of its own.  Good enough
for messages to people; whether the text is TOML is left to `tomllib`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_DEPTH", "everything_in", "places"]

MAX_DEPTH = 128
"""Of parts of a key, and of tables and arrays in each other; Go's BurntSushi/toml has it too."""

# Possessive, so that nothing is kept to go back to.
_PART = re.compile(r"\"(?:[^\"\\]|\\.)*+\"|'[^']*+'|[A-Za-z0-9_-]++")
_DOTTED = rf"\s*+((?:{_PART.pattern})(?:\s*+\.\s*+(?:{_PART.pattern}))*+)\s*+"
_HEADER = re.compile(rf"\s*\[{{1,2}}{_DOTTED}\]{{1,2}}\s*(?:#.*)?")
_FENCE = re.compile(r"\"\"\"|'''")
_KEY = re.compile(rf"{_DOTTED}=")


def places(text: str) -> dict[tuple[str, ...], int]:
    """Find the lines where sections and keys are written, by their whole names.

    Of an inline table there is the line where it begins.  Of names with more parts than
    `MAX_DEPTH` there are the first ones, and one more.
    """
    found: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    fence = ""  # what ends the text in which we are
    for number, line in enumerate(text.split("\n"), 1):
        if not fence:
            known = 0
            if match := _HEADER.fullmatch(line):
                name = section = _parts(match[1])[: MAX_DEPTH + 1]
            elif (match := _KEY.match(line)) is not None:
                known = len(section)
                name = (*section, *_parts(match[1]))[: MAX_DEPTH + 1]
            else:
                name = ()
            for length in range(known + 1, len(name) + 1):
                found.setdefault(name[:length], number)
        fence = _fence(line, fence)
    return found


def everything_in(key: str, value: object) -> Iterator[tuple[str, object, bool, int]]:
    """Yield a value and all that stands in it, in the order in which it is written.

    Each with its key, whether it is an item and the key that of its array, and in how many tables
    and arrays it stands.

    Args:
        key: Its key.
        value: It, as `tomllib` gives it.
    """
    # Without recursion: `tomllib` takes what is deeper than Python would follow here.
    waiting = [(key, value, False, 0)]
    while waiting:
        key, value, is_item, depth = waiting.pop()
        yield key, value, is_item, depth
        if isinstance(value, dict):
            inner = [(name, each, False, depth + 1) for name, each in value.items()]
        elif isinstance(value, list):
            inner = [(key, each, True, depth + 1) for each in value]
        else:
            continue
        waiting += reversed(inner)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(name))


def _fence(line: str, fence: str) -> str:
    """Return what ends the text of several lines in which a line ends, if it does."""
    for mark in _FENCE.findall(line):
        if not fence:
            fence = mark
        elif mark == fence:
            fence = ""
    return fence
