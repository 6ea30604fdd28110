"""How the values of options are read: numbers, switches, words, lists, durations.

A `Reader` makes a field's value from the text of opendkim.conf, or from a value of TOML.
It raises `ValueError` with cause and cure; file and line are added by whoever knows them.
Which reader a field has is said in `dkimcore.settings.fields`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dkimcore.settings.model import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Integer",
    "Place",
    "Reader",
    "SourceReader",
    "Switch",
    "Text",
    "Word",
    "boolean",
    "integer",
    "shown",
]

# What strtol(3) takes with base 0: a 0 in front makes it octal, 0x hexadecimal.
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))", re.ASCII)
_YES, _NO = tuple("tTyY1"), tuple("fFnN0")
_INTEGER_MAXIMUM = 2**31 - 1
_INTEGER_DIGITS = 12
_SHOWN = 60


class Place(NamedTuple):
    """Where a value stands; None, None for a flag of a command."""

    file: str | None = None
    line: int | None = None

    def prefix(self, text: str) -> str:
        """Return a text with the place in front."""
        return text if self.file is None else f"{self.file}:{self.line}: {text}"


class Reader(Protocol):
    """Reads the value of one field."""

    def from_text(self, text: str, place: Place) -> object:
        """Read what opendkim.conf says; raise ValueError."""
        ...

    def from_toml(self, value: object, place: Place) -> object:
        """Read what TOML says; raise ValueError."""
        ...


def shown(text: str) -> str:
    """Return a text for an error message: quoted, escaped, and not too long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def boolean(text: str) -> bool:
    """Read a switch by its first letter, as OpenDKIM does; ``on`` and ``off``, too.

    Raises:
        ValueError: It is neither.
    """
    if text.startswith(_YES) or text.lower() == "on":
        return True
    if text.startswith(_NO) or text.lower() == "off":
        return False
    raise ValueError(f"{shown(text)} is neither yes nor no; write yes or no")


def integer(text: str) -> int:
    """Read a number: decimal, octal with 0 in front, or hexadecimal with 0x.

    Raises:
        ValueError: It is none, has text behind it, or is beyond 31 bits.
    """
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{shown(text)} is not an integer: write digits and nothing behind them (a 0 in "
            "front makes them octal)"
        )
    sign, hexadecimal, octal, decimal = match.groups()
    if len(text) <= _INTEGER_DIGITS:
        number = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
        if number <= _INTEGER_MAXIMUM:
            return -number if sign == "-" else number
    raise ValueError(f"{shown(text)} is too large; at most {_INTEGER_MAXIMUM} is possible")


@dataclass(frozen=True, slots=True)
class Switch:
    """Yes or no."""

    def from_text(self, text: str, place: Place) -> bool:
        """Read it by its first letter."""
        return boolean(text)

    def from_toml(self, value: object, place: Place) -> bool:
        """Take true or false."""
        if not isinstance(value, bool):
            raise ValueError("write true or false")  # noqa: TRY004 - as all readers
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """A number between bounds.

    Attributes:
        minimum: The least that is possible.
        maximum: The most that is possible.
        instead: Numbers that mean something else, and what.
        hint: For an error: why the bounds are there, or what to do.
    """

    minimum: int = 0
    maximum: int = _INTEGER_MAXIMUM
    instead: Mapping[int, int | None] | None = None
    hint: str = ""

    def from_text(self, text: str, place: Place) -> int | None:
        """Read it as strtol(3) does."""
        return self._judge(integer(text))

    def from_toml(self, value: object, place: Place) -> int | None:
        """Take an integer."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("write an integer, without quotes")  # noqa: TRY004 - as all readers
        return self._judge(value)

    def _judge(self, number: int) -> int | None:
        if self.instead is not None and number in self.instead:
            return self.instead[number]
        if not self.minimum <= number <= self.maximum:
            bound = f"at least {self.minimum}"
            if number > self.maximum:
                bound = f"at most {self.maximum}"
            raise ValueError(f"{number} is not possible: it must be {bound}{self.hint}")
        return number


@dataclass(frozen=True, slots=True)
class Word:
    """One word of several.

    Attributes:
        words: Each word in lower case, and its meaning.
        refused: Words that are known and not accepted, and why.
    """

    words: Mapping[str, object]
    refused: Mapping[str, str] | None = None

    def from_text(self, text: str, place: Place) -> object:
        """Look it up, in any case."""
        word = text.lower()
        if word in self.words:
            return self.words[word]
        if self.refused is not None and word in self.refused:
            raise ValueError(f"{word} is refused: {self.refused[word]}")
        choice = ", ".join(each for each in self.words if len(each) > 1)
        raise ValueError(f"{shown(text)} is unknown; write one of: {choice}")

    def from_toml(self, value: object, place: Place) -> object:
        """Take a string."""
        return self.from_text(_string(value), place)


@dataclass(frozen=True, slots=True)
class Text:
    """A text, which a function may check or turn into something else.

    Attributes:
        make: The function; it raises ValueError.
        many: Whether it is a list, with commas, which TOML may also write as an array.
    """

    make: Callable[[str], object] = str
    many: bool = False

    def from_text(self, text: str, place: Place) -> object:
        """Read it."""
        return self.make(text)

    def from_toml(self, value: object, place: Place) -> object:
        """Take a string, or an array if it is a list."""
        if self.many and isinstance(value, list):
            value = ",".join(_items(value))
        return self.make(_string(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReader:
    """Something to load: a data set, or a file.

    Attributes:
        data_set: Whether it is a data set, which TOML may also write as an array.
    """

    data_set: bool = True

    def from_text(self, text: str, place: Place) -> Source:
        """Keep it with its place."""
        return Source(text, place.file, place.line)

    def from_toml(self, value: object, place: Place) -> Source:
        """Take a string, or an array as a ``csl:``."""
        if self.data_set and isinstance(value, list):
            value = "csl:" + ",".join(_items(value))
        return self.from_text(_string(value), place)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("write a string, in quotes")  # noqa: TRY004 - as all readers
    text = value.strip()
    if not text:
        raise ValueError("a value is missing; write one, or take the line out")
    if any(octet in text for octet in "\0\r\n"):
        raise ValueError("a value is one line of text")
    return text


def _items(values: list[object]) -> list[str]:
    items = [_string(value) for value in values]
    if any("," in item for item in items):
        raise ValueError("an item of an array holds no comma; write two items")
    return items
