"""An MTA's octets in memory: plays whole messages to a `Conversation`, and reads its answers."""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING

from dkimcore_milter.conversation import Conversation
from dkimcore_milter.meter import Meter
from dkimcore_milter.need import Need
from dkimcore_milter.service import Service
from tests.servers.milterwire import pack, parse_answer, parse_negotiation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogLine
    from tests.servers.milterwire import Change, Negotiated, Progress, Reply

__all__ = [
    *("ALL_ACTIONS", "ALL_STEPS", "FIELDS", "WAITING", "Talk", "client", "go_on"),
    *("macros", "message"),
]

ALL_ACTIONS = 0x1FF
ALL_STEPS = 0x1FFFFF
WAITING = (Need.WORK, Need.SIGNAL, Need.TURN)
FIELDS = ((b"From", b" a@example.com"), (b"Subject", b" hi"))


def macros(stage: bytes, **values: str) -> bytes:
    """A packet of macros; names of more than one letter get braces."""
    parts = [
        part
        for name, value in values.items()
        for part in (name if len(name) == 1 else f"{{{name}}}", value)
    ]
    return pack(b"D", stage + b"".join(part.encode() + b"\0" for part in parts))


def client(address: str = "127.0.0.1", host: bytes = b"localhost") -> bytes:
    """A packet that tells who the client is."""
    family = b"6" if ":" in address else b"4"
    return pack(b"C", host + b"\0" + family + struct.pack(">H", 4711) + address.encode() + b"\0")


def message(
    fields: Iterable[tuple[bytes, bytes]] = FIELDS, *, body: bytes = b"hello\r\n", job: str = "Q1"
) -> bytes:
    """All packets of a message, from MAIL to its end."""
    return b"".join(
        (
            macros(b"M", i=job),
            pack(b"M", b"<a@example.com>\0SIZE=1\0"),
            pack(b"R", b"<b@example.net>\0"),
            *(pack(b"L", name + b"\0" + value + b"\0") for name, value in fields),
            pack(b"N"),
            pack(b"B", body),
            pack(b"E"),
        )
    )


def go_on(conversation: Conversation) -> bytes:
    """Does what a conversation waits for, as the loop and its threads do; what it says then."""
    if conversation.need is Need.TURN:
        return conversation.receive(b"")
    if conversation.need is Need.SIGNAL:
        done = threading.Event()
        known = conversation.begin(done.set)
        if known is not None:
            assert not done.is_set()
            return conversation.resume(known)
        assert done.wait(30)
        return conversation.resume(conversation.complete)
    assert conversation.work is not None
    return conversation.resume(conversation.work())


class Talk:
    """A conversation with everything around it.

    Args:
        engine: What decides.
        inet: Whether it is over TCP.
    """

    def __init__(self, engine: Engine, *, inet: bool = False) -> None:
        self.log: list[LogLine] = []
        self.meter = Meter.alone()
        service = Service(engine=engine, log=self.log.append, meter=self.meter, inet=inet)
        self.conversation = Conversation(service)

    def send(self, octets: bytes) -> bytes:
        """Sends octets, does the work that is asked for, and returns the answers' octets."""
        out = self.conversation.receive(octets)
        while self.conversation.need in WAITING:
            out += go_on(self.conversation)
        return out

    def negotiate(
        self, *, version: int = 6, actions: int = ALL_ACTIONS, steps: int = ALL_STEPS
    ) -> Negotiated | None:
        """Offers actions and steps; None if the conversation ended."""
        answers = split(self.send(pack(b"O", struct.pack(">III", version, actions, steps))))
        if not answers:
            return None
        ((letter, data),) = answers
        assert letter == b"O"
        return parse_negotiation(data)

    def greet(self, address: str = "127.0.0.1", **offered: int) -> Negotiated:
        """Negotiates, and tells who the client is."""
        agreed = self.negotiate(**offered)
        assert agreed is not None
        assert self.say(macros(b"C", j="mx.example.net") + client(address))
        return agreed

    def say(self, octets: bytes) -> list[Reply | Change | Progress]:
        """Sends octets and returns the answers, taken apart."""
        return [parse_answer(*answer) for answer in split(self.send(octets))]

    @property
    def over(self) -> bool:
        """Whether the conversation ended."""
        return self.conversation.need is Need.END


def split(octets: bytes) -> list[tuple[bytes, bytes]]:
    """Takes whole packets apart."""
    found = []
    while octets:
        (size,) = struct.unpack_from(">I", octets)
        assert len(octets) >= 4 + size, "half a packet"
        found.append((octets[4:5], octets[5 : 4 + size]))
        octets = octets[4 + size :]
    return found
