"""The MTA's macros, as it sends them for each step, and where they are looked for.

libmilter's rules: what came with CONNECT or HELO holds for the connection, the rest for the
message; what came later is found first; a step forgets what came with later ones before it; a
name of one letter may stand in braces or not.
"""

from __future__ import annotations

from dkimcore_milter.wire import Command

__all__ = ["MacroTable"]

_STAGES: dict[int, int] = {
    Command.CONNECT: 0,
    Command.HELO: 1,
    Command.MAIL: 2,
    Command.RCPT: 3,
    Command.DATA: 4,
    Command.HEADER: 5,  # Postfix sends those of the end of the header with fields, too
    Command.EOH: 5,
    Command.BODY: 6,
    Command.BODYEOB: 6,
}
_OF_MESSAGE = 2
_COUNT = 7
_NOTHING: dict[bytes, bytes] = {}


class MacroTable:
    """The macros of a connection.  What was not asked for is never taken apart."""

    __slots__ = ("_octets", "_parsed")

    def __init__(self) -> None:
        self._octets: list[bytes | None] = [None] * _COUNT
        self._parsed = [_NOTHING] * _COUNT

    def define(self, data: bytes) -> None:
        """Take the macros of a step; those that it had before are forgotten.

        Args:
            data: The step's letter, then names and values that end with NULs.  Steps that are
                unknown define nothing, nor does a name without a value.
        """
        stage = _STAGES.get(data[0]) if data else None
        if stage is not None:
            self._octets[stage] = data

    def forget_message(self) -> None:
        """Forget what held for a message."""
        self._forget_from(_OF_MESSAGE)

    def begin(self, step: int) -> None:
        """Forget what came with later steps, before this one: it was about others.

        Args:
            step: The step's letter.
        """
        self._forget_from(_STAGES[step] + 1)

    def _forget_from(self, stage: int) -> None:
        self._octets[stage:] = (None,) * (_COUNT - stage)
        self._parsed[stage:] = (_NOTHING,) * (_COUNT - stage)

    def value(self, name: str) -> str | None:
        """Return a macro's value.

        Args:
            name: Such as ``i`` or ``{auth_type}``.

        Returns:
            None if it is not defined; octets that are no UTF-8 become surrogates.
        """
        key = name.encode("utf-8", "surrogateescape")
        if len(key) == 3 and key[:1] == b"{" and key[2:] == b"}":
            key = key[1:2]
        for stage in range(_COUNT - 1, -1, -1):
            octets = self._octets[stage]
            if octets is not None:
                self._parsed[stage] = _parse(octets)
                self._octets[stage] = None
            found = self._parsed[stage].get(key)
            if found is not None:
                return found.decode("utf-8", "surrogateescape")
        return None


def _parse(data: bytes) -> dict[bytes, bytes]:
    parts = data[1:].split(b"\0")
    macros: dict[bytes, bytes] = {}
    for name, value in zip(parts[::2], parts[1::2], strict=False):
        short = len(name) == 3 and name[0] == 0x7B and name[2] == 0x7D
        macros.setdefault(name[1:2] if short else name, value)
    return macros
