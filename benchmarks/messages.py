"""The messages that are measured: a header as mail servers leave it, and bodies of several kinds.

The same octets every time: random words from a fixed seed.
"""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BODIES", "HEADER", "HOSTILE", "body", "message"]

HEADER = (
    b"""Return-Path: <alice@example.com>
Received: from mail.example.com (mail.example.com [192.0.2.1])
\tby mx.example.org (Postfix) with ESMTPS id 4F00A1234
\tfor <bob@example.org>; Sun, 22 Nov 2026 10:00:00 +0000 (UTC)
Received: from client (client.example.com [192.0.2.99])
\tby mail.example.com (Postfix) with ESMTPSA id 12345
\tfor <bob@example.org>; Sun, 22 Nov 2026 09:59:59 +0000 (UTC)
From: Alice Example <alice@example.com>
To: Bob Example <bob@example.org>, Carol Example <carol@example.org>,
 Dave <dave@example.net>
Cc: team@example.org
Subject: Quarterly figures, second draft with the corrections you asked for
Date: Sun, 22 Nov 2026 09:59:58 +0000
Message-ID: <20261122095958.12345@example.com>
In-Reply-To: <20261121120000.54321@example.org>
References: <20261120@example.org> <20261121120000.54321@example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 8bit
User-Agent: Mutt/2.2.9
X-Mailer: something
""".replace(b"\n", b"\r\n")
    + b"\r\n"
)
"""17 fields, as on the way from a submission server to a mail exchanger."""

# Bodies repeat after this many octets: far beyond what a cache or a pattern could notice.
_BLOCK = 1_000_000
_LINE = 72
_LENGTHS = (2, 3, 3, 4, 5, 6, 7, 9)


def _words(source: random.Random) -> list[bytes]:
    letters = b"abcdefghijklmnopqrstuvwxyz"
    return [bytes(source.choices(letters, k=source.choice(_LENGTHS))) for _ in range(500)]


def _text(octets: int) -> bytes:
    source = random.Random(1)
    words = _words(source)
    lines, line, total = [], b"", 0
    while total < octets:
        word = source.choice(words)
        if len(line) + len(word) > _LINE:
            lines.append(line)
            total += len(line) + 2
            line = word
        else:
            line = line + b" " + word if line else word
    return b"\r\n".join(lines)


def _double_spaced(octets: int) -> bytes:
    return _text(octets).replace(b" ", b"  ")


def _base64(octets: int) -> bytes:
    source = random.Random(1)
    return base64.encodebytes(source.randbytes(octets * 3 // 4 + 57)).replace(b"\n", b"\r\n")


def _html(octets: int) -> bytes:
    source = random.Random(1)
    words = _words(source)
    lines, total = [], 0
    while total < octets:
        indent = b" " * source.choice((2, 4, 4, 6, 8, 8, 10, 12))
        first, second, third = source.choices(words, k=3)
        lines.append(b'%b<td class="%b">%b %b</td>' % (indent, first, second, third))
        total += len(lines[-1]) + 2
    return b"\r\n".join(lines)


BODIES: dict[str, Callable[[int], bytes]] = {
    "text": _text,
    "base64": _base64,
    "html": _html,
    "double-spaced": _double_spaced,
}
"""Prose with single spaces, base64, indented HTML, and prose with two spaces between words."""

HOSTILE: dict[str, bytes] = {
    "only SP": b" ",
    "only HTAB": b"\t",
    "SP HTAB in turn": b" \t",
    "only CRLF": b"\r\n",
    "SP before each CRLF": b" \r\n",
    "one line": b"x",
    '"a   " again and again': b"a   ",
    '"a  " again and again': b"a  ",
    "only CR": b"\r",
    "NUL and 8-bit": b"\x00\xff",
}
"""What a hostile body repeats from end to end."""

_blocks: dict[str, bytes] = {}


def body(kind: str, octets: int) -> bytes:
    """Makes a body of just so many octets that ends in CRLF.

    Args:
        kind: A key of `BODIES`.
        octets: Its length, a line or more.
    """
    size = min(octets, _BLOCK)
    block = _blocks.get(kind, b"")
    if len(block) < size:
        block = _blocks[kind] = BODIES[kind](_BLOCK) + b"\r\n"
    copies = octets // len(block) + 1
    cut = (block * copies)[: octets - 2].rstrip(b" \r\n")
    return cut.ljust(octets - 2, b"x") + b"\r\n"


def message(kind: str, octets: int) -> bytes:
    """Makes a message of just so many octets, header included."""
    return HEADER + body(kind, octets - len(HEADER))
