"""Naive models, written from the text of RFC 6376 and not from the library's code.

They are slow and short: each says what the RFC says, line by line. The library
must agree with them on every input (`invariants`).
"""

from __future__ import annotations

import re

__all__ = [
    "body",
    "empty_lines_and_wsp",
    "field",
    "reduce_white_space",
    "select",
    "signature_data",
    "signed_view",
]


def reduce_white_space(octets: bytes) -> bytes:
    """Section 3.4.4 step (a): "ignore all whitespace at the end of lines", "reduce all
    sequences of WSP within a line to a single SP character"; a line ends in CRLF."""
    return re.sub(rb"[ \t]+", b" ", re.sub(rb"[ \t]+(?=\r\n)", b"", octets))


def empty_lines_and_wsp(line: bytes, *, relaxed: bool) -> bytes:
    """One line without its CRLF after step (a) of section 3.4.4."""
    return re.sub(rb"[ \t]+", b" ", line).removesuffix(b" ") if relaxed else line


def body(octets: bytes, *, relaxed: bool) -> bytes:
    """Sections 3.4.3 and 3.4.4: no empty lines at the end, each line complete.

    "If there is no body or no trailing CRLF on the message body, a CRLF is added"; in
    simple the empty body is a CRLF, in relaxed it stays empty.
    """
    lines = [empty_lines_and_wsp(line, relaxed=relaxed) for line in octets.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return b"" if relaxed else b"\r\n"
    return b"".join(line + b"\r\n" for line in lines)


def field(raw: bytes, *, relaxed: bool) -> bytes:
    """Sections 3.4.1 and 3.4.2, for one field without its final CRLF."""
    if not relaxed:
        return raw
    name, colon, value = re.sub(rb"\r\n(?=[ \t])", b"", raw).partition(b":")
    value = re.sub(rb"[ \t]+", b" ", value)
    return re.sub(rb"[ \t]+\Z", b"", name).lower() + colon + re.sub(rb"\A | \Z", b"", value)


def _fields(header: bytes) -> list[bytes]:
    fields: list[bytes] = []
    for line in header.split(b"\r\n"):
        if fields and line[:1] in (b" ", b"\t"):
            fields[-1] += b"\r\n" + line
        else:
            fields.append(line)
    return fields


def _name(raw: bytes) -> bytes:
    name, colon, _ = re.sub(rb"\r\n(?=[ \t])", b"", raw).partition(b":")
    return name.rstrip(b" \t").lower() if colon else b""


def select(header: bytes, names: list[bytes]) -> list[bytes]:
    """Section 5.4.2: of each name the lowest field that no earlier name has taken."""
    left = _fields(header)
    selected = []
    for name in names:
        for position in range(len(left) - 1, -1, -1):
            if _name(left[position]) == name.lower():
                selected.append(left.pop(position))
                break
    return selected


_OWN_DATA = re.compile(rb"(;[ \t\r\n]*b=)([^;]*)\Z")


def signature_data(message: bytes) -> bytes | None:
    """What stands in b= of a message's first DKIM-Signature field, as its last tag."""
    header = b"" if message.startswith(b"\r\n") else message.partition(b"\r\n\r\n")[0]
    for raw in _fields(header):
        match = _OWN_DATA.search(raw)
        if _name(raw) == b"dkim-signature" and match:
            return match[2]
    return None


def signed_view(
    message: bytes,
    names: list[bytes],
    *,
    relaxed_header: bool,
    relaxed_body: bool,
    length: int | None,
) -> tuple[list[bytes], bytes, list[bytes]]:
    """What a signature on top of a message protects (section 3.7), in the clear.

    Returns:
        The signed fields in canonical form; the canonical body as far as it is signed, or
        what there is of it; the first DKIM-Signature field, canonical and without its b= value,
        which must be the field's last tag.
    """
    if message.startswith(b"\r\n"):
        header, octets = b"", message[2:]
    else:
        header, _, octets = message.partition(b"\r\n\r\n")
    fields = _fields(header)
    own = [raw for raw in fields if _name(raw) == b"dkim-signature"]
    selected = [field(raw, relaxed=relaxed_header) for raw in select(header, names)]
    canonical_body = body(octets, relaxed=relaxed_body)
    if length is not None:
        canonical_body = canonical_body[:length]
    unsigned = [field(_OWN_DATA.sub(rb"\1", raw), relaxed=relaxed_header) for raw in own[:1]]
    return selected, canonical_body, unsigned
