"""Where a hostile message's choices come from: any octets, or Hypothesis.

`hostile` builds its input from a `Choices`, so that the properties and the fuzz
targets try the same shapes: one draws each choice, the other reads it from the
octets that the fuzzer mutates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Choices", "OctetChoices"]

T = TypeVar("T")


class Choices(Protocol):
    """A source of choices; the first option is the dullest."""

    def integer(self, low: int, high: int) -> int:
        """Choose a number from low to high, both included."""
        ...

    def one_of(self, options: Sequence[T]) -> T:
        """Choose one of the options."""
        ...

    def octets(self, most: int) -> bytes:
        """Choose some octets."""
        ...


class OctetChoices:
    """Reads choices from octets; when these are used up, every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def integer(self, low: int, high: int) -> int:
        size = ((high - low).bit_length() + 7) // 8
        taken = self._data[self._position : self._position + size]
        self._position += size
        return low + int.from_bytes(taken, "big") % (high - low + 1)

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)] if len(options) > 1 else options[0]

    def octets(self, most: int) -> bytes:
        size = self.integer(0, most)
        taken = self._data[self._position : self._position + size]
        self._position += size
        return taken

    @property
    def left(self) -> bool:
        """Whether there are octets that no choice has used."""
        return self._position < len(self._data)

    def rest(self) -> bytes:
        """All octets that no choice has used."""
        taken, self._position = self._data[self._position :], len(self._data)
        return taken
