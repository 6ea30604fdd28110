"""How to ask for TXT records: the interfaces every resolver keeps.

A resolver is total: failure is an answer, never an exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dkimcore.protocol.keyrecord import TxtAnswer

__all__ = ["AsyncTxtResolver", "TxtResolver"]


class TxtResolver(Protocol):
    """Answers key queries, blocking."""

    def lookup_txt(self, name: str) -> TxtAnswer:
        """Ask for the TXT records at an absolute name, A-labels with a final dot."""
        ...


class AsyncTxtResolver(Protocol):
    """Answers key queries for asyncio."""

    async def lookup_txt(self, name: str) -> TxtAnswer:
        """Ask for the TXT records at an absolute name, A-labels with a final dot."""
        ...
