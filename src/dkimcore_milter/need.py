"""What a conversation with an MTA needs to go on."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Need", "Work"]

Work: TypeAlias = "Callable[[], Callable[[], bytes]]"
"""Waits, in any thread; returns what `Conversation.resume` goes on with."""


class Need(Enum):
    """What a conversation needs to go on."""

    OCTETS = "octets"
    TURN = "turn"
    """To be called again, with or without octets, when others had their turn."""

    WORK = "work"
    """`work` to be called, and `resume` with its result."""

    SIGNAL = "signal"
    """`begin` to be called, and `resume` as soon as it says so."""

    END = "end"
    """To be closed."""
