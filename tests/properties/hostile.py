"""Messages, key records and fields as an attacker, or a broken program, writes them.

Each function builds one thing from a source of choices. Most parts are well-formed,
so that the input gets past the first check and breaks further in.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from tests.protocol import material

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.properties.choices import Choices

__all__ = [
    "answer",
    "authentication_results",
    "body",
    "domain",
    "header_field",
    "key_record",
    "message",
    "quoted_printable",
    "signature_field",
    "signature_value",
    "tag_list",
]

WHITE = (b"", b" ", b"\t", b"  ", b"\r\n ", b" \r\n\t", b"\r\n \r\n ", b"   ")
ODD = (
    b"\x00",
    b"\x0b",
    b"\x0c",
    b"\r",
    b"\n",
    b"\x85",
    b"\xa0",
    b"\xff",
    b"\xc3",
    b"\x7f",
    b"\x1c",
)
WORDS = (
    b"dinner",
    b"a",
    b"=3B",
    b"=",
    b"=c3",
    b"caf\xc3\xa9",
    b";",
    b":",
    b"@",
    b"|",
    b"b=",
    b"-",
)

NAMES = (
    b"From",
    b"To",
    b"Subject",
    b"Date",
    b"from",
    b"FROM ",
    b"X-B",
    b"",
    b"no colon",
    b"Sub ject",
)
DOMAINS = (
    "example.com",
    "EXAMPLE.com",
    "mail.example.com",
    "b\u00fccher.example",
    "xn--bcher-kva.example",
    "example",
    "example.com.",
    "..",
    "a" * 64 + ".com",
    "\u05d0b.example",
    "\u2603.example",
    "-a.example",
    "[127.0.0.1]",
    "x@y.z",
    "\u200d.example",
    "\u0661.example",
    "\u3002.\uff0e",
    "xn--.example",
)
# Public halves that prove nothing, or cannot be used: RFC 6376 section 8.13, RFC 8032.
ED_BASE64 = base64.b64encode(material.ed25519().public_key.encode())
RSA_BASE64 = base64.b64encode(material.rsa(1024).public_key.encode())
PUBLIC_KEYS = (
    ED_BASE64,
    RSA_BASE64,
    base64.b64encode(material.rsa(1023).public_key.encode()),
    b"",
    base64.b64encode(bytes(32)),
    base64.b64encode(b"\x01" + bytes(31)),
    base64.b64encode(b"\xff" * 32),
    base64.b64encode(bytes.fromhex("300602010f020101")),
    RSA_BASE64[:-8],
    ED_BASE64 + b"A",
    b"=",
)
HASHES = (
    b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=",
    b"uoq1oCgLlTqpdDX/iUbLy7J1Wic=",
    b"AA==",
)
TAGS: dict[bytes, tuple[bytes, ...]] = {
    b"v": (b"1", b"2", b"1.0", b""),
    b"a": (b"ed25519-sha256", b"rsa-sha256", b"rsa-sha1", b"RSA-SHA256", b"rsa-sha512"),
    b"c": (b"relaxed/relaxed", b"simple/simple", b"relaxed", b"simple/relaxed", b"/", b""),
    b"q": (b"dns/txt", b"dns / txt:dns/txt", b"x", b":"),
    b"h": (b"From:To", b"from", b"from : from\r\n : subject", b"to", b":from", b"from:" * 300, b""),
    b"l": (b"0", b"3", b"9" * 76, b"9" * 77, b"-1", b"+5", b"\xd9\xa1", b"5_0"),
    b"t": (b"1600000000", b"0", b"9" * 13, b"-1", b"4000000000", b""),
    b"x": (b"1800000000", b"9" * 5000, b"1600000000", b"1", b" 5"),
    b"z": (b"From:a|To:b", b"=", b"=ZZ|"),
}


def white_space(choices: Choices) -> bytes:
    kind = choices.integer(0, 63)
    return choices.one_of(ODD) if kind == 63 else WHITE[kind % len(WHITE)]


def text(choices: Choices, most: int = 6) -> bytes:
    """Words, white space, odd octets and raw ones."""
    parts = []
    for _ in range(choices.integer(0, most)):
        kind = choices.integer(0, 7)
        if kind < 4:
            parts.append(choices.one_of(WORDS))
        elif kind < 6:
            parts.append(white_space(choices))
        else:
            parts.append(choices.one_of(ODD) if kind == 6 else choices.octets(16))
    return b"".join(parts)


def domain(choices: Choices) -> bytes:
    """A domain name, or what is none."""
    if choices.integer(0, 7) == 7:
        return choices.octets(80)
    return choices.one_of(DOMAINS).encode("utf-8")


def quoted_printable(choices: Choices) -> bytes:
    """A value of i= or z=, seldom well-formed."""
    return text(choices) + choices.one_of((b"@example.com", b"@", b"", b"=40example.com"))


def base64_value(choices: Choices) -> bytes:
    if choices.integer(0, 15) == 15:
        return text(choices)
    return base64.b64encode(choices.octets(200)) or HASHES[0]


def tag_list(choices: Choices, tags: list[tuple[bytes, Callable[[Choices], bytes]]]) -> bytes:
    """A tag-list of these tags, now and then without one, with one twice, or disordered."""
    specs = []
    for name, value in tags:
        fate = choices.integer(0, 127)
        if fate == 127:
            continue
        spec = name + b"=" + value(choices)
        if fate > 110:
            spec = white_space(choices) + spec.replace(b"=", b" = ", 1) + white_space(choices)
        specs += [spec] * (2 if fate == 110 else 1)
    if choices.integer(0, 31) == 31:
        specs.insert(choices.integer(0, len(specs)), text(choices))
    if choices.integer(0, 15) == 15:
        specs.reverse()
    between = choices.one_of((b"; ", b";", b";\r\n\t", b" ;"))
    return between.join(specs) + choices.one_of((b"", b"", b"", b";", b"; ", b"\r\n\t", b";;"))


def _listed(name: bytes) -> Callable[[Choices], bytes]:
    def value(choices: Choices) -> bytes:
        kind = choices.integer(0, 63)
        if kind < 58:
            return TAGS[name][0]
        return choices.one_of(TAGS[name]) if kind < 63 else text(choices)

    return value


def _usually(usual: bytes, otherwise: Callable[[Choices], bytes]) -> Callable[[Choices], bytes]:
    return lambda choices: otherwise(choices) if choices.integer(0, 15) == 15 else usual


def signature_value(choices: Choices) -> bytes:
    """The body of a DKIM-Signature field."""
    tags: list[tuple[bytes, Callable[[Choices], bytes]]] = [
        (b"v", _listed(b"v")),
        (b"a", _listed(b"a")),
        (b"c", _listed(b"c")),
        (b"d", _usually(b"example.com", domain)),
        (b"s", _usually(b"s1", domain)),
        (b"h", _listed(b"h")),
        (b"bh", _usually(HASHES[0], lambda source: source.one_of(HASHES))),
    ]
    for name in (b"q", b"l", b"t", b"x", b"z"):
        if choices.integer(0, 7) == 7:
            tags.append((name, _listed(name)))
    if choices.integer(0, 7) == 7:
        tags.append((b"i", quoted_printable))
    tags.append((b"b", base64_value))
    return tag_list(choices, tags)


def signature_field(choices: Choices) -> bytes:
    """A DKIM-Signature field."""
    name = choices.one_of((b"DKIM-Signature:", b"dkim-signature :", b"DKIM-Signature: "))
    return name + signature_value(choices)


def header_field(choices: Choices) -> bytes:
    """A header field, or a line that is none."""
    if choices.integer(0, 31) == 31:
        return choices.octets(60)
    value = text(choices)
    if choices.integer(0, 15) < 15:  # a bare CR or LF would end the whole message's judging
        value = re.sub(rb"\r\n?(?![ \t\n])|(?<!\r)\n", b"", value)
    return choices.one_of(NAMES) + choices.one_of((b": ", b":", b" :", b"")) + value


def body(choices: Choices, most: int = 12) -> bytes:
    """A body with everything that canonicalization looks at."""
    ends = (
        b"\r\n",
        b" \r\n",
        b"\r\n\r\n",
        b"\t \r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b"\r\r\n",
        b"\n\r",
    )
    parts = []
    for _ in range(choices.integer(0, most)):
        parts.append(text(choices, 3))
        parts.append(choices.one_of(ends) * choices.one_of((1, 1, 2, 5)))
    return b"".join(parts)


def message(choices: Choices) -> bytes:
    """A message with signatures that were never made with a key."""
    fields = [signature_field(choices) for _ in range(choices.integer(0, 3))]
    fields += [header_field(choices) for _ in range(choices.integer(0, 4))]
    fields.append(b"From: alice@example.com")
    end = choices.one_of((b"\r\n\r\n",) * 13 + (b"\r\n", b"\n\n", b""))
    return b"\r\n".join(fields) + end + body(choices)


def key_record(choices: Choices) -> bytes:
    """The text of a key record."""
    if choices.integer(0, 15) == 15:
        return choices.octets(60)
    tags: list[tuple[bytes, Callable[[Choices], bytes]]] = [
        (b"v", _usually(b"DKIM1", text)),
        (b"k", lambda source: source.one_of((b"ed25519", b"rsa", b"", b"RSA", b"x"))),
    ]
    for name, values in (
        (b"h", (b"sha256", b"sha1 : sha256", b"sha1", b"")),
        (b"s", (b"*", b"email", b"other:email", b"")),
        (b"t", (b"y", b"s", b"y : s", b"", b"x")),
        (b"n", (b"note", b"=3B", b"caf\xc3\xa9", b"")),
    ):
        if choices.integer(0, 3) == 3:
            tags.append((name, lambda source, values=values: source.one_of(values)))
    tags.append((b"p", lambda source: _public_key(source)))
    return tag_list(choices, tags)


def _public_key(choices: Choices) -> bytes:
    return base64_value(choices) if choices.integer(0, 7) == 7 else choices.one_of(PUBLIC_KEYS)


def answer(choices: Choices) -> TxtAnswer:
    """An answer to a key query."""
    kind = choices.integer(0, 15)
    if kind > 13:
        return TxtAnswer(TxtStatus.FAILED if kind == 14 else TxtStatus.NO_RECORD)
    records = tuple(key_record(choices) for _ in range(choices.integer(0, 3)))
    return TxtAnswer(TxtStatus.FOUND, records, bool(choices.integer(0, 1)))


def authentication_results(choices: Choices, authserv_id: bytes) -> bytes:
    """The body of an Authentication-Results field that may claim an authserv-id."""
    comment = choices.one_of((b"", b"(x)", b"(a(b)c)", b"(\\))", b"(", b")", b"(" * 50))
    claimed = choices.one_of(
        (
            authserv_id,
            authserv_id.upper(),
            authserv_id + b".",
            b'"' + authserv_id + b'"',
            b'"' + authserv_id[:3] + b"\\" + authserv_id[3:] + b'"',
            authserv_id + b"/1",
            authserv_id.replace(b".", choices.one_of((b" . ", b".(x)", b'".', b"\\.", b".\x0b"))),
            b"other.example",
            b"x" + authserv_id,
            b'"',
        )
    )
    if choices.integer(0, 7) == 7:
        claimed = text(choices)
    version = choices.one_of((b"", b" 1", b"(c)1", b" 2"))
    rest = choices.one_of((b"; dkim=pass", b"; none", b"", b";")) + text(choices)
    return white_space(choices) + comment + white_space(choices) + claimed + version + rest
