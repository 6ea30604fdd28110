"""What an MTA sends for a message: the octets, and the answers they get.

The order, the macros and what is sent together are Postfix's: its ``src/milter/milter8.c``
writes a macro packet before each command, collects what is not answered, and flushes when it
waits for an answer, or when smtpd hands the connection to cleanup.  `tests.servers.milterwire`
has the protocol's numbers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers.miltermessage import split_message
from tests.servers.milterwire import SILENT, FilterActions, Steps, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.milterwire import Negotiated

__all__ = ["CHUNK", "CONTINUE", "Flight", "greeting", "lock_step", "offer", "pipelined"]

CHUNK = 65535  # octets of body in one packet: Postfix's MILTER_CHUNK_SIZE
CONTINUE = b"\0\0\0\1c"
VERSION = 6
QUEUE_ID = b"4XyZ3k1Qzbz1"
SENDER, RECIPIENT = b"alice@example.com", b"bob@example.org"
_OFF = {
    b"C": Steps.NOCONNECT,
    b"H": Steps.NOHELO,
    b"M": Steps.NOMAIL,
    b"R": Steps.NORCPT,
    b"T": Steps.NODATA,
    b"L": Steps.NOHDRS,
    b"N": Steps.NOEOH,
    b"B": Steps.NOBODY,
}
_SYMBOLS = {b"C": 0, b"H": 1, b"M": 2, b"R": 3, b"T": 4, b"E": 5, b"B": 5, b"N": 6, b"L": 6}
# Postfix's defaults (milter_connect_macros and so on), less those that plain SMTP leaves empty.
_DEFAULT = {
    b"C": ("j", "{daemon_name}", "v"),
    b"H": (),
    b"M": ("{mail_addr}", "{mail_host}", "{mail_mailer}"),
    b"R": ("i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"),
}
_VALUES = {
    "j": b"mx.example.net",
    "{daemon_name}": b"mx.example.net",
    "v": b"Postfix 3.7.11",
    "i": QUEUE_ID,
    "{mail_addr}": SENDER,
    "{mail_host}": b"example.com",
    "{mail_mailer}": b"smtp",
    "{rcpt_addr}": RECIPIENT,
    "{rcpt_host}": b"example.org",
    "{rcpt_mailer}": b"smtp",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What is sent at once.

    Attributes:
        octets: One or more packets.
        expected: The answers they get before the decision.
        decides: Whether the message's decision is among the answers.
        body: Whether a SKIP is an answer to it.
    """

    octets: bytes
    expected: bytes
    decides: bool = False
    body: bool = False


def offer() -> bytes:
    """The first packet: all that Postfix can do."""
    return pack(b"O", struct.pack(">III", VERSION, FilterActions.ALL, Steps.ALL))


def greeting(agreed: Negotiated, client: str) -> Flight:
    """Tells who connected.

    Args:
        agreed: What the filter answered to the offer.
        client: The IPv4 address of the SMTP client.

    """
    commands = [
        (b"C", b"client.example.com\0" + b"4" + struct.pack(">H", 40404) + client.encode() + b"\0"),
        (b"H", b"client.example.com\0"),
    ]
    return Flight(
        octets=b"".join(_octets(agreed, command, data) for command, data in commands),
        expected=CONTINUE * sum(_answered(agreed, command) for command, _ in commands),
    )


def lock_step(agreed: Negotiated, message: bytes) -> tuple[Flight, ...]:
    """Cuts a message as Postfix does: each answer is waited for.

    Args:
        agreed: What the filter answered to the offer.
        message: With CRLF.
    """
    flights: list[Flight] = []
    # The message before is over for smtpd, too: what it writes goes out with its next command.
    waiting = pack(b"A")
    for command, data in _message(agreed, message):
        waiting += _octets(agreed, command, data)
        answered = _answered(agreed, command)
        # smtpd flushes what it has when cleanup takes the connection over (milter8_send), also
        # when no answer comes: on TCP that is one of the 40 ms traps.
        if answered or command == b"T":
            flights.append(
                Flight(
                    octets=waiting,
                    expected=CONTINUE if answered and command != b"E" else b"",
                    decides=command == b"E",
                    body=command == b"B",
                )
            )
            waiting = b""
    return tuple(flights)


def pipelined(agreed: Negotiated, message: bytes) -> tuple[Flight, ...]:
    """The whole message at once: what a filter can do when nobody keeps it waiting.

    Args:
        agreed: What the filter answered to the offer.
        message: With CRLF.
    """
    parts = lock_step(agreed, message)
    octets = b"".join(part.octets for part in parts)
    expected = b"".join(part.expected for part in parts)
    return (Flight(octets=octets, expected=expected, decides=True, body=True),)


def _message(agreed: Negotiated, message: bytes) -> Iterator[tuple[bytes, bytes]]:
    yield b"M", b"<%s>\0SIZE=%d\0" % (SENDER, len(message))
    yield b"R", b"<%s>\0" % RECIPIENT
    yield b"T", b""
    fields, _, body = split_message(message)
    for field in fields:
        name, _, value = field.partition(b":")
        value = value.replace(b"\r\n", b"\n")
        if not agreed.steps & Steps.HDR_LEADSPC:
            value = value.removeprefix(b" ")
        yield b"L", name + b"\0" + value + b"\0"
    yield b"N", b""
    for start in range(0, len(body), CHUNK):
        yield b"B", body[start : start + CHUNK]
    yield b"E", b""


def _octets(agreed: Negotiated, command: bytes, data: bytes) -> bytes:
    """A command with its macros: those of smtpd's commands also go without their command."""
    if _sent(agreed, command):
        return _macros(agreed, command) + pack(command, data)
    return _macros(agreed, command) if command in b"CHMRT" else b""


def _sent(agreed: Negotiated, command: bytes) -> bool:
    if command == b"T" and agreed.version < 4:
        return False
    return not agreed.steps & _OFF.get(command, 0)


def _answered(agreed: Negotiated, command: bytes) -> bool:
    return _sent(agreed, command) and not agreed.steps & SILENT.get(command, 0)


def _macros(agreed: Negotiated, command: bytes) -> bytes:
    asked = dict(agreed.symbols).get(_SYMBOLS[command])
    names = _DEFAULT.get(command, ("i",))
    if asked is not None:
        names = tuple(n if len(n) == 1 else f"{{{n.strip('{}')}}}" for n in asked.split())
    pairs = (name.encode() + b"\0" + _VALUES[name] + b"\0" for name in names if name in _VALUES)
    return pack(b"D", command + b"".join(pairs))
