"""Header section and body (RFC 5322 section 2.1)."""

import pytest

from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.message import Header, HeaderField, MessageReader, to_crlf

pytestmark = pytest.mark.usefixtures("implementation")
rfc = pytest.mark.rfc


def read(message, *, limit=1000, chunk=None):
    """What a reader makes of a message: header octets, whether too large, body."""
    reader = MessageReader(max_header_octets=limit)
    size = chunk or max(len(message), 1)
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    body = b"".join(reader.feed(piece) for piece in pieces)
    return reader.finish().octets, reader.too_large, body


@rfc("6376", "5.3")
@pytest.mark.parametrize(
    ("octets", "converted"),
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb\n\rc\r\r\n", b"a\r\nb\r\n\r\nc\r\n\r\n"),
        (b"", b""),
    ],
)
def test_line_ends_of_local_mail_become_crlf(octets, converted):
    """Statement 118."""
    assert to_crlf(octets) == converted
    assert to_crlf(converted) == converted


@rfc("5322", "2.2")
def test_a_field_has_a_name_and_a_value():
    field = HeaderField(b"Subject: a: b\r\n c")
    assert (field.name, field.value) == (b"Subject", b" a: b\r\n c")


@rfc("6376", "3.4.2")
@rfc("5322", "4.5")
def test_white_space_before_the_colon_is_no_part_of_the_name():
    """Statement 53: the obsolete syntax."""
    assert HeaderField(b"Subject \t: x").name == b"Subject"


@rfc("5322", "2.2.3")
def test_a_field_is_unfolded_before_its_name_is_read():
    header = Header(b"Subject \r\n : x\r\nTo: y")
    assert header[0].name == b"Subject"
    assert list(header.positions(b"subject")) == [0]
    assert header.canonical(Canonicalization.RELAXED)[0] == b"subject:x"


def test_a_line_without_a_colon_has_no_name():
    """Statement 60."""
    assert (HeaderField(b"From alice").name, HeaderField(b"From alice").value) == (b"", b"")


@rfc("6532", "3.2")
def test_a_made_field_is_utf_8():
    assert HeaderField.make("Subject", "caf\u00e9").raw == b"Subject: caf\xc3\xa9"


@rfc("5322", "2.2")
@rfc("5322", "2.2.3")
@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_a_header_is_its_fields_in_order(end):
    header = Header(b"From: a\r\n b\r\n\tc\r\nTO : x\r\nto:y\r\nnonsense" + end)
    assert len(header) == 4
    assert [header[position].name for position in range(4)] == [b"From", b"TO", b"to", b""]
    assert header[0].raw == b"From: a\r\n b\r\n\tc"
    assert list(header.positions(b"to")) == [1, 2]
    assert list(header.positions(b"cc")) == []
    assert list(header.positions(b"")) == []
    assert list(header.index) == [b"from", b"to"]


def test_an_empty_header_has_no_fields():
    header = Header(b"")
    assert len(header) == 0
    assert list(header.index) == []
    assert not header.has_bare_cr_or_lf
    assert list(header.canonical(Canonicalization.SIMPLE)) == []


def test_a_header_that_begins_with_a_fold_is_an_opaque_line():
    """Statement 60: nothing to continue, and no crash."""
    header = Header(b" folded\r\nFrom: a")
    assert len(header) == 2
    assert list(header.index) == [b"from"]


@rfc("6376", "3.4.1")
@rfc("6376", "3.4.2")
def test_fields_in_both_canonical_forms():
    header = Header(b"B : Y\t\r\n\tZ  \r\nnonsense \r\nA: X \t")
    simple = [b"B : Y\t\r\n\tZ  ", b"nonsense ", b"A: X \t"]
    assert list(header.canonical(Canonicalization.SIMPLE)) == simple
    relaxed = header.canonical(Canonicalization.RELAXED)
    assert (relaxed[0], relaxed[2]) == (b"b:Y Z", b"a:X")
    assert header.canonical(Canonicalization.SIMPLE)[0] == header[0].raw


@rfc("6376", "8.15")
@rfc("5322", "2.2")
@pytest.mark.parametrize(
    ("octets", "bare"),
    [
        (b"A: x\r\nB: y\r\n z", False),
        (b"A: x\nFrom: eve", True),
        (b"A: x\rFrom: eve", True),
        (b"A: x\r\r\nB: y", True),
        (b"A: x\r\n\n B: y", True),
        (b"A: x\n", True),
        (b"A: x\r", True),
        (b"A: x\x0b\x85y", False),
    ],
)
def test_a_bare_cr_or_lf_is_noticed(octets, bare):
    """Statement 60: other software may see another From field behind it."""
    assert Header(octets).has_bare_cr_or_lf is bare


@rfc("5322", "2.1")
@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 5])
@pytest.mark.parametrize(
    ("message", "header", "body"),
    [
        (b"A: x\r\nB: y\r\n\r\nbody\r\n\r\nmore", b"A: x\r\nB: y", b"body\r\n\r\nmore"),
        (b"A: x\r\n\r\n", b"A: x", b""),
        (b"A: x\r\n", b"A: x", b""),
        (b"A: x", b"A: x", b""),
        (b"", b"", b""),
        (b"\r\nbody", b"", b"body"),
        (b"\r\n\r\nbody", b"", b"\r\nbody"),
        (b"\r\n", b"", b""),
        (b"A: x\n\nB: y\r\n\r\nbody", b"A: x\n\nB: y", b"body"),
        (b"A: x\r\n \r\nB: y\r\n\r\n\r\n", b"A: x\r\n \r\nB: y", b"\r\n"),
    ],
)
def test_the_first_empty_line_ends_the_header(message, header, body, chunk):
    """Statement 69: however the message arrives."""
    assert read(message, chunk=chunk) == (header, False, body)


@rfc("6376", "8.9")
@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 4, 7])
@pytest.mark.parametrize(
    ("header_octets", "too_large"), [(18, False), (19, False), (20, False), (21, True), (40, True)]
)
@pytest.mark.parametrize("end", [b"\r\n\r\nbody", b""])
def test_a_header_over_the_limit_is_cut_off(header_octets, too_large, end, chunk):
    """Statement 168: whether it is too large does not depend on how it arrives."""
    octets = b"A: " + b"x" * (header_octets - 3)
    header, found, body = read(octets + end, limit=20, chunk=chunk)
    assert found is too_large
    assert header == octets[:20]
    assert body == (b"" if too_large or not end else b"body")


def test_nothing_is_read_behind_a_header_that_is_too_large():
    reader = MessageReader(max_header_octets=20)
    assert reader.feed(b"x" * 100) == b""
    assert reader.feed(b"\r\n\r\nbody") == b""
    assert len(reader.finish().octets) == 20


def test_a_header_without_some_fields_keeps_the_others_octet_for_octet():
    header = Header(b"A: 1\r\nB : 2\r\n\t3\r\nno field\r\nA:4")
    rest = header.without([3, 0])
    assert rest.octets == b"B : 2\r\n\t3\r\nno field"
    assert rest.positions(b"b") == [0]
    assert header.without([]).octets == header.octets
    assert header.without(range(4)).octets == b""
