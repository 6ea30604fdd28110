"""What strangers wrote stands in one line of a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore_milter.printable import printable


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mx.example.com", "mx.example.com"),
        (b"b\xc3\xbccher", "bücher"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (" a\r\n\tb ", "a b"),
        ("\x1b[2Jx\x00", "?[2Jx?"),
        ("\udcff", "?"),
        ("\u202eevil", "?evil"),
        ("", ""),
    ],
)
def test_one_line_without_control_characters(text, line):
    assert printable(text) == line


@given(st.text() | st.binary(max_size=500), st.integers(4, 50))
def test_any_text_is_short_and_can_be_written(text, limit):
    line = printable(text, limit=limit)
    assert len(line) <= limit
    assert line.isprintable()
    line.encode()


def test_a_long_text_says_that_it_was_cut():
    assert printable("x" * 300) == "x" * 197 + "..."
    assert printable(b"x" * 300, limit=10) == "xxxxxxx..."
