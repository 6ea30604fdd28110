"""What can go wrong between a client and a server, one class each: what `FaultProxy` injects.

Each can be sent to another process, but for a `Rewrite` with a function that cannot.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from tests.servers.httpoctets import Message, reply, with_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Answer",
    "Close",
    "Cut",
    "Drip",
    "Exchange",
    "Fault",
    "Hang",
    "Huge",
    "Raw",
    "Reset",
    "Rewrite",
    "Slow",
    "aws_error",
    "garbage",
    "other_key",
    "vault_error",
    "wrong_signature",
]

GARBAGE = b"\x00\xff<html>\xc3\x28 no JSON at all {{{"
PIECE = b"a" * 65536


class Exchange(Protocol):
    """One request that wants an answer."""

    request: Message
    writer: asyncio.StreamWriter

    async def ask(self) -> Message:
        """Asks the real server."""

    async def until_gone(self) -> None:
        """Waits until the client has closed its connection."""


class Fault(Protocol):
    """Something that goes wrong."""

    async def play(self, exchange: Exchange) -> bool:
        """Answers a request, or does not.

        Returns:
            Whether the connection can be used again.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of our own; the server is not asked."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def play(self, exchange: Exchange) -> bool:
        """Sends it."""
        exchange.writer.write(reply(self.status, self.body, self.headers))
        await exchange.writer.drain()
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Octets that need not be HTTP, and then the end of the connection."""

    octets: bytes

    async def play(self, exchange: Exchange) -> bool:
        """Sends them."""
        exchange.writer.write(self.octets)
        await exchange.writer.drain()
        return False


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, ever."""

    async def play(self, exchange: Exchange) -> bool:
        """Waits until the client has enough."""
        await exchange.until_gone()
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """The server's answer, one octet at a time: no single read of the client's takes long."""

    interval: float = 1.0

    async def play(self, exchange: Exchange) -> bool:
        """Sends it."""
        answer = await exchange.ask()
        for position in range(len(answer.octets)):
            exchange.writer.write(answer.octets[position : position + 1])
            await exchange.writer.drain()
            await asyncio.sleep(self.interval)
        return answer.lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """The server's answer, after a while."""

    seconds: float

    async def play(self, exchange: Exchange) -> bool:
        """Waits and sends it."""
        await asyncio.sleep(self.seconds)
        answer = await exchange.ask()
        exchange.writer.write(answer.octets)
        await exchange.writer.drain()
        return answer.lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The connection is reset (RST).

    Args:
        asked: Whether the server did what it was asked to, and only the answer is lost.
    """

    asked: bool = False

    async def play(self, exchange: Exchange) -> bool:
        """Resets it."""
        if self.asked:
            await exchange.ask()
        connection: socket.socket = exchange.writer.get_extra_info("socket")
        # Closing with a linger time of 0 sends RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()
        return False


@dataclass(frozen=True, slots=True)
class Close:
    """The connection is closed without an answer."""

    async def play(self, exchange: Exchange) -> bool:
        """Closes it."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The beginning of the server's answer, and then the end of the connection.

    Args:
        octets: How many of them; from the end when negative.
    """

    octets: int = -10

    async def play(self, exchange: Exchange) -> bool:
        """Sends what is left."""
        answer = await exchange.ask()
        exchange.writer.write(answer.octets[: self.octets])
        await exchange.writer.drain()
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Huge:
    """An answer of many octets, which a client must not read to its end.

    Args:
        size: How many.
        announced: Whether Content-Length says so; otherwise the end of the connection ends it.
        start: What the body begins with.
    """

    size: int = 1 << 30
    announced: bool = True
    start: bytes = b'{"data": {"signature": "'

    async def play(self, exchange: Exchange) -> bool:
        """Sends them until the client closes its connection."""
        length = b"Content-Length: %d\r\n" % self.size if self.announced else b""
        writer = exchange.writer
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + length + b"\r\n")
        writer.write(self.start)
        left = self.size - len(self.start)
        while left > 0:
            writer.write(PIECE[:left])
            left -= len(PIECE)
            await writer.drain()
        return False


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The server's answer with another body.

    Args:
        function: From the server's body to the one that is sent.
        with_request: The same, when it must know the request's body too: it comes first.
    """

    function: Callable[[bytes], bytes] | None = None
    with_request: Callable[[bytes, bytes], bytes] | None = None

    async def play(self, exchange: Exchange) -> bool:
        """Sends it."""
        answer = await exchange.ask()
        body = answer.body
        if self.function is not None:
            body = self.function(body)
        if self.with_request is not None:
            body = self.with_request(exchange.request.body, body)
        exchange.writer.write(with_body(answer, body))
        await exchange.writer.drain()
        return answer.lasting


def aws_error(
    kind: str, *, status: int = 400, message: str = "injected", headers: Mapping[str, str] = {}
) -> Answer:
    """An error as KMS words it.

    Args:
        kind: Such as ``ThrottlingException``, ``KMSInternalException``, ``NotFoundException``.
        status: 400 for most; 500 for KMSInternalException and DependencyTimeoutException.
        message: Its text.
        headers: More header fields.
    """
    body = json.dumps({"__type": kind, "message": message}).encode()
    return Answer(
        status=status,
        body=body,
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "x-amzn-RequestId": "00000000-0000-4000-8000-0000000000fa",
            **headers,
        },
    )


def vault_error(status: int, *errors: str, headers: Mapping[str, str] = {}) -> Answer:
    """An error as Vault and OpenBao word it, with these texts."""
    return Answer(status=status, body=json.dumps({"errors": errors}).encode(), headers=headers)


def garbage() -> Answer:
    """A good status with a body that is no JSON."""
    return Answer(status=200, body=GARBAGE)


def wrong_signature() -> Rewrite:
    """Every signature of an answer, of Transit's or KMS's, is changed in one bit."""
    return Rewrite(_flip_signatures)


def other_key(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> Rewrite:
    """Every signature of an answer is made by another key, and is good but for that."""

    def sign(request: bytes, answer: bytes) -> bytes:
        asked = json.loads(request)
        inputs = [
            base64.b64decode(item) for item in _found(asked, ("Message", "hash_input", "input"))
        ]
        signatures = iter([_sign(key, digest) for digest in inputs])
        return _change(answer, lambda _: next(signatures))

    return Rewrite(with_request=sign)


def _sign(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, digest: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(digest)
    return key.sign(digest, padding.PKCS1v15(), Prehashed(SHA256()))


def _flip_signatures(answer: bytes) -> bytes:
    def flip(signature: bytes) -> bytes:
        middle = len(signature) // 2
        return signature[:middle] + bytes([signature[middle] ^ 1]) + signature[middle + 1 :]

    return _change(answer, flip)


def _change(answer: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Changes each signature of a JSON text; "vault:v1:" before it stays."""

    def changed(name: str, value: Any) -> Any:
        if name in ("signature", "Signature") and isinstance(value, str):
            start, colon, text = value.rpartition(":")
            return start + colon + base64.b64encode(change(base64.b64decode(text))).decode()
        if isinstance(value, dict):
            return {key: changed(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [changed(name, item) for item in value]
        return value

    return json.dumps(changed("", json.loads(answer))).encode()


def _found(value: Any, names: tuple[str, ...]) -> list[str]:
    """All texts under these names, in their order."""
    if isinstance(value, list):
        return [text for item in value for text in _found(item, names)]
    if not isinstance(value, dict):
        return []
    texts = []
    for key, item in value.items():
        texts += [item] if key in names and isinstance(item, str) else _found(item, names)
    return texts
