"""The messages of a soak: usual ones, hostile ones, ones that are never finished.

Each `Letter` is all octets that an MTA sends for a message, pipelined, with how many answers they
get and what the last one must be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dkimcore
from benchmarks import messages
from tests.milter.sessions import compose, parse
from tests.servers.milterwire import Negotiated, Steps, pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dkimcore.keys import SigningKey

__all__ = ["ABORT", "DROP", "MISSING", "NOW", "SELECTORS", "Letter", "letters"]

NOW = 1_700_000_000
SELECTORS = 400
"""How many keys are asked for; the cache has room for ten times as many."""

MISSING = 200
"""How many names are asked for that have no key."""

ABORT, DROP = "abort", "drop"
_ACCEPT = frozenset({b"a"})
_DEFERRED = frozenset({b"t", b"y"})
_MUTE = {b"M": Steps.NR_MAIL, b"R": Steps.NR_RCPT, b"L": Steps.NR_HDR}
_OFF = {b"T": Steps.NODATA}
_INSIDE, _OUTSIDE = True, False

Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message.

    Attributes:
        kind: What it is, for tables.
        inside: Whether a client of the site sends it, so that it is signed.
        share: How often it comes, in thousandths, all letters of its kind together.
        octets: What is sent.
        answers: How many answers come, modifications not counted.
        verdicts: Which letters the last of them may have.
        witness: What must be among the modifications.
        end: How it ends without a verdict: the MTA gives up, or its connection breaks; "" if
            it is finished.
    """

    kind: str
    inside: bool
    share: float
    octets: bytes
    answers: int
    verdicts: frozenset[bytes] = _ACCEPT
    witness: bytes = b""
    end: str = ""


def letters(agreed: Negotiated, key: SigningKey) -> list[Letter]:
    """Makes all letters.

    Args:
        agreed: What the filter answered to the offer of everything.
        key: Signs what is verified; its record is published under each selector.
    """
    made = [*_usual(agreed, key), *_odd(agreed), *_unfinished(agreed)]
    counts = {kind: sum(one.kind == kind for one in made) for kind in {one.kind for one in made}}
    return [replace(one, share=one.share / counts[one.kind]) for one in made]


def _usual(agreed: Negotiated, key: SigningKey) -> Iterator[Letter]:
    for kind, octets, share in (("sign 2 kB", 2048, 250), ("sign 20 kB", 20_480, 100)):
        text = messages.message("html" if octets > 10_000 else "text", octets)
        yield _letter(agreed, kind, text, inside=_INSIDE, share=share, witness=b"DKIM-Signature")
    text = messages.message("text", 1_000_000)
    yield _letter(agreed, "sign 1 MB", text, inside=_INSIDE, share=2, witness=b"DKIM-Signature")
    for kind, text in (("empty body", b""), ("binary body", bytes(range(256)) * 20)):
        text = compose(_plain(), text)
        yield _letter(agreed, kind, text, inside=_INSIDE, share=30, witness=b"DKIM-Signature")
    plain = messages.message("text", 2048)
    for number in range(SELECTORS):
        signed = _signed(plain, key, f"k{number}")
        yield _letter(agreed, "pass", signed, share=250, witness=b"dkim=pass")
        if number < MISSING:
            changed = signed + b"more\r\n"
            yield _letter(agreed, "fail", changed, share=80, witness=b"dkim=fail")
            unknown = _signed(plain, key, f"missing{number}")
            yield _letter(agreed, "no key", unknown, share=60, witness=b"key not found")
    several = plain
    for number in range(7):
        several = _signed(several, key, f"k{number}")
    yield _letter(agreed, "7 signatures", several, share=20, witness=b"dkim=pass")
    yield _letter(agreed, "unsigned", plain, share=60)
    large = _signed(messages.message("text", 1_000_000), key, "k0")
    yield _letter(agreed, "verify 1 MB", large, share=2, witness=b"dkim=pass")


