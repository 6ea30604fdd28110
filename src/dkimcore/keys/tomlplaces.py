"""Where in a TOML text something is written: `tomllib` tells values and no lines.

Good enough for messages to people; whether the text is TOML is left to `tomllib`.
"""

from __future__ import annotations

import re

__all__ = ["places"]

# Possessive, so that nothing is kept to go back to.
_PART = re.compile(r"\"[^\"]*+\"|'[^']*+'|[A-Za-z0-9_-]++")
_DOTTED = rf"\s*+((?:{_PART.pattern})(?:\s*+\.\s*+(?:{_PART.pattern}))*+)\s*+"
_HEADER = re.compile(rf"\s*\[{{1,2}}{_DOTTED}\]{{1,2}}\s*(?:#.*)?")
_FENCE = re.compile(r"\"\"\"|'''")
_KEY = re.compile(rf"{_DOTTED}=")


def places(text: str) -> dict[tuple[str, ...], int]:
    """Find the lines where sections and keys are written, by their whole names.

    Of an inline table there is the line where it begins.
    """
    found: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    fence = ""  # what ends the text in which we are
    for number, line in enumerate(text.split("\n"), 1):
        if not fence:
            if match := _HEADER.fullmatch(line):
                name = section = _parts(match[1])
            elif (match := _KEY.match(line)) is not None:
                name = (*section, *_parts(match[1]))
            else:
                name = ()
            for length in range(1, len(name) + 1):
                found.setdefault(name[:length], number)
        fence = _fence(line, fence)
    return found


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
