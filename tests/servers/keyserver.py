"""What the harnesses of key servers have in common: a program that listens on a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.closing import Closing

if TYPE_CHECKING:
    from tests.servers.program import Program

__all__ = ["KeyServer"]


class KeyServer(Closing):
    """A server that may be stopped and started again."""

    _port: int
    _program: Program | None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._program is not None, "it is stopped"
        return self._program.pid

    @property
    def memory(self) -> int:
        """Its resident memory in octets."""
        assert self._program is not None, "it is stopped"
        return self._program.memory()
