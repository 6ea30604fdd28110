"""The milter protocol's octets: packets, flags, and what a filter says, as plain values.

The numbers are those of libmilter's ``mfdef.h``.  `tests.servers.milterclient` speaks
with them; `tests.servers.miltermessage` applies the modifications.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import TypeAlias

__all__ = [
    "SILENT",
    "AddField",
    "AddRecipient",
    "Change",
    "ChangeField",
    "ChangeSender",
    "DeleteRecipient",
    "FilterActions",
    "InsertField",
    "MilterError",
    "Negotiated",
    "Outlook",
    "Progress",
    "Quarantine",
    "ReplaceBody",
    "Reply",
    "Steps",
    "pack",
    "parse_answer",
    "parse_negotiation",
]


class MilterError(Exception):
    """The filter does not keep to the protocol, or went away."""


class FilterActions(IntFlag):
    """What a filter may do to a message (SMFIF_*)."""

    ADDHDRS = 0x1
    CHGBODY = 0x2
    ADDRCPT = 0x4
    DELRCPT = 0x8
    CHGHDRS = 0x10
    QUARANTINE = 0x20
    CHGFROM = 0x40
    ADDRCPT_PAR = 0x80
    SETSYMLIST = 0x100
    ALL = 0x1FF


class Steps(IntFlag):
    """Which steps a filter does without, or does not answer (SMFIP_*)."""

    NOCONNECT = 0x1
    NOHELO = 0x2
    NOMAIL = 0x4
    NORCPT = 0x8
    NOBODY = 0x10
    NOHDRS = 0x20
    NOEOH = 0x40
    NR_HDR = 0x80
    NOUNKNOWN = 0x100
    NODATA = 0x200
    SKIP = 0x400
    RCPT_REJ = 0x800
    NR_CONN = 0x1000
    NR_HELO = 0x2000
    NR_MAIL = 0x4000
    NR_RCPT = 0x8000
    NR_DATA = 0x10000
    NR_UNKN = 0x20000
    NR_EOH = 0x40000
    NR_BODY = 0x80000
    HDR_LEADSPC = 0x100000
    VERSION_2 = 0x7F
    ALL = 0x1FFFFF


SILENT = {
    b"C": Steps.NR_CONN,
    b"H": Steps.NR_HELO,
    b"M": Steps.NR_MAIL,
    b"R": Steps.NR_RCPT,
    b"T": Steps.NR_DATA,
    b"L": Steps.NR_HDR,
    b"N": Steps.NR_EOH,
    b"B": Steps.NR_BODY,
}
"""What says of a command that it is not answered."""


class Outlook(Enum):
    """The answer's letter (SMFIR_*)."""

    CONTINUE = b"c"
    ACCEPT = b"a"
    DISCARD = b"d"
    REJECT = b"r"
    TEMPFAIL = b"t"
    SKIP = b"s"
    REPLYCODE = b"y"
    SHUTDOWN = b"4"
    CONN_FAIL = b"f"


@dataclass(frozen=True, slots=True)
class Reply:
    """A filter's answer to one step.

    Attributes:
        outlook: Its kind.
        text: For REPLYCODE the line that the SMTP client gets, such as ``550 5.7.0 no``.
    """

    outlook: Outlook
    text: str = ""

    @property
    def final(self) -> bool:
        """Whether the message is decided."""
        return self.outlook not in (Outlook.CONTINUE, Outlook.SKIP)

    @property
    def smtp(self) -> str | None:
        """What Postfix tells its client: a whole reply line; None if it goes on."""
        if self.outlook is Outlook.REJECT:
            return "550 5.7.1 Command rejected"
        if self.outlook is Outlook.TEMPFAIL:
            return "451 4.7.1 Service unavailable - try again later"
        if self.outlook in (Outlook.SHUTDOWN, Outlook.CONN_FAIL):
            return "421 4.7.0 Service unavailable - try again later"
        return self.text or None

    def __str__(self) -> str:
        return f"{self.outlook.name} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class AddField:
    """Append a header field."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertField:
    """Insert a header field before the field that has this place; 0 is the topmost."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeField:
    """Replace the index-th field of this name, from 1; delete it if the value is empty."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """Add an envelope recipient."""

    address: bytes


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """Take an envelope recipient away."""

    address: bytes


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Replace the envelope sender."""

    address: bytes


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """Replace the body; several follow each other."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Hold the message."""

    reason: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """Still working."""


Change: TypeAlias = (
    AddField
    | InsertField
    | ChangeField
    | AddRecipient
    | DeleteRecipient
    | ChangeSender
    | ReplaceBody
    | Quarantine
)


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What filter and MTA agreed on.

    Attributes:
        version: The protocol version that the filter speaks.
        actions: What it wants to be allowed.
        steps: What it does without or does not answer.
        symbols: The macros it asks for, by step: 0 connect, 1 HELO, 2 MAIL, 3 RCPT,
            4 DATA, 5 end of message, 6 end of header.
    """

    version: int
    actions: FilterActions
    steps: Steps
    symbols: tuple[tuple[int, str], ...]


def pack(command: bytes, data: bytes = b"") -> bytes:
    """Makes a packet."""
    return struct.pack(">I", 1 + len(data)) + command + data


def parse_negotiation(data: bytes) -> Negotiated:
    """Reads the filter's answer to the negotiation.

    Raises:
        MilterError: It is too short, or has unknown actions or steps.
    """
    if len(data) < 12:
        raise MilterError(f"a negotiation of {len(data)} octets")
    version, actions, steps = struct.unpack_from(">III", data)
    if actions & ~FilterActions.ALL or steps & ~Steps.ALL:
        raise MilterError(f"unknown actions or steps: {actions:#x} {steps:#x}")
    symbols, rest = [], data[12:]
    while rest:
        names, _, following = rest[4:].partition(b"\0")
        symbols.append((struct.unpack_from(">I", rest)[0], names.decode("ascii")))
        rest = following
    return Negotiated(version, FilterActions(actions), Steps(steps), tuple(symbols))


def parse_answer(command: bytes, data: bytes) -> Reply | Change | Progress:
    """Reads one packet of the filter's.

    Args:
        command: Its letter.
        data: What follows.

    Raises:
        MilterError: No MTA would understand it.
    """
    if command in (b"+", b"2"):
        return AddRecipient(data.partition(b"\0")[0])
    match command:
        case b"p":
            return Progress()
        case b"h":
            return AddField(*_strings(data, 2))
        case b"i" | b"m":
            (index,) = struct.unpack_from(">I", data)
            name, value = _strings(data[4:], 2)
            return (InsertField if command == b"i" else ChangeField)(index, name, value)
        case b"-":
            return DeleteRecipient(*_strings(data, 1))
        case b"e":
            return ChangeSender(data.partition(b"\0")[0])
        case b"b":
            return ReplaceBody(data)
        case b"q":
            return Quarantine(*_strings(data, 1))
        case b"y":
            return Reply(Outlook.REPLYCODE, _strings(data, 1)[0].decode("ascii"))
    try:
        return Reply(Outlook(command))
    except ValueError:
        raise MilterError(f"unknown answer {command!r}") from None


def _strings(data: bytes, count: int) -> list[bytes]:
    found = data.split(b"\0")
    if len(found) != count + 1 or found[-1]:
        raise MilterError(f"{count} strings expected: {data!r}")
    return found[:-1]
