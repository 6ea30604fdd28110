"""POSIX extended regular expressions, matched in linear time (POSIX.1-2017, XBD chapter 9).

The lines of a ``refile:`` data set are such expressions, and what they are matched with
comes from strangers' mail.  Python's `re` backtracks: a pattern with three ``*`` may take
minutes for one long address.  So an expression becomes an automaton whose work is bounded
by its size times the length of the text.

Back-references, collating elements and what POSIX leaves undefined are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Anchor", "AnyChar", "Chars", "Choice", "EreError", "Node", "Repeat", "Series", "parse"]

_MAX_REPEAT = 255  # RE_DUP_MAX of POSIX
_MAX_DEPTH = 50
_INTERVAL = re.compile(r"\{(\d{1,5})(,(\d{1,5})?)?\}", re.ASCII)
_SPECIAL = frozenset(r".[]()*+?{}|^$\/-")
_CLASSES = {
    "alnum": ("09", "AZ", "az"),
    "alpha": ("AZ", "az"),
    "blank": ("  ", "\t\t"),
    "cntrl": ("\x00\x1f", "\x7f\x7f"),
    "digit": ("09",),
    "graph": ("!~",),
    "lower": ("az",),
    "print": (" ~",),
    "punct": ("!/", ":@", "[`", "{~"),
    "space": ("\t\r", "  "),
    "upper": ("AZ",),
    "xdigit": ("09", "AF", "af"),
}


class EreError(ValueError):
    """The expression is malformed, or not one that can be matched here."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set, given as ranges; or none of it."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False
    ignore_case: bool = False

    def __contains__(self, char: str) -> bool:
        forms = {char, char.lower(), char.upper()} if self.ignore_case else {char}
        inside = any(low <= form <= high for low, high in self.ranges for form in forms)
        return inside is not self.negated

    @property
    def literal(self) -> str | None:
        """The one character that it stands for, in lower case if case is ignored."""
        (low, high), *others = self.ranges
        if others or self.negated or low != high:
            return None
        return low.lower() if self.ignore_case else low


@dataclass(frozen=True, slots=True)
class AnyChar:
    """``.``"""


@dataclass(frozen=True, slots=True)
class Anchor:
    """``^``, or ``$`` if `end`."""

    end: bool


@dataclass(frozen=True, slots=True)
class Series:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """``|``"""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """So many times; `high` None is without limit."""

    item: Node
    low: int
    high: int | None


Node: TypeAlias = Chars | AnyChar | Anchor | Series | Choice | Repeat


def parse(text: str, *, ignore_case: bool = False) -> Node:
    """Parse an extended regular expression.

    Args:
        text: The expression.
        ignore_case: Whether letters stand for both cases.

    Raises:
        EreError: It is malformed, or holds what is not supported.
    """
    parser = _Parser(text, ignore_case)
    node = parser.choice(0)
    if parser.position < len(text):
        raise EreError("')' has no '('")
    return node


class _Parser:
    __slots__ = ("_ignore_case", "_text", "position")

    def __init__(self, text: str, ignore_case: bool) -> None:  # noqa: FBT001 - private
        self._text = text
        self._ignore_case = ignore_case
        self.position = 0

    def choice(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise EreError(f"parentheses are nested more than {_MAX_DEPTH} deep")
        items = [self._series(depth)]
        while self._peek() == "|":
            self.position += 1
            items.append(self._series(depth))
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def _peek(self) -> str:
        return self._text[self.position : self.position + 1]

    def _series(self, depth: int) -> Node:
        items: list[Node] = []
        while (char := self._peek()) and char not in "|)":
            item = self._atom(char, depth)
            while (char := self._peek()) and char in "*+?{":
                if isinstance(item, Anchor):
                    raise EreError(f"'{char}' has nothing to repeat")
                item = Repeat(item, *self._bounds(char))
            items.append(item)
        return Series(tuple(items))

    def _bounds(self, char: str) -> tuple[int, int | None]:
        self.position += 1
        if char != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        match = _INTERVAL.match(self._text, self.position - 1)
        if match is None:
            raise EreError("'{' is not followed by a count as {2} or {2,5}; write it as [{]")
        self.position = match.end()
        low = int(match[1])
        high = low if match[2] is None else None if match[3] is None else int(match[3])
        if max(low, high or 0) > _MAX_REPEAT or (high is not None and high < low):
            raise EreError(f"{match[0]} is not a count from 0 to {_MAX_REPEAT}")
        return low, high

    def _atom(self, char: str, depth: int) -> Node:
        self.position += 1
        if char == "(":
            node = self.choice(depth + 1)
            if self._peek() != ")":
                raise EreError("'(' has no ')'; write it as [(]")
            self.position += 1
            return node
        if char in "^$":
            return Anchor(char == "$")
        if char == ".":
            return AnyChar()
        if char == "[":
            return self._bracket()
        if char in "*+?{":
            raise EreError(f"'{char}' has nothing to repeat; write it as [{char}]")
        if char == "\\":
            char = self._peek()
            if char not in _SPECIAL or not char:
                raise EreError(f"a backslash before {char!r} has no meaning in POSIX")
            self.position += 1
        return Chars(((char, char),), ignore_case=self._ignore_case)

    def _bracket(self) -> Node:
        negated = self._peek() == "^"
        self.position += negated
        ranges: list[tuple[str, str]] = []
        first = True
        while first or self._peek() != "]":
            ranges += self._bracket_item()
            first = False
        self.position += 1
        return Chars(tuple(ranges), negated, self._ignore_case)

    def _bracket_item(self) -> list[tuple[str, str]]:
        text, start = self._text, self.position
        if start >= len(text):
            raise EreError("'[' has no ']'; write it as [[]")
        if text[start : start + 2] in ("[:", "[.", "[="):
            name, end, _ = text[start + 2 :].partition(":]")
            if text[start + 1] != ":" or not end or name not in _CLASSES:
                raise EreError("in '[...]' only the classes of POSIX such as [:digit:] are known")
            self.position += len(name) + 4
            return [(pair[0], pair[1]) for pair in _CLASSES[name]]
        low = high = text[start]
        self.position += 1
        if text[start + 1 : start + 2] == "-" and text[start + 2 : start + 3] not in ("]", ""):
            high = text[start + 2]
            self.position += 2
            if high < low or high == "[":
                raise EreError(f"'{low}-{high}' in '[...]' is not a range")
        return [(low, high)]