def _odd(agreed: Negotiated) -> Iterator[Letter]:
    fields = _plain()
    no_from = [field for field in fields if field[0] != b"From"]
    odd_names = [(b"X Y", b" z"), (b"", b" x"), (b"\xff\xfe", b" \x80\x00".rstrip(b"\0"))]
    forged = (b"Authentication-Results", b" mx.example.net; dkim=pass header.d=bank.example")
    inside: list[tuple[str, list[Field], frozenset[bytes]]] = [
        ("no From", no_from, _ACCEPT),
        ("bare CR", [*fields, (b"X-Bare", b" a\rb")], _ACCEPT | _DEFERRED | {b"r"}),
        ("odd names", [*odd_names, *fields], _ACCEPT | _DEFERRED | {b"r"}),
    ]
    for kind, these, verdicts in inside:
        yield _made(agreed, kind, these, inside=_INSIDE, share=15, verdicts=verdicts)
        yield _made(agreed, f"{kind}, outside", these, share=15)
    forgery = [forged] * 5 + fields
    yield _made(agreed, "forged results", forgery, share=20, witness=b"Authentication-Results\0")
    huge = [*fields, *[(b"X-Padding", b" " + b"x" * 900)] * 300]
    yield _made(agreed, "huge header", huge, share=3, verdicts=_DEFERRED)
    many = [*fields, *[(b"X-Padding", b" x")] * 1200]
    yield _made(agreed, "1200 fields", many, share=3, verdicts=_DEFERRED)
    junk = [(b"DKIM-Signature", b" v=1; a=rsa-sha256; b=====;;; \xff" + b"x=" * 500), *fields]
    yield _made(agreed, "junk signature", junk, share=20, witness=b"dkim=")


def _unfinished(agreed: Negotiated) -> Iterator[Letter]:
    whole = _letter(agreed, "", messages.message("text", 20_480))
    cut = _packets(agreed, _plain(), b"x" * 5000)
    for inside in (_INSIDE, _OUTSIDE):
        octets = b"".join(packet for packet, _ in cut[:-1]) + pack(b"A")
        answers = sum(answered for _, answered in cut[:-1])
        side = "" if inside else ", outside"
        given_up = replace(whole, inside=inside, share=10, octets=octets, answers=answers)
        yield replace(given_up, kind=f"aborted{side}", end=ABORT)
        broken = replace(whole, inside=inside, share=5, answers=0, end=DROP)
        for part in (0.02, 0.1, 0.9):
            octets = whole.octets[: int(part * len(whole.octets))]
            yield replace(broken, kind=f"connection lost{side}", octets=octets)


def _plain() -> list[Field]:
    return parse(messages.message("text", 2048))[0]


def _signed(message: bytes, key: SigningKey, selector: str) -> bytes:
    signer = dkimcore.Signer.make("example.org", selector, key)
    return dkimcore.sign(message, [signer], now=NOW).octets + message


def _letter(
    agreed: Negotiated,
    kind: str,
    message: bytes,
    *,
    inside: bool = _OUTSIDE,
    share: float = 0,
    witness: bytes = b"",
) -> Letter:
    fields, body = parse(message)
    return _made(agreed, kind, fields, body, inside=inside, share=share, witness=witness)


def _made(
    agreed: Negotiated,
    kind: str,
    fields: Sequence[Field],
    body: bytes = b"Are you hungry?\r\n",
    *,
    inside: bool = _OUTSIDE,
    share: float = 0,
    verdicts: frozenset[bytes] = _ACCEPT,
    witness: bytes = b"",
) -> Letter:
    packets = _packets(agreed, fields, body)
    return Letter(
        kind=kind,
        inside=inside,
        share=share,
        octets=b"".join(packet for packet, _ in packets),
        answers=sum(answered for _, answered in packets),
        verdicts=verdicts,
        witness=witness,
    )


def _packets(agreed: Negotiated, fields: Iterable[Field], body: bytes) -> list[tuple[bytes, bool]]:
    """The packets of a message, and whether each is answered."""
    job = b"i\x004XyZ3k1Qzbz1\0"
    commands = [(b"D", b"M" + job), (b"M", b"<alice@example.com>\0SIZE=200\0")]
    commands += [(b"R", b"<bob@example.net>\0"), (b"T", b"")]
    commands += [
        (b"L", name + b"\0" + value.replace(b"\r\n", b"\n") + b"\0") for name, value in fields
    ]
    commands += [(b"D", b"N" + job), (b"N", b"")]
    commands += [(b"B", body[at : at + 65_535]) for at in range(0, len(body), 65_535)]
    commands += [(b"D", b"E" + job), (b"E", b"")]
    return [
        (pack(command, data), command != b"D" and not agreed.steps & _MUTE.get(command, 0))
        for command, data in commands
        if not agreed.steps & _OFF.get(command, 0)
    ]
