"""The octets of the milter protocol: packets, the negotiation, replies and modifications.

The protocol is described by libmilter's ``mfdef.h``, whose names are given here.  A packet is
its length in four octets, a letter, and data; strings in the data end with NUL.  Nothing here
keeps state or reads a socket: `conversation` knows what a packet means.
"""

from __future__ import annotations

from enum import IntEnum
from ipaddress import ip_address
from struct import Struct
from typing import TYPE_CHECKING

from dkimcore_milter.action import (
    AddRecipient,
    DeleteField,
    DeleteRecipient,
    InsertField,
    Quarantine,
    Reply,
    Verdict,
)
from dkimcore_milter.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore_milter.action import Modification

__all__ = [
    "CONTINUE",
    "END_OF_HEADER_STAGE",
    "HEAD",
    "HEAD_OCTETS",
    "MAX_PACKET_OCTETS",
    "OLDEST_VERSION",
    "PROGRESS",
    "VERSION",
    "Command",
    "PacketTooLong",
    "ProtocolError",
    "negotiation",
    "packet",
    "parse_client",
    "parse_negotiation",
    "print_modification",
    "print_reply",
    "strings",
]

VERSION = 6
"""The version that we speak: SMFI_PROT_VERSION of libmilter 8.14 and later."""

OLDEST_VERSION = 2
"""The oldest that we speak: sendmail 8.11's, and what Postfix 2.3 began with."""

MAX_PACKET_OCTETS = 1024 * 1024
"""What a packet may have: the most that libmilter can be told to take (MILTER_MDS_1M).  MTAs cut
the body into parts of 65535 octets."""

HEAD = Struct(">IB").unpack_from
"""Reads the length and the letter of a packet; the length counts the letter."""

HEAD_OCTETS = 5

END_OF_HEADER_STAGE = 6
"""SMFIM_EOH: where macros are asked for."""

_MAX_REPLY_OCTETS = 900
"""libmilter refuses replies of 980 octets (MAXREPLYLEN); SMTP lines have 512."""

_NEGOTIATION = Struct(">III")
_NUMBER = Struct(">I")
_WITH_NUMBER = Struct(">IBI")
_PACKET = Struct(">IB")


class Command(IntEnum):
    """The letters of what MTAs send: SMFIC_*."""

    ABORT = ord("A")
    BODY = ord("B")
    CONNECT = ord("C")
    MACRO = ord("D")
    BODYEOB = ord("E")
    HELO = ord("H")
    QUIT_NC = ord("K")
    HEADER = ord("L")
    MAIL = ord("M")
    EOH = ord("N")
    OPTNEG = ord("O")
    QUIT = ord("Q")
    RCPT = ord("R")
    DATA = ord("T")
    UNKNOWN = ord("U")


class ProtocolError(ValueError):
    """An MTA does not keep to the protocol; the text says how, without its octets."""


class PacketTooLong(ProtocolError):
    """A packet has more than `MAX_PACKET_OCTETS`."""


def packet(letter: bytes, data: bytes = b"") -> bytes:
    """Make a packet."""
    return _PACKET.pack(len(data) + 1, letter[0]) + data


CONTINUE = packet(b"c")
PROGRESS = packet(b"p")
"""We still work: SMFIR_PROGRESS."""

_LETTERS = {
    Verdict.CONTINUE: CONTINUE,
    Verdict.SKIP: packet(b"s"),
    Verdict.ACCEPT: packet(b"a"),
    Verdict.DISCARD: packet(b"d"),
    Verdict.REJECT: packet(b"r"),
    Verdict.TEMPFAIL: packet(b"t"),
}


def parse_negotiation(data: bytes) -> tuple[int, int, int]:
    """Read what an MTA offers: its version, the actions it allows, the steps it can leave out.

    Raises:
        ProtocolError: It is too short.
    """
    if len(data) < _NEGOTIATION.size:
        raise ProtocolError(f"a negotiation of {len(data)} octets")
    version, actions, steps = _NEGOTIATION.unpack_from(data)
    return version, actions, steps


def negotiation(version: int, *, actions: int, steps: int, symbols: str | None = None) -> bytes:
    """Answer a negotiation.

    Args:
        version: What is spoken from now on.
        actions: What we may do.
        steps: What is left out, and what else was agreed on.
        symbols: The macros that we ask for at the end of the header, separated by blanks.
    """
    data = _NEGOTIATION.pack(version, actions, steps)
    if symbols is not None:
        data += _NUMBER.pack(END_OF_HEADER_STAGE) + symbols.encode("ascii") + b"\0"
    return packet(b"O", data)


def parse_client(data: bytes) -> Peer:
    """Read who the client is, as CONNECT says it: a name, a family, a port, an address.

    Raises:
        ProtocolError: It is malformed; what is no address must not pass for a client without
            one, which is taken for this host.
    """
    name, _, rest = data.partition(b"\0")
    host = name.decode("utf-8", "surrogateescape") or None
    family, text = rest[:1], rest[3:].partition(b"\0")[0]
    if family == b"U":
        return Peer(host=host, address=None)
    if family == b"L":
        return Peer(host=host, address=None, local=True)
    if family not in (b"4", b"6"):
        raise ProtocolError("a client of an unknown family")
    # sendmail writes IPv6 addresses as in SMTP (RFC 5321 section 4.1.3); a zone is of no use.
    words = text.decode("ascii", "replace").removeprefix("IPv6:").partition("%")[0]
    try:
        return Peer(host=host, address=str(ip_address(words)))
    except ValueError:
        raise ProtocolError("a client whose address is none") from None


def strings(data: bytes) -> list[bytes]:
    """Split what ends with NULs.

    Raises:
        ProtocolError: There is no string, or the last one does not end.
    """
    found = data.split(b"\0")
    if len(found) < 2 or found.pop():
        raise ProtocolError("a string without an end")
    return found


def print_reply(reply: Reply) -> bytes:
    """Print an answer; without a text the MTA has its own."""
    if not reply.code:
        return _LETTERS[reply.verdict]
    words = " ".join((reply.code, reply.enhanced, *reply.text.split())).replace("  ", " ")
    # MTAs make one % of two.
    text = words[:_MAX_REPLY_OCTETS].encode("ascii", "replace").replace(b"%", b"%%")
    return packet(b"y", text + b"\0")


def print_modification(modification: Modification, *, leading_space: bool) -> bytes:
    """Print a change to a message.

    Args:
        modification: The change.
        leading_space: Whether values have the white space behind the colon; if not, the MTA
            puts a blank there.
    """
    match modification:
        case InsertField(field):
            value = field.value.replace(b"\r\n", b"\n")
            if not leading_space:
                value = value.removeprefix(b" ")
            return _numbered(b"i", 0, (field.name, value))
        case DeleteField(name, index):
            return _numbered(b"m", index, (name, b""))
        case Quarantine(reason):
            return packet(b"q", reason.encode("ascii", "replace") + b"\0")
        case AddRecipient(address):
            return packet(b"+", address + b"\0")
        case DeleteRecipient(address):
            return packet(b"-", address + b"\0")


def _numbered(letter: bytes, number: int, texts: Sequence[bytes]) -> bytes:
    data = b"\0".join((*texts, b""))
    return _WITH_NUMBER.pack(len(data) + 5, letter[0], number) + data
