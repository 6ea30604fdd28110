"""The patterns of ``refile:`` data sets, and finding those that match a text.

A pattern is OpenDKIM's: ``*`` stands for anything, ``.`` and ``+`` for themselves, all other
characters have the meaning of a POSIX extended regular expression, so that ``a[b]*@x``
matches "abbb@x" and ``foo|bar@x`` means "begins with foo or ends with bar@x".

`PatternIndex` asks few of many patterns: it files each under the literal text that it
begins or ends with, so 10 000 patterns of the usual form ``*@example.com`` cost a lookup in
a dictionary.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from dkimcore.tables import ere
from dkimcore.tables.automaton import Automaton

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Pattern", "PatternIndex", "compile_pattern"]

_ACTIVE = frozenset("[](){}?|^$\\")
_TRANSLATION = str.maketrans({"*": ".*", ".": r"\.", "+": r"\+"})


class Pattern(Protocol):
    """A compiled pattern; texts are given in lower case if case is ignored."""

    @property
    def prefix(self) -> str:
        """What every text that it matches begins with; may be empty."""
        ...

    @property
    def suffix(self) -> str:
        """What every text that it matches ends with; may be empty."""
        ...

    def matches(self, text: str) -> bool:
        """Whether the text matches."""
        ...


class _Glob:
    """A pattern of literal text and ``*``."""

    __slots__ = ("_middle", "_shortest", "prefix", "suffix")

    def __init__(self, text: str) -> None:
        first, *middle = text.split("*")
        self.prefix = first
        self.suffix = middle.pop() if middle else first
        self._middle = [part for part in middle if part] if "*" in text else None
        self._shortest = len(text) - text.count("*")

    def matches(self, text: str) -> bool:
        if self._middle is None:
            return text == self.prefix
        if len(text) < self._shortest:
            return False
        if not text.startswith(self.prefix) or not text.endswith(self.suffix):
            return False
        position, end = len(self.prefix), len(text) - len(self.suffix)
        for part in self._middle:
            # The leftmost place is as good as any: what follows has the most room.
            position = text.find(part, position, end)
            if position < 0:
                return False
            position += len(part)
        return True


class _Expression:
    """A pattern with other active characters than ``*``."""

    __slots__ = ("_automaton", "prefix", "suffix")

    def __init__(self, text: str, *, ignore_case: bool) -> None:
        node = ere.parse(f"^{text.translate(_TRANSLATION)}$", ignore_case=ignore_case)
        self._automaton = Automaton(node)
        self.prefix = self.suffix = ""
        if isinstance(node, ere.Series):  # else a "|" takes the anchors apart
            self.prefix = "".join(_literals(node.items[1:]))
            self.suffix = "".join(_literals(reversed(node.items[:-1])))[::-1]

    def matches(self, text: str) -> bool:
        return self._automaton.search(text)


def _literals(nodes: Iterable[ere.Node]) -> Iterator[str]:
    for node in nodes:
        char = node.literal if isinstance(node, ere.Chars) else None
        if char is None:
            return
        yield char


def compile_pattern(text: str, *, ignore_case: bool) -> Pattern:
    """Compile a pattern of a ``refile:`` data set.

    Args:
        text: The pattern.
        ignore_case: Whether letters stand for both cases; `Pattern.matches` then wants
            texts in lower case.

    Raises:
        EreError: It is malformed, or not supported.
    """
    if _ACTIVE.isdisjoint(text):
        return _Glob(text.lower() if ignore_case else text)
    return _Expression(text, ignore_case=ignore_case)


class PatternIndex:
    """Finds the patterns that match a text, in their order.

    Args:
        patterns: The compiled patterns.
    """

    __slots__ = ("_by_prefix", "_by_suffix", "_other", "_patterns")

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._patterns = tuple(patterns)
        self._by_prefix: dict[int, dict[str, list[int]]] = {}
        self._by_suffix: dict[int, dict[str, list[int]]] = {}
        self._other: list[int] = []
        prefixes = Counter(pattern.prefix for pattern in self._patterns)
        suffixes = Counter(pattern.suffix for pattern in self._patterns)
        for number, pattern in enumerate(self._patterns):
            prefix, suffix = pattern.prefix, pattern.suffix
            # The rarer text leaves fewer patterns to ask.
            if suffix and (not prefix or suffixes[suffix] <= prefixes[prefix]):
                bucket = self._by_suffix.setdefault(len(suffix), {}).setdefault(suffix, [])
            elif prefix:
                bucket = self._by_prefix.setdefault(len(prefix), {}).setdefault(prefix, [])
            else:
                bucket = self._other
            bucket.append(number)

    def find(self, text: str) -> Iterator[int]:
        """Yield the numbers of the patterns that match, in their order."""
        numbers = list(self._other)
        for length, buckets in self._by_suffix.items():
            numbers += buckets.get(text[-length:], ())
        for length, buckets in self._by_prefix.items():
            numbers += buckets.get(text[:length], ())
        numbers.sort()
        for number in numbers:
            if self._patterns[number].matches(text):
                yield number
