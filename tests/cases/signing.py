"""A DKIM signer of its own, written from RFC 6376 section 3.4 and 3.7 without dkimcore.

It signs templates rather than values: the octets `%BH%` and `%B%` in a DKIM-Signature mark
where the hashes go, so that any malformed field can still carry a signature that is right.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .keys import rsa

CRLF = b"\r\n"
MESSAGE = (
    b"Received: from client.example.com (client.example.com [192.0.2.1])\r\n"
    b"\tby mail.example.com; Mon, 1 Jan 2024 12:00:00 +0000\r\n"
    b"From: Joe <joe@example.com>\r\n"
    b"To: Suzie Q <suzie@example.net>\r\n"
    b"Subject: Is dinner  ready?\r\n"
    b"Date: Mon, 1 Jan 2024 12:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"\r\n"
    b"Hi.\r\n\r\nWe lost the  game. \tAre you hungry yet?\r\n\r\nJoe.\r\n"
)

_DEFAULTS = {
    "v": b"1",
    "a": b"rsa-sha256",
    "c": b"relaxed/relaxed",
    "d": b"example.com",
    "s": b"rsa",
    "h": b"from:to:subject:date",
    "bh": b"%BH%",
    "b": b"%B%",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """Everything about a signature that its text does not decide."""

    value: bytes
    field: bytes = b"DKIM-Signature: "
    # What the signer really does, where the text says something else on purpose.
    header: str | None = None
    body: str | None = None
    fields: Sequence[bytes] | None = None
    limit: int | None = None
    digest: str = "sha256"
    body_hash: Callable[[bytes], bytes] = base64.b64encode
    sign: Callable[[bytes], bytes] = rsa().sign
    data: Callable[[bytes], bytes] = lambda signature: folded(base64.b64encode(signature))


def folded(text: bytes, width: int = 70) -> bytes:
    """`text` with a fold after each `width` octets."""
    return b"\r\n\t".join(text[n : n + width] for n in range(0, len(text), width))


def tags(*, extra: bytes = b"", last: bytes = b"", **values: bytes | None) -> bytes:
    """An ordinary tag-list; a keyword replaces that tag's value, None leaves the tag out.

    `extra` goes before bh=, `last` behind b=.
    """
    changed = {**_DEFAULTS, **values}
    body_hash, signature = changed.pop("bh"), changed.pop("b")
    parts = [name.encode() + b"=" + value for name, value in changed.items() if value is not None]
    parts += [extra] if extra else []
    parts += [b"bh=" + body_hash] if body_hash is not None else []
    parts += [b"b=" + signature] if signature is not None else []
    return folded_tags(parts) + last


def folded_tags(parts: list[bytes]) -> bytes:
    """Tag-specs as one value with a fold after every third."""
    lines = [b"; ".join(parts[n : n + 3]) for n in range(0, len(parts), 3)]
    return b";\r\n\t".join(lines)


def split(message: bytes) -> tuple[list[bytes], bytes]:
    """Header fields, each with its CRLF, and the body (RFC 5322 section 2.1)."""
    if message.startswith(CRLF):
        return [], message[2:]
    header, gap, body = message.partition(b"\r\n\r\n")
    header += CRLF if gap else b""
    return re.findall(rb"(?s)(?:.*?)\r\n(?![ \t])|.+$", header), body


def field_name(field: bytes) -> bytes:
    """The name before the colon, without obsolete white space, in lower case."""
    return field.partition(b":")[0].rstrip(b" \t").lower()


def canonical_field(field: bytes, how: str) -> bytes:
    """RFC 6376 section 3.4.1 and 3.4.2; `field` ends in CRLF and so does the result."""
    if how == "simple":
        return field
    value = field.partition(b":")[2].replace(CRLF, b"")
    value = re.sub(rb"[ \t]+", b" ", value).strip(b" ")
    return field_name(field) + b":" + value + CRLF


def canonical_body(body: bytes, how: str) -> bytes:
    """RFC 6376 section 3.4.3 and 3.4.4."""
    lines = body.split(CRLF)
    if how == "relaxed":
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return CRLF if how == "simple" else b""
    return b"".join(line + CRLF for line in lines)


def select(fields: list[bytes], names: Sequence[bytes]) -> list[bytes]:
    """RFC 6376 section 5.4.2: bottom up, each instance once, absent ones give nothing."""
    left = list(reversed(fields))
    chosen = []
    for name in names:
        for field in left:
            if field_name(field) == name.lower():
                chosen.append(field)
                left.remove(field)
                break
    return chosen


def signature_field(message: bytes, how: How) -> bytes:
    """The DKIM-Signature field for `message`, without its final CRLF."""
    fields, body = split(message)
    canonical = canonical_body(body, how.body or _body_way(how.value))
    if how.limit is not None:
        canonical = canonical[: how.limit]
    hashed = how.body_hash(hashlib.new(how.digest, canonical).digest())
    value = how.value.replace(b"%BH%", hashed)
    way = how.header or _header_way(how.value)
    names = _names(how.value) if how.fields is None else how.fields
    chosen = [canonical_field(field, way) for field in select(fields, names)]
    # RFC 6376 section 3.7: the value of b= "including all surrounding whitespace" is deleted.
    emptied = re.sub(rb"[ \t\r\n]*%B%[ \t\r\n]*", b"", value)
    own = canonical_field(how.field + emptied + CRLF, way).removesuffix(CRLF)
    return how.field + value.replace(b"%B%", how.data(how.sign(b"".join(chosen) + own)))


def signed(value: bytes | How | None = None, message: bytes = MESSAGE, **change: object) -> bytes:
    """`message` with one signature on top; `change` overrides fields of `How`."""
    how = value if isinstance(value, How) else How(value=tags() if value is None else value)
    how = replace(how, **change)  # type: ignore[arg-type]  # tests name the fields of How
    return signature_field(message, how) + CRLF + message


def _tag(value: bytes, name: bytes) -> bytes | None:
    found = re.search(rb"(?:^|;)[ \t\r\n]*" + name + rb"[ \t\r\n]*=([^;]*)", value)
    return None if found is None else re.sub(rb"[ \t\r\n]", b"", found[1])


def _header_way(value: bytes) -> str:
    way = (_tag(value, b"c") or b"simple").partition(b"/")[0]
    return "relaxed" if way.lower() == b"relaxed" else "simple"


def _body_way(value: bytes) -> str:
    way = (_tag(value, b"c") or b"simple").partition(b"/")[2]
    return "relaxed" if way.lower() == b"relaxed" else "simple"


def _names(value: bytes) -> list[bytes]:
    return (_tag(value, b"h") or b"").split(b":")
