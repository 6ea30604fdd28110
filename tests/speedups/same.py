"""What it means that the accelerator and the Python code do the same; and inputs that try it.

Hypothesis, atheris and the run under sanitizers all call these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.protocol.canonical import (
    Canonicalization,
    PythonBodyCanonicalizer,
    relax_field_in_python,
)
from dkimcore.protocol.message import parse_fields_in_python, split_fields_in_python
from tests.properties.invariants import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from tests.properties.choices import Choices

__all__ = ["PIECES", "TIMES", "bodies_are", "headers_are", "hostile"]

# The white space and line ends that mean something, what only looks like it, and what is
# between; also what ends just so that CRLF, SP CR and folds are divided by a border.
PIECES = (
    *(b"a", b" ", b"\t", b"\r\n", b"\r", b"\n", b"\r\n ", b"\r\n\t", b" \r\n", b"  ", b":"),
    *(
        b"\x00",
        b"\x0b",
        b"\x0c",
        b"\x85",
        b"\xa0",
        b"\xff",
        b"A: b\r\n",
        b"B :\r\n c\r\n",
        b"Zz\x80@[`{",
    ),
    *(b"a ", b" a", b"\n\r", b" \r", b"\r\r\n", b"word word", b"    <td>x</td>\r\n"),
)
TIMES = (1, 1, 1, 2, 3, 7, 15, 16, 31, 33, 61, 62, 63, 64, 65, 66, 67, 130)


def hostile(choices: Choices, most: int = 12) -> bytes:
    """Build octets that are dense in what matters, with runs as long as a block of 64."""
    return b"".join(
        choices.one_of(PIECES) * choices.one_of(TIMES) for _ in range(choices.integer(0, most))
    )


def bodies_are(compiled: ModuleType, octets: bytes, cuts: Sequence[int]) -> None:
    """A body in the same chunks gives the same octets, in no more and no larger pieces."""
    for canonicalization in Canonicalization:
        for chunks in ([octets], pieces(octets, cuts)):
            expected: list[bytes] = []
            given: list[bytes] = []
            for make, sink in (
                (PythonBodyCanonicalizer, expected),
                (compiled.BodyCanonicalizer, given),
            ):
                canonicalizer = make(canonicalization, sink.append)
                for chunk in chunks:
                    canonicalizer.feed(chunk)
                canonicalizer.finish()
                canonicalizer.feed(b"ignored")
            assert b"".join(given) == b"".join(expected)
            if len(octets) < 60_000:  # a larger one is given out in more pieces
                assert list(filter(None, given)) == list(filter(None, expected))


def headers_are(compiled: ModuleType, octets: bytes) -> None:
    """A header gives the same fields in both forms, the same names, in the same order."""
    fields, index, bare = parse_fields_in_python(octets)
    found_fields, found_index, found_bare = compiled.parse_fields(octets)
    assert found_fields == fields
    assert list(found_index.items()) == list(index.items())
    assert found_bare is bare
    raw = split_fields_in_python(octets)
    assert compiled.split_fields(octets) == raw
    for field in (octets, *raw):
        assert compiled.relax_field(field) == relax_field_in_python(field)
