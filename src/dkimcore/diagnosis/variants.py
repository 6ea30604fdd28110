"""How a header field may have looked before mail software changed it.

Gives a bounded number of variants per field, each with what happened to it.  Whether one
is right, the signature decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.protocol.message import Header, HeaderField

__all__ = ["Variant", "respellings", "variants"]


class Variant(NamedTuple):
    """A field as it may have been.

    Attributes:
        raw: The field.
        change: What was done to it, as the end of a sentence that begins with its name.
    """

    raw: bytes
    change: str


# Larger fields are left as they are: what is done below is done to each of them.
_MAX_FIELD = 65_536

# What lists and gateways put in front of a Subject: [list], [EXTERNAL], ***SPAM***, EXT:, {Spam?}
_TAG = re.compile(
    rb"[ \t\r\n]*(?:\[[^][\r\n]{1,80}\]|\{[^{}\r\n]{1,40}\}|\*{2,5}[^*\r\n]{1,40}\*{2,5}"
    rb"|(?i:ext(?:ernal)?|spam|caution|warning)[ \t]{0,2}[:|-])[ \t\r\n]*"
)
_REPLY = re.compile(rb"(?i)[ \t\r\n]*(?:re|aw|fwd?|sv|antw)[ \t]{0,2}:")
_FOLD = re.compile(rb"\r\n[ \t]+")
_QUOTED_NAME = re.compile(rb'"((?:[^"\\\r\n]|\\.){0,200})"')
_BARE_NAME = re.compile(rb"(?:(?<=,)|^)([ \t\r\n]*)([^\"<>,@()\r\n]{1,200}?)([ \t\r\n]*)(?=<)")
_PARAMETER = re.compile(rb"=([^\s\";=]{1,100})")
_COMMA = re.compile(rb",[ \t\r\n]*")

_ADDRESSES = frozenset(b"from to cc reply-to sender resent-from resent-to resent-cc".split())
_ORIGINALS = (b"x-original-from", b"original-from", b"x-original-sender", b"reply-to", b"x-from")
_ENCODINGS = (b"7bit", b"8bit", b"8BIT", b"quoted-printable", b"base64", b"binary")


def variants(field: HeaderField, header: Header, *, simple: bool) -> Iterator[Variant]:
    """Give what a field may have been, without the field as it is, each variant once.

    Args:
        field: The field as it arrived.
        header: Its header, where the original of a rewritten field may stand.
        simple: Whether it was signed with simple header canonicalization.
    """
    if len(field.raw) > _MAX_FIELD:
        return
    seen = {field.raw}
    for variant in _all_variants(field, header, simple=simple):
        if variant.raw not in seen:
            seen.add(variant.raw)
            yield variant


def _all_variants(field: HeaderField, header: Header, *, simple: bool) -> Iterator[Variant]:
    name = field.name.lower()
    if simple:
        for raw, change in respellings(field):
            yield Variant(raw, change)
    if name == b"subject":
        yield from _subjects(field)
    if name == b"from":
        yield from _originals(field, header)
    if name in _ADDRESSES:
        yield from _address_spellings(field)
    if name in (b"content-type", b"content-disposition"):
        yield from _parameter_spellings(field)
    if name == b"content-transfer-encoding":
        for encoding in _ENCODINGS:
            yield Variant(
                _with_value(field, b" " + encoding), f"was '{encoding.decode('ascii')}' before"
            )
    if b"\r\n" in field.value:
        yield Variant(
            _with_value(field, _FOLD.sub(b"", field.value)),
            "was folded in the middle of a word",
        )


def respellings(field: HeaderField) -> Iterator[Variant]:
    """Give a field in the spellings that simple canonicalization tells apart."""
    name, value = field.name, field.value
    unfolded = value.replace(b"\r\n", b"")
    one_space = _FOLD.sub(b" ", value)
    spellings = (
        (field.raw.rstrip(b" \t"), "had white space added at its end"),
        (name + b":" + unfolded, "was folded"),
        (name + b":" + one_space, "was folded anew"),
        (name + b": " + one_space.strip(b" \t"), "was folded anew, or had its spaces changed"),
        (name + b":" + value.lstrip(b" \t"), "had a space added behind its colon"),
        (name + b": " + value.lstrip(b" \t"), "had the space behind its colon changed"),
        (name + b":" + _FOLD.sub(b"\r\n ", value), "was folded with other white space"),
        (name + b":" + _FOLD.sub(b"\r\n\t", value), "was folded with other white space"),
        (name + b":" + _FOLD.sub(b"\r\n        ", value), "was folded with other white space"),
        (name.title() + b":" + value, "had the case of its name changed"),
        (name.lower() + b":" + value, "had the case of its name changed"),
        (_usual_name(name) + b":" + value, "had the case of its name changed"),
    )
    for raw, change in spellings:
        yield Variant(raw, change)


def _usual_name(name: bytes) -> bytes:
    usual = {b"message-id": b"Message-ID", b"mime-version": b"MIME-Version"}
    return usual.get(name.lower(), name)


def _with_value(field: HeaderField, value: bytes) -> bytes:
    return field.raw.partition(b":")[0] + b":" + value


def _subjects(field: HeaderField) -> Iterator[Variant]:
    """Take tags such as "[list]" off a Subject, also behind "Re:"."""
    value = field.value
    reply = _REPLY.match(value)
    starts = [0] if reply is None else [0, reply.end()]
    for start in starts:
        rest = value[start:]
        tags = b""
        for _ in range(4):
            match = _TAG.match(rest)
            if match is None:
                break
            tags += match[0]
            rest = rest[match.end() :]
            shown = tags.decode("utf-8", "backslashreplace").strip()
            shown = "".join(char for char in shown if char.isprintable())
            for space in (b" ", b""):
                raw = _with_value(field, value[:start] + space + rest)
                yield Variant(raw, f"was tagged with '{shown}'")
    if reply is not None:
        yield Variant(_with_value(field, b" " + value[reply.end() :].lstrip()), "had a 'Re:' added")


def _originals(field: HeaderField, header: Header) -> Iterator[Variant]:
    """Take From from where mailing lists keep it when they rewrite it."""
    for name in _ORIGINALS:
        for position in header.positions(name)[:3]:
            value = header[position].value
            if len(value) <= _MAX_FIELD:
                where = name.decode("ascii").title()
                yield Variant(
                    _with_value(field, value),
                    f"was rewritten, as mailing lists do; {where} has the original",
                )


def _address_spellings(field: HeaderField) -> Iterator[Variant]:
    value = field.value
    yield Variant(
        _with_value(field, _QUOTED_NAME.sub(rb"\1", value)), "had quotes put around names"
    )
    yield Variant(
        _with_value(field, _BARE_NAME.sub(rb'\1"\2"\3', value)),
        "had the quotes around names taken away",
    )
    yield Variant(_with_value(field, _COMMA.sub(b",", value)), "had spaces added behind commas")
    yield Variant(_with_value(field, _COMMA.sub(b", ", value)), "had its spaces changed")
    bare = value.strip(b" \t\r\n")
    if bare.startswith(b"<") and bare.endswith(b">"):
        yield Variant(_with_value(field, b" " + bare[1:-1]), "had angle brackets added")
    elif b"<" not in bare:
        yield Variant(_with_value(field, b" <" + bare + b">"), "lost its angle brackets")


def _parameter_spellings(field: HeaderField) -> Iterator[Variant]:
    value = field.value
    yield Variant(
        _with_value(field, _QUOTED_NAME.sub(rb"\1", value)), "had quotes put around parameters"
    )
    yield Variant(
        _with_value(field, _PARAMETER.sub(rb'="\1"', value)),
        "had the quotes around parameters taken away",
    )
    yield Variant(
        _with_value(field, re.sub(rb";[ \t\r\n]*", b"; ", value)), "was folded or spaced anew"
    )
    yield Variant(
        _with_value(field, re.sub(rb";[ \t\r\n]*", b";", value)), "was folded or spaced anew"
    )
