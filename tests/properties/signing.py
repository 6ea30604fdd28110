"""Honest messages, ways to sign them, and single changes made to them afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.policy import SigningProfile
from tests.properties import hostile
from tests.properties.invariants import SignedMessage
from tests.protocol import material

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.properties.choices import Choices
    from tests.protocol.material import PrivateKey

__all__ = ["Order", "change", "honest_message", "order", "sign"]

FIELDS = ("from", "to", "subject", "date", "x-b", "list-id")
DOMAINS = ("example.com", "EXAMPLE.com", "b\u00fccher.example", "a." * 20 + "example.com")
SELECTORS = ("s1", "2026.mail", "DKIM_s1", "\u00fc1")
LOCAL_PARTS = (b"", b"alice", b"a b;c=d@e", "\u00fc".encode(), b"\x00\xff", b'"x@y"', b"|")
ENDS = (b"\r\n", b"\r\n\r\n", b" \r\n", b"\t\r\n", b" ", b"", b"\r\n \r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who signs, and how."""

    key: PrivateKey
    profile: SigningProfile
    domain: DomainName
    selector: Selector
    auid: Auid | None


def order(choices: Choices) -> Order:
    """A key and a profile; every algorithm, canonicalization and field selection."""
    key = material.ed25519() if choices.integer(0, 7) else material.rsa(1024)
    fields = tuple(name for name in FIELDS[1:] if choices.integer(0, 1))
    oversigned = tuple(name for name in FIELDS if choices.integer(0, 3) == 3)
    profile = SigningProfile(
        header_canonicalization=choices.one_of(tuple(Canonicalization)),
        body_canonicalization=choices.one_of(tuple(Canonicalization)),
        fields=("from", *fields),
        oversigned_fields=oversigned,
        lifetime=choices.one_of((None, 1, 10**9)),
        body_length=choices.integer(0, 3) == 3,
        copied_fields=choices.integer(0, 3) == 3,
    )
    domain = choices.one_of(DOMAINS)
    auid = None
    if choices.integer(0, 3) == 3:
        within = choices.one_of((domain, domain.upper(), "mail." + domain))
        auid = Auid(choices.one_of(LOCAL_PARTS), DomainName.parse(within))
    return Order(
        key=key,
        profile=profile,
        domain=DomainName.parse(domain),
        selector=Selector.parse(choices.one_of(SELECTORS)),
        auid=auid,
    )


def _clean(octets: bytes) -> bytes:
    """Without CR and LF, which a signer refuses unless they stand together."""
    return octets.translate(None, b"\r\n")


def _value(choices: Choices) -> bytes:
    words = [_clean(hostile.text(choices, 3)) for _ in range(choices.integer(0, 3))]
    return choices.one_of((b"\r\n ", b" ", b"\r\n\t \r\n ", b"  ")).join(words)


def honest_message(choices: Choices) -> bytes:
    """A message with one From field and no bare CR or LF."""
    names = (b"To", b"Subject", b"DATE ", b"X-B", b"list-id\t", b"Received", b"to")
    fields = [
        choices.one_of(names) + choices.one_of((b": ", b":", b":\t ")) + _value(choices)
        for _ in range(choices.integer(0, 5))
    ]
    sender = choices.one_of((b"From: a@example.com", b"FROM:a@example.com", b"from :\r\n a@b.c"))
    fields.insert(choices.integer(0, len(fields)), sender)
    lines = [_clean(hostile.text(choices, 3)) for _ in range(choices.integer(0, 4))]
    body = b"\r\n".join(lines) + choices.one_of(ENDS) * choices.integer(0, 2)
    if choices.integer(0, 15) == 15:
        return b"\r\n".join(fields) + choices.one_of((b"", b"\r\n"))
    return b"\r\n".join(fields) + b"\r\n\r\n" + body


def sign(message: bytes, wanted: Order) -> SignedMessage:
    """Sign, and see that it passes.

    Raises:
        MessageError: The message cannot be signed honestly.
    """
    return SignedMessage(
        message,
        wanted.key,
        domain=wanted.domain,
        selector=wanted.selector,
        profile=wanted.profile,
        auid=wanted.auid,
    )


INSERTED = (
    b" ",
    b"\t",
    b"\r\n",
    b"\r\n ",
    b"x",
    b"\x00",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"\r\nTo: eve@example.net",
    b"From: eve@example.net\r\n",
    b":",
    b";",
    b"=",
    b"\xa0",
    b"\x0b",
)


def change(choices: Choices) -> Callable[[bytes], bytes]:
    """One change: an octet flipped or deleted, octets inserted, doubled or cut off."""
    kind, where = choices.integer(0, 4), choices.integer(0, 65_535)
    bit, inserted = choices.integer(0, 7), choices.one_of(INSERTED)

    def make(message: bytes) -> bytes:
        place = where % len(message)
        before, octet, after = message[:place], message[place], message[place + 1 :]
        if kind == 0:
            return before + bytes([octet ^ 1 << bit]) + after
        if kind == 1:
            return before + after
        if kind == 2:
            return before + inserted + message[place:]
        return before + bytes([octet, octet]) + after if kind == 3 else before

    return make
