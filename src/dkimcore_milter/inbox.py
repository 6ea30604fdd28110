"""What came of a packet that is not complete, kept until it is.

Takes time in proportion to what comes, however small the parts are, and no more memory than one
packet may have and the last part.
"""

from __future__ import annotations

from dkimcore_milter.wire import HEAD_OCTETS, MAX_PACKET_OCTETS, PacketTooLong, ProtocolError

__all__ = ["Inbox"]

_LENGTH_OCTETS = 4


class Inbox:
    """Octets that begin with a packet.

    Attributes:
        rest: What is kept.
    """

    __slots__ = ("_wanted", "rest")

    def __init__(self) -> None:
        self.rest = bytearray()
        self._wanted = 0

    def keep(self, octets: bytes, at: int) -> None:
        """Keep what begins at a place, where a packet begins; nothing is kept yet.

        Raises:
            ProtocolError: The packet has a length that none may have.
        """
        self.rest += memoryview(octets)[at:]
        self._wanted = HEAD_OCTETS
        self._look()

    def join(self, octets: bytes) -> bytes:
        """Return everything, and keep nothing; or nothing, if the packet is not complete.

        Raises:
            ProtocolError: The packet has a length that none may have.
        """
        self.rest += octets
        if self._wanted == HEAD_OCTETS:
            self._look()
        return self.take() if len(self.rest) >= self._wanted else b""

    def take(self) -> bytes:
        """Return everything, and keep nothing."""
        octets = bytes(self.rest)
        self.rest = bytearray()
        return octets

    def _look(self) -> None:
        if len(self.rest) >= _LENGTH_OCTETS:
            size = int.from_bytes(self.rest[:_LENGTH_OCTETS], "big")
            if size > MAX_PACKET_OCTETS:
                raise PacketTooLong(f"a packet of {size} octets")
            if size == 0:
                raise ProtocolError("a packet of 0 octets")
            self._wanted = _LENGTH_OCTETS + size
