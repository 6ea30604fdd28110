"""Canonicalization of header fields and bodies (RFC 6376 section 3.4).

``simple`` and ``relaxed`` for one header field, and for a body that arrives in
chunks of any size.  What is hashed, and how far, is left to `hashing`.

Where the accelerator is in use, relaxed fields and bodies are its work; what stands here is
then the reference that it is tested against.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from dkimcore.protocol.relax import reduce_white_space
from dkimcore.protocol.speedups import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BodyCanonicalizer",
    "Canonicalization",
    "PythonBodyCanonicalizer",
    "canonicalize_field",
    "relax_field_in_python",
]

# Held empty lines are given out in pieces of this many, so that a body of a hundred
# million of them needs no more memory than one of a few: 64 KiB.
_EMPTY_LINES_AT_ONCE = 32_768


class Canonicalization(StrEnum):
    """A canonicalization algorithm as ``c=`` names it (RFC 6376 section 3.5)."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def relax_field_in_python(raw: bytes) -> bytes:
    """`canonicalize_field` for relaxed, without the accelerator."""
    if b"\r\n" in raw:
        raw = raw.replace(b"\r\n", b"")
    name, colon, value = raw.partition(b":")
    value = reduce_white_space(value).strip(b" ")
    return name.rstrip(b" \t").lower() + colon + value


_relax_field: Callable[[bytes], bytes] = compiled.relax_field if compiled else relax_field_in_python


def canonicalize_field(raw: bytes, canonicalization: Canonicalization) -> bytes:
    """Canonicalize one header field (RFC 6376 sections 3.4.1 and 3.4.2).

    Args:
        raw: The field with its folds and without its final CRLF.
        canonicalization: Which algorithm.

    Returns:
        The canonical field, without a final CRLF.
    """
    return raw if canonicalization is Canonicalization.SIMPLE else _relax_field(raw)


class PythonBodyCanonicalizer:
    """Canonicalizes a body that arrives in chunks (RFC 6376 sections 3.4.3 and 3.4.4).

    Any division into chunks gives the same octets.  Work is linear in the body, and no
    more than a chunk is kept.  `BodyCanonicalizer` is this class or its compiled form.

    Args:
        canonicalization: Which algorithm.
        sink: Called with canonical octets, in order, zero or more times per chunk.
    """

    __slots__ = ("_any", "_empty_lines", "_held", "_line_ended", "_relaxed", "_sink")

    def __init__(self, canonicalization: Canonicalization, sink: Callable[[bytes], object]) -> None:
        self._relaxed = canonicalization is Canonicalization.RELAXED
        self._sink = sink
        self._held = b""  # at most SP CR: their meaning depends on the next octet
        self._empty_lines = 0  # CRLFs not yet given out: trailing ones are ignored
        self._any = False  # whether octets other than these CRLFs have been given out
        self._line_ended = False  # whether the last of them were a CRLF

    def feed(self, chunk: bytes) -> None:
        """Canonicalize the next octets of the body."""
        octets = self._held + chunk if self._held else chunk
        if self._relaxed:
            octets = reduce_white_space(octets)
        octets, self._held = self._hold_back(octets)
        if not octets:
            return
        length = len(octets) if octets[-1] != 0x0A else _content_length(octets)
        empty_lines = (len(octets) - length) // 2
        if length:
            self._give_out_empty_lines()
            self._any, self._line_ended = True, empty_lines > 0
            if empty_lines:  # the CRLF that ends a line with content comes in any case
                length += 2
                empty_lines -= 1
            self._sink(octets[:length])
        self._empty_lines += empty_lines

    def finish(self) -> None:
        """End the body: ignore empty lines at its end, complete its last line.

        What is fed afterwards is ignored.
        """
        rest = self._held
        if self._relaxed and rest == b" ":
            rest = b""  # WSP at the end of the last line, though that line lacks its CRLF
        if rest:
            self._give_out_empty_lines()
            self._sink(rest)
            self._any, self._line_ended = True, False
        # An empty body is one CRLF in simple and nothing in relaxed (sections 3.4.3, 3.4.4).
        if not (self._line_ended if self._any else self._relaxed):
            self._sink(b"\r\n")
        # Most sinks own their canonicalizer: without this, each would be left to the collector.
        self._sink = _ignore

    def _hold_back(self, octets: bytes) -> tuple[bytes, bytes]:
        end = len(octets)
        if octets.endswith(b"\r"):
            end -= 1
        if self._relaxed and octets.endswith(b" ", 0, end):
            end -= 1
        return (octets, b"") if end == len(octets) else (octets[:end], octets[end:])

    def _give_out_empty_lines(self) -> None:
        while self._empty_lines > _EMPTY_LINES_AT_ONCE:
            self._sink(b"\r\n" * _EMPTY_LINES_AT_ONCE)
            self._empty_lines -= _EMPTY_LINES_AT_ONCE
        if self._empty_lines:
            self._sink(b"\r\n" * self._empty_lines)
            self._empty_lines = 0


_REVERSED_CRLFS = re.compile(b"(?:\n\r)*+")


def _content_length(octets: bytes) -> int:
    """How many octets stand in front of the CRLFs at their end."""
    content = octets.rstrip(b"\r\n")
    tail = octets[len(content) :]
    if tail == b"\r\n":
        return len(content)
    # The tail may hold bare CRs and LFs, which are data.  Read backwards it begins with the
    # CRLFs looked for, and a possessive pattern finds them in linear time.
    match = _REVERSED_CRLFS.match(tail[::-1])
    return len(octets) - (match.end() if match else 0)


def _ignore(_: bytes) -> None:
    pass


if TYPE_CHECKING:
    BodyCanonicalizer = PythonBodyCanonicalizer
else:
    BodyCanonicalizer = compiled.BodyCanonicalizer if compiled else PythonBodyCanonicalizer
