"""Traces of how a key record was published wrongly."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from dkimcore.diagnosis.finding import Certainty, Finding, excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["artefacts"]

_ZONE_LINE = re.compile(rb"(?i)(?:^|[ \t])IN[ \t]+TXT[ \t]|_domainkey")
_PUBLIC_KEY = re.compile(rb"(?:^|;)[ \t\r\n]*p[ \t\r\n]*=([^;]*)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\s]")
_VERSION = re.compile(rb"(?:^|;)[ \t\r\n]*v[ \t\r\n]*=[ \t\r\n]*([^; \t\r\n]*)")
_TAG = re.compile(rb"[ \t\r\n]*([A-Za-z][A-Za-z0-9_]*)[ \t\r\n]*=")
_INVISIBLE = re.compile("[\u00a0\u200b-\u200f\u2028\u2029\u2060\ufeff\u201c\u201d\u2018\u2019]")
_SEQUENCE = 0x30  # a tag of DER


def artefacts(octets: bytes) -> tuple[Finding, ...]:
    """Say what in a record's text should not be there, or should be.

    Args:
        octets: The text of a TXT record.
    """
    octets = octets[:16_384]
    return (*_pasted(octets), *_tags(octets), *_key_text(octets))


def _fact(code: str, text: str, cure: str) -> Finding:
    return Finding(code=code, text=text, certainty=Certainty.FACT, cure=cure)


def _pasted(octets: bytes) -> Iterator[Finding]:
    """What belongs to a zone file or to PEM and not into the record."""
    if b"\\;" in octets:
        yield _fact(
            "escaped-semicolon",
            "There is a backslash before ';': that is an escape of some zone files, and it was "
            "published as it stands.",
            "Write ';' alone in web forms; in a zone file put the text into double quotes.",
        )
    if b'"' in octets:
        yield _fact(
            "quotes",
            "There are double quotes in the record: zone files have them around strings, and "
            "they were published as part of it.",
            "Take the quotes out, and join the strings between them without a space.",
        )
    if _ZONE_LINE.search(octets):
        yield _fact(
            "zone-line",
            "A whole line of a zone file stands in the record.",
            "Publish only the text from v=DKIM1 on.",
        )
    if b"-----" in octets:
        yield _fact(
            "pem",
            "The lines -----BEGIN and -----END of a PEM file stand in the record.",
            "p= takes only the base64 between them, without line ends.",
        )
    match = _INVISIBLE.search(octets.decode("utf-8", "replace"))
    if match:
        yield _fact(
            "typographic",
            f"There is the character U+{ord(match[0]):04X}, as word processors and web pages put "
            "it in for a quote, a space or nothing.",
            "Copy the record from a plain text file.",
        )


def _tags(octets: bytes) -> Iterator[Finding]:
    version = _VERSION.search(octets)
    if version is None:
        yield _fact(
            "no-version",
            "There is no v=DKIM1; it is optional, and some verifiers look for it.",
            "Begin the record with v=DKIM1;",
        )
    elif version[1] != b"DKIM1":
        yield _fact(
            "wrong-version",
            f"v={excerpt(version[1])} is not v=DKIM1, in capitals.",
            "Begin the record with v=DKIM1;",
        )
    elif version.start() != 0:
        yield _fact(
            "version-not-first", "v= must be the first tag.", "Begin the record with v=DKIM1;"
        )
    junk = [part for part in octets.split(b";") if part.strip() and not _TAG.match(part)]
    if junk:
        yield _fact(
            "junk",
            f"'{excerpt(junk[0].strip())}' is no tag.",
            "Take it out; tags are written name=value, with ';' between them.",
        )


def _key_text(octets: bytes) -> Iterator[Finding]:
    match = _PUBLIC_KEY.search(octets)
    if match is None or not match[1].strip():
        return
    text = b"".join(match[1].split())
    wrong = _NOT_BASE64.search(text)
    if wrong:
        yield _fact(
            "not-base64",
            f"p= holds '{excerpt(wrong[0])}', which base64 does not have.",
            "Copy the key again.",
        )
        return
    try:
        der = binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        der = b""
    expected = _der_length(der)
    if expected is not None and expected > len(der):
        shortened = len(text)
        yield _fact(
            "key-cut-off",
            f"The key in p= is cut off: {len(der)} of its {expected} octets are there "
            f"({shortened} characters).",
            "One string of a TXT record holds 255 octets; divide the record into several "
            "strings, of one record.",
        )
    elif expected is not None and expected < len(der):
        yield _fact(
            "key-too-long",
            f"There are {len(der) - expected} octets behind the end of the key in p=.",
            "Copy the key again; two may have been joined.",
        )


def _der_length(der: bytes) -> int | None:
    """The length that a DER SEQUENCE says it has, its own head included."""
    if len(der) < 4 or der[0] != _SEQUENCE:
        return None
    if der[1] < 0x80:
        return 2 + der[1]
    count = der[1] & 0x7F
    return 2 + count + int.from_bytes(der[2 : 2 + count], "big") if count <= 4 else None
