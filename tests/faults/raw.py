"""The milter protocol without manners: any octets, sent as fast as they are taken.

`tests.servers.milterclient` keeps to the protocol; this does not.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from typing import TYPE_CHECKING

from tests.servers.milterclient import open_socket
from tests.servers.milterwire import FilterActions, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ENVELOPE", "GREETING", "NEGOTIATION", "converse_raw", "field", "letter", "packets"]

PATIENCE = 20.0  # seconds until a connection must have come to its end

NEGOTIATION = pack(b"O", struct.pack(">III", 6, FilterActions.ALL, 0))
"""Offers no step to leave out, so that each packet has its answer."""

GREETING = (
    pack(b"D", b"Cj\0mx.example.net\0")
    + pack(b"C", b"localhost\0" + b"4" + struct.pack(">H", 25) + b"127.0.0.1\0")
    + pack(b"H", b"localhost\0")
)
ENVELOPE = (
    pack(b"D", b"Mi\0Q1\0") + pack(b"M", b"<a@example.com>\0") + pack(b"R", b"<b@example.net>\0")
)


def field(name: bytes, value: bytes) -> bytes:
    """A header field's packet."""
    return pack(b"L", name + b"\0" + value + b"\0")


def letter(*fields: bytes, body: bytes = b"hello\r\n") -> bytes:
    """The packets of a message from us, behind the greeting.

    Args:
        *fields: More packets, behind those of the header.
        body: The body.
    """
    header = field(b"From", b"a@example.com") + field(b"Subject", b"hi") + b"".join(fields)
    return ENVELOPE + pack(b"T") + header + pack(b"N") + pack(b"B", body) + pack(b"E")


def packets(answers: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Takes answers apart.

    Returns:
        Letter and content of each packet, and what is left over: a half packet.
    """
    found = []
    while len(answers) >= 5:
        (length,) = struct.unpack_from(">I", answers)
        if len(answers) < 4 + length:
            break
        found.append((answers[4:5], answers[5 : 4 + length]))
        answers = answers[4 + length :]
    return found, answers


def converse_raw(
    address: str,
    octets: bytes | Sequence[bytes],
    *,
    meanwhile: Callable[[bytes], object] = lambda answers: None,
) -> bytes:
    """Sends octets while answers are read, says that there are no more, and reads to the end.

    Args:
        address: The filter's.
        octets: What to send; several are sent one by one, each in a packet of its own.
        meanwhile: Called with the answers so far, whenever there are new ones.

    Returns:
        All answers.

    Raises:
        AssertionError: The filter does not end the connection.
    """
    waiting = [octets] if isinstance(octets, bytes) else list(octets)
    waiting.reverse()
    answers = bytearray()
    end = time.monotonic() + PATIENCE
    with open_socket(address) as connection, selectors.DefaultSelector() as selector:
        connection.settimeout(0)
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while True:
            left = end - time.monotonic()
            assert left > 0, "the filter keeps the connection"
            events = dict.fromkeys(event for _, event in selector.select(left))
            try:
                if any(event & selectors.EVENT_READ for event in events):
                    if not (part := connection.recv(1 << 16)):
                        return bytes(answers)
                    answers += part
                    meanwhile(bytes(answers))
                if any(event & selectors.EVENT_WRITE for event in events):
                    _send_next(connection, waiting)
            except (ConnectionError, BlockingIOError):
                with contextlib.suppress(OSError):  # what came before the end
                    while part := connection.recv(1 << 16):
                        answers += part
                return bytes(answers)
            if not waiting:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                selector.modify(connection, selectors.EVENT_READ)


def _send_next(connection: socket.socket, waiting: list[bytes]) -> None:
    if not waiting:
        return
    part = waiting.pop()
    sent = connection.send(part[: 1 << 18])
    if sent < len(part):
        waiting.append(part[sent:])
