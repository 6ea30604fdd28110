"""What mail software is known to do to bodies, and how it is undone.

Each function takes a body as it arrived and returns how it may have been before.  Whether
that is so, the body hash decides.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.protocol.message import to_crlf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore.protocol.message import Header

__all__ = ["Undoing", "undoings"]

# The look behind and the possessive quantifiers keep every pattern linear on any input.
_TRAILING_WSP = re.compile(rb"(?<![ \t])[ \t]++(?=\r\n|\Z)")
_DOTS = re.compile(rb"(?m)^\.(?=\.)")
_DOT = re.compile(rb"(?m)^\.")
_ESCAPED_FROM = re.compile(rb"(?m)^>(?=>*From )")
_FROM = re.compile(rb"(?m)^(?=>*From )")
_PLAIN_FROM = re.compile(rb"(?m)^(?=From )")
# Sendmail breaks a line with "!", Postfix (smtp_line_length_limit) and others with CRLF SP.
_SENDMAIL_BREAK = re.compile(rb"!\r\n ")
_LONG_LINE = re.compile(rb"(?m)^([^\r\n]{900,998})\r\n ")
_BOUNDARY = re.compile(rb'(?i)boundary[ \t]*=[ \t]*(?:"([^"\r\n]{1,100})"|([^\s";]{1,100}))')
_ENCODING = re.compile(rb"(?im)^(content-transfer-encoding:[ \t]*)(quoted-printable|base64)")
_AUTOCONVERTED = re.compile(rb"(?im)^x-mime-autoconverted:[^\r\n]*\r\n")

_MOST_BOUNDARIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """One change to a body, undone.

    Attributes:
        code: What `Finding.code` says.
        text: What happened, as a sentence.
        cure: What to do about it.
        body: The body without the change.
    """

    code: str
    text: str
    cure: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    code: str
    text: str
    cure: str
    undo: Callable[[bytes], bytes]


def _repeat(pattern: re.Pattern[bytes], replacement: bytes) -> Callable[[bytes], bytes]:
    return lambda body: pattern.sub(replacement, body)


_CONVERTER = "Switch the conversion off where it happens, or verify before it."
_MBOX = "Verify mail as it was received, or store it in a Maildir, which changes nothing."
_DOTS_CURE = "Look for SMTP software that does not undo dot-stuffing (RFC 5321 section 4.5.2)."

_CHANGES = (
    _Change(
        code="line-ends",
        text="Lines of the body do not end in CRLF here, and did when it was signed.",
        cure=_CONVERTER,
        undo=to_crlf,
    ),
    _Change(
        code="trailing-white-space",
        text="Spaces or tabs were added at the end of lines.",
        cure="Signers that use relaxed body canonicalization are not troubled by this.",
        undo=_repeat(_TRAILING_WSP, b""),
    ),
    _Change(
        code="from-escaped",
        text="Lines that begin with 'From ' got a '>' in front, as mbox files have it.",
        cure=_MBOX,
        undo=_repeat(_ESCAPED_FROM, b""),
    ),
    _Change(
        code="from-unescaped",
        text="Lines that begin with '>From ' lost their '>'.",
        cure=_MBOX,
        undo=_repeat(_PLAIN_FROM, b">"),
    ),
    _Change(
        code="from-unescaped",
        text="Lines that begin with 'From ', with '>' in front or without, lost a '>'.",
        cure=_MBOX,
        undo=_repeat(_FROM, b">"),
    ),
    _Change(
        code="dot-stuffing",
        text="Lines that begin with a dot have two of them: the dot-stuffing of SMTP is left in.",
        cure=_DOTS_CURE,
        undo=_repeat(_DOTS, b""),
    ),
    _Change(
        code="dot-stuffing",
        text="It was signed with the dot-stuffing of SMTP in it, which is not part of a message.",
        cure=_DOTS_CURE,
        undo=_repeat(_DOT, b".."),
    ),
    _Change(
        code="long-lines-broken",
        text="Long lines were broken with '!' and a new line, as sendmail does.",
        cure="Let the sender encode long lines as quoted-printable or base64 before it signs.",
        undo=_repeat(_SENDMAIL_BREAK, b""),
    ),
    _Change(
        code="long-lines-broken",
        text="Lines of over 900 octets were broken.",
        cure="Let the sender encode long lines as quoted-printable or base64 before it signs.",
        undo=_repeat(_LONG_LINE, rb"\1"),
    ),
)


def undoings(body: bytes, header: Header) -> Iterator[Undoing]:
    """Undo, one at a time, each change that the body shows traces of.

    Args:
        body: The body as it arrived.
        header: The message's header, which names encodings and boundaries.
    """
    for change in _CHANGES:
        before = change.undo(body)
        if before != body:
            yield Undoing(code=change.code, text=change.text, cure=change.cure, body=before)
    for before in _decoded(body, header):
        if before != body:
            yield Undoing(
                code="re-encoded",
                text="The body was signed with 8-bit octets and then encoded as "
                "quoted-printable or base64 on the way.",
                cure="Let the signer convert 8-bit mail before it signs (RFC 6376 section 5.3).",
                body=before,
            )


def _decoded(body: bytes, header: Header) -> Iterator[bytes]:
    """Decode the body, or every text part of it, from its content-transfer-encoding."""
    for position in header.positions(b"content-transfer-encoding")[-1:]:
        found = header[position].value.strip(b" \t\r\n").lower()
        decoded = _decode(body, found)
        if decoded is not None:
            yield decoded
    boundaries = _boundaries(header, body)
    if boundaries:
        delimiter = re.compile(
            rb"(?m)^--(?:" + b"|".join(map(re.escape, boundaries)) + rb")(?:--)?[ \t]*\r\n"
        )
        yield _decode_parts(body, delimiter)


def _decode(octets: bytes, encoding: bytes) -> bytes | None:
    try:
        if encoding == b"quoted-printable":
            return binascii.a2b_qp(octets)
        if encoding == b"base64":
            return binascii.a2b_base64(octets)
    except (binascii.Error, ValueError):
        return None
    return None


def _boundaries(header: Header, body: bytes) -> list[bytes]:
    found: dict[bytes, None] = {}
    values = [header[position].value for position in header.positions(b"content-type")]
    if not any(b"multipart" in value.lower() for value in values):
        return []
    for octets in (*values, body[:262_144]):
        for match in _BOUNDARY.finditer(octets):
            found[match[1] or match[2]] = None
            if len(found) >= _MOST_BOUNDARIES:
                return list(found)
    return list(found)


def _decode_parts(body: bytes, delimiter: re.Pattern[bytes]) -> bytes:
    pieces: list[bytes] = []
    end = 0
    delimiters = [match.span() for match in delimiter.finditer(body)]
    following = [start for start, _ in delimiters[1:]] + [len(body)]
    for (_, behind), start in zip(delimiters, following, strict=False):
        pieces.append(body[end:behind])
        end = start
        pieces.append(_decode_part(body[behind:end]))
    pieces.append(body[end:])
    return b"".join(pieces)


def _decode_part(part: bytes) -> bytes:
    head, empty, content = part.partition(b"\r\n\r\n")
    match = _ENCODING.search(head)
    if not empty or match is None:
        return part
    decoded = _decode(content, match[2].lower())
    if decoded is None:
        return part
    head = _ENCODING.sub(rb"\g<1>8bit", head + b"\r\n")
    return _AUTOCONVERTED.sub(b"", head) + b"\r\n" + decoded
