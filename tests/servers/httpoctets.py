"""HTTP/1.1 messages as octets: read whole from a stream, changed as little as can be.

Only what lies between one client and one server of these tests: no upgrade, no pipelining, no
``Expect``.
"""

from __future__ import annotations

import asyncio
import http
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Message", "reply", "take_message", "with_body"]

END = b"\r\n\r\n"
BODY_LIMIT = 64 << 20  # octets; what these servers take and give is a thousandth of it
BODYLESS = (204, 304)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request or a reply."""

    head: bytes
    """The first line and the fields, with the empty line."""
    raw_body: bytes
    """As it was sent, chunks and all."""
    fields: Mapping[bytes, bytes]
    """Lower-case name to value."""
    lasting: bool
    """Whether the connection can be used for another one."""

    @property
    def octets(self) -> bytes:
        """All of it."""
        return self.head + self.raw_body

    @property
    def first_line(self) -> str:
        """The request line or the status line."""
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    @property
    def path(self) -> str:
        """A request's path, with its query."""
        return self.first_line.split(" ")[1]

    @property
    def target(self) -> str:
        """What AWS calls the operation, such as ``TrentService.Sign``; empty for others."""
        return self.fields.get(b"x-amz-target", b"").decode("latin-1")

    @property
    def body(self) -> bytes:
        """The body without chunks."""
        if not _chunked(self.fields):
            return self.raw_body
        body, rest = b"", self.raw_body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size.split(b";")[0], 16)
            if length == 0:
                break
            body, rest = body + rest[:length], rest[length + 2 :]
        return body


async def take_message(
    reader: asyncio.StreamReader, *, answers: bytes | None = None
) -> Message | None:
    """Reads one message.

    Args:
        reader: Where from.
        answers: The method of the request whose reply it is; None when it is a request.

    Returns:
        None when the stream ends before it.

    Raises:
        asyncio.IncompleteReadError: The stream ends within it.
        ValueError: It is no HTTP, or too large.
    """
    try:
        head = await reader.readuntil(END)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    except asyncio.LimitOverrunError as error:
        raise ValueError("the head of a message is too large") from error
    lines = head[: -len(END)].split(b"\r\n")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    lasting = lines[0].find(b"HTTP/1.0") < 0 and fields.get(b"connection", b"").lower() != b"close"
    body = b""
    if _chunked(fields):
        body = await _take_chunks(reader)
    elif b"content-length" in fields:
        if answers != b"HEAD":
            body = await _take(reader, int(fields[b"content-length"]))
    elif answers is not None and answers != b"HEAD" and int(lines[0].split()[1]) not in BODYLESS:
        body, lasting = await reader.read(BODY_LIMIT), False
    return Message(head=head, raw_body=body, fields=fields, lasting=lasting)


def _chunked(fields: Mapping[bytes, bytes]) -> bool:
    return fields.get(b"transfer-encoding", b"").lower() == b"chunked"


async def _take(reader: asyncio.StreamReader, length: int) -> bytes:
    if not 0 <= length <= BODY_LIMIT:
        raise ValueError(f"a body of {length} octets is too large")
    return await reader.readexactly(length) if length else b""


async def _take_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        size = await reader.readuntil(b"\r\n")
        length = int(size.split(b";")[0], 16)
        parts += [size, await _take(reader, length + 2)]
        if length == 0:
            return b"".join(parts)


def reply(status: int, body: bytes, fields: Mapping[str, str] | None = None) -> bytes:
    """Makes a reply.

    Args:
        status: Such as 503.
        body: What is sent; its type is JSON unless `fields` says otherwise.
        fields: Header fields, such as ``{"Retry-After": "1"}``.
    """
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    fields = {"Content-Type": "application/json", **(fields or {})}
    fields["Content-Length"] = str(len(body))
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {fields[name]}" for name in fields)]
    return "\r\n".join(lines).encode("latin-1") + END + body


def with_body(message: Message, body: bytes) -> bytes:
    """Puts another body into a reply; all but its length stays."""
    gone = (b"content-length:", b"transfer-encoding:")
    lines = [
        line
        for line in message.head[: -len(END)].split(b"\r\n")
        if not line.lower().startswith(gone)
    ]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + END + body
