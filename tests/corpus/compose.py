"""Tools to write corpus messages down: lines in, CRLF octets out.

Leaves the messages themselves to `letters`, `mime`, `odd` and `traffic`.
"""

import base64
import hashlib
import quopri
from dataclasses import dataclass

CRLF = b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One corpus message and what it is there for."""

    name: str
    exercises: str
    octets: bytes


def octets(text: str, charset: str = "utf-8") -> bytes:
    """Lines of `text` as octets with CRLF; `text` itself holds only LF."""
    return text.encode(charset).replace(b"\n", CRLF)


def letter(header: str, body: str | bytes, *, charset: str = "utf-8") -> bytes:
    """A message from its header lines and its body.

    The header must begin right after the opening quotes' line break and end in one.
    """
    raw = body if isinstance(body, bytes) else octets(body, charset)
    return octets(header.removeprefix("\n"), charset) + CRLF + raw


def noise(label: str, count: int) -> bytes:
    """`count` octets that look random and are the same in every run."""
    blocks = (hashlib.sha256(f"{label}:{n}".encode()).digest() for n in range(count // 32 + 1))
    return b"".join(blocks)[:count]


def base64_lines(data: bytes, width: int = 76) -> str:
    """base64 in lines of `width` characters, each ending in LF."""
    flat = base64.b64encode(data).decode()
    return "".join(flat[n : n + width] + "\n" for n in range(0, len(flat), width))


def quoted(text: str, charset: str = "utf-8") -> str:
    """Quoted-printable text with LF line ends."""
    return quopri.encodestring(text.encode(charset), quotetabs=False).decode("ascii")


def pdf(label: str, count: int) -> bytes:
    """Octets with the head and tail of a PDF file."""
    return b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" + noise(label, count) + b"\n%%EOF\n"
