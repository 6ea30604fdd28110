"""What a diagnosis says: findings, and how sure each of them is.

Every search in this package is bounded by one `Budget`, so that a hostile message costs no
more than a long one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Budget", "Certainty", "Finding", "excerpt"]


class Certainty(StrEnum):
    """How sure a finding is."""

    PROVED = "proved"  # with the change undone, the hash or the signature fits
    FACT = "fact"  # it stands in the message or in the key record
    LIKELY = "likely"  # it explains the failure, and nothing proves it


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a diagnosis found.

    Attributes:
        code: What it is, for programs; docs/reference/commands.md lists them.
        text: What happened, for people; printable, one sentence or two.
        certainty: How sure it is.
        cure: What to do about it; may be empty.
        data: Details for programs: numbers and short strings.
    """

    code: str
    text: str
    certainty: Certainty
    cure: str = ""
    data: Mapping[str, str | int | bool | None] = field(default_factory=dict, hash=False)


class Budget:
    """How much hashing a diagnosis may do.

    Args:
        octets: Octets to hash; a second is some 500 million.
    """

    __slots__ = ("_left", "exhausted")

    def __init__(self, octets: int) -> None:
        self._left = octets
        self.exhausted = False

    def spend(self, octets: int) -> bool:
        """Take octets out of the budget; False when there are not enough left."""
        if octets > self._left:
            self.exhausted = True
            return False
        self._left -= octets
        return True


def excerpt(octets: bytes, *, around: int = 0, width: int = 60) -> str:
    """Show a piece of a message, printable and short.

    Args:
        octets: The line or field.
        around: The octet that must be seen.
        width: At most so many octets.
    """
    start = max(0, min(around - width // 2, len(octets) - width))
    piece = octets[start : start + width].decode("utf-8", "backslashreplace")
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in piece
    )
    return ("..." if start else "") + shown + ("..." if start + width < len(octets) else "")
