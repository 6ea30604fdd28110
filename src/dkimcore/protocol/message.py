"""A message's header section and where its body begins (RFC 5322 section 2.1).

Octets are kept as they came and never re-serialised.  A line that is no header
field (no colon, or a fold with nothing to continue) is kept as an opaque line
that no name selects.

Where the accelerator is in use, it divides headers into fields; `parse_fields_in_python` and
`split_fields_in_python` are then the reference that it is tested against.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.relax import reduce_white_space
from dkimcore.protocol.speedups import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "Header",
    "HeaderField",
    "MessageReader",
    "parse_fields_in_python",
    "split_fields_in_python",
    "to_crlf",
]

_FIELD_BORDER = re.compile(rb"\r\n(?![ \t])")


def to_crlf(message: bytes) -> bytes:
    """Convert bare CR and LF to CRLF, as a signer must (RFC 6376 section 5.3).

    For messages from a local store, where lines end in LF.  Octets that come from the
    network are not to be converted: a verifier judges them as they are.
    """
    return message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


class HeaderField(NamedTuple):
    """One header field.

    Attributes:
        raw: Its octets with folds, without the final CRLF.
    """

    raw: bytes

    @property
    def name(self) -> bytes:
        """The field name as written, without WSP before the colon; empty if there is no colon."""
        name, colon, _ = self.raw.partition(b":")
        # A fold in front of the colon is white space there (RFC 5322 section 2.2.3).
        return name.replace(b"\r\n", b"").rstrip(b" \t") if colon else b""

    @property
    def value(self) -> bytes:
        """The field body: everything behind the colon."""
        return self.raw.partition(b":")[2]

    @classmethod
    def make(cls, name: str, value: str) -> HeaderField:
        """Make a field of a name and a body, which is encoded as UTF-8."""
        return cls(f"{name}: {value}".encode())


def parse_fields_in_python(octets: bytes) -> tuple[list[bytes], dict[bytes, list[int]], bool]:
    """Make the relaxed form of all fields of a header at once (RFC 6376 section 3.4.2).

    Args:
        octets: The header section without the CRLF that ends its last field.

    Returns:
        The relaxed fields, where the fields of each name stand, and whether there is a CR or LF
        that is not part of a CRLF.
    """
    # Unfold, reduce, and then divide.
    text = octets.replace(b"\t", b" ").replace(b"\r\n ", b" ")
    text = reduce_white_space(text)
    fields = text.rstrip(b" ").split(b"\r\n") if text else []
    borders = max(len(fields) - 1, 0)
    has_bare_cr_or_lf = text.count(b"\r") != borders or text.count(b"\n") != borders
    index: dict[bytes, list[int]] = {}
    for position, field in enumerate(fields):
        name, colon, value = field.partition(b":")
        if not colon:
            continue
        name = name.rstrip(b" ").lower()
        fields[position] = b"%b:%b" % (name, value.lstrip(b" "))
        positions = index.get(name)
        if positions is None:
            index[name] = [position]
        else:
            positions.append(position)
    return fields, index, has_bare_cr_or_lf


def split_fields_in_python(octets: bytes) -> list[bytes]:
    """Divide a header into its fields as they are, with folds and without final CRLFs."""
    return _FIELD_BORDER.split(octets) if octets else []


_parse_fields: Callable[[bytes], tuple[list[bytes], dict[bytes, list[int]], bool]] = (
    compiled.parse_fields if compiled else parse_fields_in_python
)
_split_fields: Callable[[bytes], list[bytes]] = (
    compiled.split_fields if compiled else split_fields_in_python
)


class Header:
    """The header section: header fields in order.

    Args:
        octets: The section without the empty line that ends it; with or without the CRLF
            that ends its last field.

    Attributes:
        octets: The section without that last CRLF.
        has_bare_cr_or_lf: Whether it holds a CR or LF that is not part of a CRLF.  Software
            that takes one for a line end sees other header fields than this library does
            (RFC 6376 section 8.15 is about such disagreement).
    """

    __slots__ = ("_index", "_raw", "_relaxed", "has_bare_cr_or_lf", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets = octets.removesuffix(b"\r\n")
        self._relaxed, self._index, self.has_bare_cr_or_lf = _parse_fields(octets)
        self._raw: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self._relaxed)

    def __getitem__(self, position: int) -> HeaderField:
        return HeaderField(self.canonical(Canonicalization.SIMPLE)[position])

    def positions(self, name: bytes) -> Sequence[int]:
        """Where the fields of a name stand, from the top.

        Args:
            name: The field name in lower case.
        """
        return self._index.get(name, ())

    @property
    def index(self) -> Mapping[bytes, Sequence[int]]:
        """Where the fields of each name stand; names in lower case, as they first appear."""
        return self._index

    def without(self, positions: Iterable[int]) -> Header:
        """The header without the fields at these positions; the others stay as they are."""
        left_out = frozenset(positions)
        return Header(
            b"\r\n".join(
                raw
                for position, raw in enumerate(self.canonical(Canonicalization.SIMPLE))
                if position not in left_out
            )
        )

    def canonical(self, canonicalization: Canonicalization) -> Sequence[bytes]:
        """All fields in canonical form, without their final CRLF (RFC 6376 section 3.4)."""
        if canonicalization is Canonicalization.RELAXED:
            return self._relaxed
        if self._raw is None:
            self._raw = _split_fields(self.octets)
        return self._raw


class MessageReader:
    """Divides a message that arrives in chunks into header and body (RFC 5322 section 2.1).

    Args:
        max_header_octets: Where to stop looking for the end of the header section.

    Attributes:
        header: The header, once its end has been seen.
        too_large: Whether the header section is larger than allowed; it is then cut off
            and the rest of the message is ignored.
    """

    __slots__ = ("_buffer", "_max", "header", "too_large")

    def __init__(self, *, max_header_octets: int) -> None:
        self._max = max_header_octets
        self._buffer = bytearray()
        self.header: Header | None = None
        self.too_large = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next octets and return those that belong to the body."""
        if self.too_large:
            return b""
        if self.header is not None:
            return chunk
        if not self._buffer:  # most headers arrive whole
            end = chunk.find(b"\r\n\r\n")
            if 0 <= end <= self._max and not chunk.startswith(b"\r\n"):
                self.header = Header(chunk[:end])
                return chunk[end + 4 :]
        # The empty line may be divided between chunks: look three octets back, no further.
        start = max(0, len(self._buffer) - 3)
        self._buffer += chunk
        if self._buffer.startswith(b"\r\n"):
            return self._end(0, 2)
        end = self._buffer.find(b"\r\n\r\n", start)
        if end >= 0:
            return self._end(end, end + 4)
        if len(self._buffer) > self._max + 3:  # the empty line may have come in part
            self._end(self._max, len(self._buffer))
            self.too_large = True
        return b""

    def finish(self) -> Header:
        """End the message: one without an empty line is all header."""
        if self.header is None:
            self._end(len(self._buffer), len(self._buffer))
        assert self.header is not None  # noqa: S101 - for the type checker; _end sets it
        return self.header

    def _end(self, end: int, body: int) -> bytes:
        if end > self._max:
            end, body, self.too_large = self._max, len(self._buffer), True
        self.header = Header(bytes(self._buffer[:end]))
        rest = bytes(self._buffer[body:])
        self._buffer.clear()
        return rest
