"""The client of a connection, as the MTA describes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Macros", "Peer"]

Macros: TypeAlias = Callable[[str], str | None]
"""Gives the value of an MTA macro, such as ``i`` or ``{auth_type}``; None if it is not
defined.  To be asked during callbacks only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who connected.

    Attributes:
        host: Its name; in brackets, or None, if it has none.
        address: Its IP address; None if it is unknown or a local one.
        local: Whether it is a program on this host, without an address: sendmail(1).
    """

    host: str | None
    address: str | None
    local: bool = False
