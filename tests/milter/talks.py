"""What MTAs say to a filter, as packets; and a partner that says anything and checks each answer.

`TALKS` are whole connections as Postfix and sendmail have them.  A `Talker` plays packets, of
these or others, to a `Conversation` in memory.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from dkimcore_milter.conversation import Conversation
from dkimcore_milter.meter import Meter
from dkimcore_milter.need import Need
from dkimcore_milter.service import Service
from tests.milter.mad import BROKEN, FORGED, SIGNED, SIMPLE
from tests.milter.mta import WAITING, go_on
from tests.servers.milterwire import (
    DeleteRecipient,
    InsertField,
    Negotiated,
    Outlook,
    Progress,
    Quarantine,
    Reply,
    Steps,
    pack,
    parse_answer,
    parse_negotiation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogLine

__all__ = ["EVERYTHING", "NEGOTIATIONS", "TALKS", "Talker", "body", "client", "message"]

EVERYTHING = struct.pack(">III", 6, 0x1FF, 0x1FFFFF)
NEGOTIATIONS = [
    EVERYTHING,
    struct.pack(">III", 2, 0x3F, 0x7F),  # sendmail 8.13
    struct.pack(">III", 6, 0x1FF, 0),  # a filter that may leave nothing out
    struct.pack(">III", 4, 0x3F, 0x1FFFFF),
]
_FINAL = frozenset({Outlook.ACCEPT, Outlook.DISCARD, Outlook.REJECT, Outlook.TEMPFAIL})
_SILENT = {b"L": Steps.NR_HDR, b"M": Steps.NR_MAIL, b"R": Steps.NR_RCPT}
_ONE_ANSWER = frozenset({b"C", b"H", b"T", b"U", b"N", b"B", *_SILENT})
_BODY = b"Are you hungry?\r\n"


def client(address: bytes, name: bytes = b"mail.example.org") -> bytes:
    """The packet that tells who connected."""
    return pack(b"C", name + b"\0004" + struct.pack(">H", 25) + address + b"\0")


def body(octets: bytes, size: int) -> list[bytes]:
    """The packets of a body."""
    return [pack(b"B", octets[at : at + size]) for at in range(0, len(octets), size)]


def message(
    fields: Iterable[tuple[bytes, bytes]],
    chunks: Iterable[bytes] = (pack(b"B", _BODY),),
    *,
    queue_id: bytes = b"4Bq1",
) -> list[bytes]:
    """The packets of a message."""
    packets = [pack(b"D", b"M"), pack(b"M", b"<alice@example.com>\0SIZE=200\0")]
    packets += [pack(b"D", b"Ri\0" + queue_id + b"\0"), pack(b"R", b"<bob@example.net>\0")]
    packets += [pack(b"R", b"<list@example.net>\0"), pack(b"T")]
    packets += [
        pack(b"L", name + b"\0" + value.replace(b"\r\n", b"\n") + b"\0") for name, value in fields
    ]
    packets += [pack(b"D", b"Ni\0" + queue_id + b"\0"), pack(b"N"), *chunks]
    return [*packets, pack(b"D", b"Ei\0" + queue_id + b"\0"), pack(b"E")]


def _talk(negotiation: bytes, address: bytes, *messages: Sequence[bytes]) -> list[bytes]:
    packets = [pack(b"O", negotiation), pack(b"D", b"Cj\0mx.example.net\0{daemon_name}\0mx\0")]
    packets += [client(address), pack(b"D", b"H"), pack(b"H", b"mail.example.org\0")]
    for each in messages:
        packets += [*each, pack(b"A")]
    return [*packets, pack(b"Q")]


_ODD = [(b"X Y", b" z"), (b"", b""), (b"From", b" \xff\xfe"), (b"Subject", b" a\r b"), FORGED]
_MESSAGES = [
    message(SIMPLE),
    message(SIGNED),
    message(BROKEN),
    message([*SIGNED, *_ODD]),
    message(SIMPLE, []),
    message(SIMPLE, body(b"a \r\n" * 200, 7)),
    [*message(SIMPLE)[:-3], pack(b"E", _BODY)],
    message(SIMPLE * 30),
]
_FIRST = _talk(EVERYTHING, b"127.0.0.1", _MESSAGES[0])[:-1]
_CONNECTION_KEPT = [*_FIRST, pack(b"K"), client(b"192.0.2.1"), *_MESSAGES[2], pack(b"Q")]
TALKS = [
    *(_talk(EVERYTHING, b"192.0.2.1", each, _MESSAGES[1]) for each in _MESSAGES),
    *(_talk(each, b"127.0.0.1", _MESSAGES[0], _MESSAGES[1]) for each in NEGOTIATIONS),
    _CONNECTION_KEPT,
]


class Talker:
    """Says packets to a filter, and checks its answers.

    Args:
        engine: What the filter decides with.

    Attributes:
        messages: How many messages ended.
        steps: How many packets were said.
    """

    def __init__(self, engine: Engine) -> None:
        self.lines: list[LogLine] = []
        self.messages = 0
        self.steps = 0
        self._service = Service(
            engine=engine, log=self.lines.append, meter=Meter.alone(), inet=False
        )
        self._conversation = Conversation(self._service)
        self._agreed: Negotiated | None = None
        self._refused: Reply | None = None

    @property
    def is_over(self) -> bool:
        """Whether the filter is done with the connection."""
        return self._conversation.need is Need.END

    def close(self) -> None:
        self._conversation.close()
        self._conversation.close()  # again is harmless
        self._check_log()

    def say(self, packet: bytes, *, cut: int = 0) -> None:
        """Says a packet whose length is right, and checks what comes back.

        Args:
            packet: The packet.
            cut: Where to cut it in two.
        """
        self.steps += 1
        out = self.hear(packet[:cut]) if cut else b""
        if not self.is_over:
            out += self.hear(packet[cut:])
        answers = list(_parsed(out))
        if self.is_over:  # what it did not understand, or goodbye
            assert not [each for each in answers if isinstance(each, Reply)][1:]
        else:
            self._judge(packet[4:5], answers)

    def say_all(self, packets: Iterable[bytes]) -> None:
        """Says packets one by one."""
        for packet in packets:
            self.say(packet)

    def hear(self, octets: bytes) -> bytes:
        """Says octets, and returns what comes back until the filter wants more."""
        conversation = self._conversation
        out = conversation.receive(octets)
        while conversation.need in WAITING:
            if conversation.need is not Need.TURN:
                out += conversation.progress()
            out += go_on(conversation)
        self._check_log()
        return out

    def _check_log(self) -> None:
        for line in self.lines:
            assert line.event != "internal-error", line.fields.get("traceback")
            assert line.text.isprintable()
            (line.job_id or "").encode("utf-8", "surrogateescape")
        self.lines.clear()

    def _judge(self, command: bytes, answers: list[object]) -> None:
        if command == b"O":
            (agreed,) = answers
            assert isinstance(agreed, Negotiated)
            self._agreed, self._refused = agreed, None
            return
        assert not any(isinstance(each, Negotiated) for each in answers)
        if self._agreed is None:
            assert answers == []
        elif command == b"E":
            self._judge_end(answers)
        elif command in _ONE_ANSWER:
            if command in (b"M", b"C"):
                self._refused = None
            if self._agreed.steps & _SILENT.get(command, 0):
                assert answers == []
            else:
                (reply,) = [each for each in answers if not isinstance(each, Progress)]
                self._judge_reply(command, reply)
        else:
            assert answers == []
            if command in (b"A", b"K"):
                self._refused = None

    def _judge_reply(self, command: bytes, reply: object) -> None:
        assert isinstance(reply, Reply)
        if command in (b"N", b"B") and self._refused is not None:
            assert reply == self._refused, (command, reply)
        elif command == b"L" and self._refused is not None:  # fields are looked at in batches
            assert reply in (self._refused, Reply(Outlook.CONTINUE))
        elif reply.outlook is Outlook.SKIP:
            assert command == b"B"
            assert self._agreed is not None
            assert self._agreed.steps & Steps.SKIP
        elif reply.final and reply.outlook is not Outlook.ACCEPT and command in (b"L", b"N", b"B"):
            self._refused = reply
        elif command in (b"H", b"T", b"U"):
            assert reply.outlook is Outlook.CONTINUE

    def _judge_end(self, answers: list[object]) -> None:
        """Changes, and behind them one verdict, which is the one that was given before."""
        *changes, verdict = [each for each in answers if not isinstance(each, Progress)]
        assert not any(isinstance(each, Reply) for each in changes)
        assert isinstance(verdict, Reply)
        assert verdict.outlook in _FINAL or verdict.outlook is Outlook.REPLYCODE
        if self._refused is not None:
            assert (changes, verdict) == ([], self._refused)
        if verdict.outlook is not Outlook.ACCEPT:
            assert changes == []
        for change in changes:
            if isinstance(change, InsertField):
                assert change.index == 0
                assert b"\r" not in change.value
                assert b"\n\n" not in change.value
            elif isinstance(change, Quarantine):
                assert change.reason
            elif isinstance(change, DeleteRecipient):
                assert change.address
        self._refused = None
        self.messages += 1


def _parsed(out: bytes) -> Iterable[object]:
    """Reads a filter's packets; MilterError if no MTA would understand one."""
    at = 0
    while at < len(out):
        (size,) = struct.unpack_from(">I", out, at)
        assert 0 < size <= len(out) - at - 4
        command, data = out[at + 4 : at + 5], out[at + 5 : at + 4 + size]
        yield parse_negotiation(data) if command == b"O" else parse_answer(command, data)
        at += 4 + size
