"""Invariants 1 and 2: chunks are invisible, twice is as once, the naive models agree."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.properties import invariants, strategies

rfc = pytest.mark.rfc


@rfc("6376", "3.4.3")
@rfc("6376", "3.4.4")
@given(strategies.bodies, strategies.cuts)
@example(b"a \t\r\n \r\n\r", [2, 3])
@example(b" \r\n" * 9, list(range(9)))
def test_bodies(body, cuts):
    """Statements 61 to 69."""
    invariants.body_canonicalization_is_that_of_the_rfc(body, cuts)


@rfc("6376", "3.4.4")
@given(st.lists(st.sampled_from([b" ", b"\t", b"\r", b"\n", b"\r\n", b"a"])).map(b"".join))
def test_white_space_and_line_ends_alone(octets):
    """Statements 51, 52, 62: dense in what matters."""
    invariants.white_space_is_reduced_as_the_rfc_says(octets)
    invariants.body_canonicalization_is_that_of_the_rfc(octets, range(len(octets)))


@rfc("6376", "3.4.2")
@given(strategies.headers)
@example(b"A :\r\n \r\n\tb\r\nC: \t")
def test_fields(header):
    """Statements 50 to 53, 58, 59."""
    invariants.field_canonicalization_is_that_of_the_rfc(header)


@rfc("5322", "2.1")
@given(strategies.messages, strategies.cuts, st.integers(1, 300))
@example(b"A: x\r\n\r\nbody", [5, 6, 7], 4)
def test_headers_in_chunks(message, cuts, limit):
    """Statement 69."""
    invariants.chunking_the_header_is_invisible(message, cuts, limit)
