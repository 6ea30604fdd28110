"""Canonicalization (RFC 6376 section 3.4)."""

import base64
import hashlib

import pytest

from dkimcore.protocol import canonical
from dkimcore.protocol.canonical import Canonicalization, canonicalize_field

pytestmark = pytest.mark.usefixtures("implementation")
rfc = pytest.mark.rfc
SIMPLE, RELAXED = Canonicalization.SIMPLE, Canonicalization.RELAXED


def canonical_body(canonicalization, *chunks):
    given = []
    canonicalizer = canonical.BodyCanonicalizer(canonicalization, given.append)
    for chunk in chunks:
        canonicalizer.feed(chunk)
    canonicalizer.finish()
    return b"".join(given)


def single_octets(octets):
    return [bytes([octet]) for octet in octets]


@rfc("6376", "3.4.5")
class TestExamples:
    """The message of section 3.4.5: two fields and a body."""

    fields = (b"A: X", b"B : Y\t\r\n\tZ  ")
    body = b" C \r\nD \t E\r\n\r\n\r\n"

    def test_relaxed_header(self):
        found = [canonicalize_field(field, RELAXED) for field in self.fields]
        assert found == [b"a:X", b"b:Y Z"]

    def test_simple_header(self):
        found = [canonicalize_field(field, SIMPLE) for field in self.fields]
        assert found == list(self.fields)

    def test_relaxed_body(self):
        assert canonical_body(RELAXED, self.body) == b" C\r\nD E\r\n"

    def test_simple_body(self):
        assert canonical_body(SIMPLE, self.body) == b" C \r\nD \t E\r\n"


@rfc("6376", "3.4.1")
@pytest.mark.parametrize(
    "raw",
    [b"SubJect :  a\t\r\n b ", b"X:", b"caf\xc3\xa9\xff: \x00\x0b", b"no colon", b" fold: x"],
)
def test_a_simple_field_is_not_changed(raw):
    """Statements 50, 58, 60."""
    assert canonicalize_field(raw, SIMPLE) == raw


@rfc("6376", "3.4.2")
@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"SUBJect: AbC", b"subject:AbC"),
        (b"Subject:a\r\n b\r\n\tc", b"subject:a b c"),
        (b"Subject: a\r\n \t\r\n  b", b"subject:a b"),
        (b"Subject \t: a", b"subject:a"),
        (b"Subject\r\n : a", b"subject:a"),
        (b"Subject: a \t", b"subject:a"),
        (b"Subject:", b"subject:"),
        (b"Subject: \t \r\n \t", b"subject:"),
        (b"Subject: a: b :c", b"subject:a: b :c"),
        (b"Subject:\x0b a \x0c", b"subject:\x0b a \x0c"),
        (b"Subject: \xa0a\x85", b"subject:\xa0a\x85"),
        (b"Subject: caf\xc3\xa9 \xff", b"subject:caf\xc3\xa9 \xff"),
        (b"no colon ", b"no colon"),
    ],
)
def test_a_relaxed_field(raw, canonical):
    """Statements 51, 52, 53, 58, 59."""
    assert canonicalize_field(raw, RELAXED) == canonical
    assert canonicalize_field(canonical, RELAXED) == canonical


@rfc("6376", "3.4.2")
@rfc("8616", "5")
def test_only_ascii_letters_of_a_field_name_are_lowered():
    """Statement 136: a capital A with ring stays, in UTF-8 and in Latin-1."""
    assert canonicalize_field(b"X-\xc3\x85\xc5: Y", RELAXED) == b"x-\xc3\x85\xc5:Y"


def body_hash(canonicalization):
    return base64.b64encode(hashlib.sha256(canonical_body(canonicalization)).digest())


@rfc("6376", "3.4.3")
def test_the_empty_body_is_one_crlf_in_simple():
    """Statement 61, with the hash that the RFC prints."""
    assert canonical_body(SIMPLE) == b"\r\n"
    assert body_hash(SIMPLE) == b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="


@rfc("6376", "3.4.4")
def test_the_empty_body_is_nothing_in_relaxed():
    """Statement 62, with the hash that the RFC prints."""
    assert canonical_body(RELAXED) == b""
    assert body_hash(RELAXED) == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


BODIES = [
    # body, simple, relaxed
    (b"", b"\r\n", b""),
    (b"\r\n", b"\r\n", b""),
    (b"\r\n\r\n\r\n", b"\r\n", b""),
    (b"a", b"a\r\n", b"a\r\n"),
    (b"a\r\n", b"a\r\n", b"a\r\n"),
    (b"a\r\n\r\n\r\n", b"a\r\n", b"a\r\n"),
    (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
    (b"\r\n\r\na", b"\r\n\r\na\r\n", b"\r\n\r\na\r\n"),
    (b" ", b" \r\n", b""),
    (b" \r\n", b" \r\n", b""),
    (b"\t\r\n \r\n\t \t", b"\t\r\n \r\n\t \t\r\n", b""),
    (b"a \r\n \r\n ", b"a \r\n \r\n \r\n", b"a\r\n"),
    (b"a\t b  c \t\r\n", b"a\t b  c \t\r\n", b"a b c\r\n"),
    (b" a\r\n\t\tb\r\n", b" a\r\n\t\tb\r\n", b" a\r\n b\r\n"),
    (b"a ", b"a \r\n", b"a\r\n"),
    (b"a\r", b"a\r\r\n", b"a\r\r\n"),
    (b"a \r", b"a \r\r\n", b"a \r\r\n"),
    (b"a\n", b"a\n\r\n", b"a\n\r\n"),
    (b"a\r\r\n", b"a\r\r\n", b"a\r\r\n"),
    (b"a\n\r\n\r\n", b"a\n\r\n", b"a\n\r\n"),
    (b"a\r\n\n\r\n", b"a\r\n\n\r\n", b"a\r\n\n\r\n"),
    (b"a\n\r", b"a\n\r\r\n", b"a\n\r\r\n"),
    (b"\r\r\n\r\n", b"\r\r\n", b"\r\r\n"),
    (
        b"\x00\x0b \x0c\xff\xa0\x85\r\n",
        b"\x00\x0b \x0c\xff\xa0\x85\r\n",
        b"\x00\x0b \x0c\xff\xa0\x85\r\n",
    ),
    (b"..\r\n.\r\n", b"..\r\n.\r\n", b"..\r\n.\r\n"),
]


@rfc("6376", "3.4.3")
@pytest.mark.parametrize(("body", "simple", "relaxed"), BODIES)
def test_a_simple_body_loses_empty_lines_at_its_end(body, simple, relaxed):
    """Statements 61, 64, 66, 67, 69: whole and octet by octet."""
    assert canonical_body(SIMPLE, body) == simple
    assert canonical_body(SIMPLE, *single_octets(body)) == simple


@rfc("6376", "3.4.4")
@pytest.mark.parametrize(("body", "simple", "relaxed"), BODIES)
def test_a_relaxed_body_loses_white_space_first(body, simple, relaxed):
    """Statements 62, 63, 65, 66, 69: whole and octet by octet."""
    assert canonical_body(RELAXED, body) == relaxed
    assert canonical_body(RELAXED, *single_octets(body)) == relaxed


@rfc("6376", "3.4.4")
@pytest.mark.parametrize("body", [b"a \t \r\n \r\n\r\nb\r \n c \r\n\r\n"])
def test_no_division_into_two_chunks_shows(body):
    """Statement 69."""
    for canonicalization in Canonicalization:
        whole = canonical_body(canonicalization, body)
        for cut in range(len(body) + 1):
            assert canonical_body(canonicalization, body[:cut], b"", body[cut:]) == whole


@rfc("6376", "3.4.3")
@pytest.mark.parametrize("lines", [32_768, 32_769, 100_000])
def test_many_empty_lines_cost_no_memory(lines):
    """Statement 70: they come out in pieces, and only when something follows."""
    given = []
    canonicalizer = canonical.BodyCanonicalizer(SIMPLE, given.append)
    canonicalizer.feed(b"a" + b"\r\n" * lines)
    assert given == [b"a\r\n"]
    canonicalizer.feed(b"b")
    assert b"".join(given) == b"a" + b"\r\n" * lines + b"b"
    assert max(map(len, given)) <= 65_536


def test_what_is_fed_after_the_end_is_ignored():
    given = []
    canonicalizer = canonical.BodyCanonicalizer(SIMPLE, given.append)
    canonicalizer.feed(b"a")
    canonicalizer.finish()
    canonicalizer.feed(b"b")
    canonicalizer.finish()
    assert b"".join(given) == b"a\r\n"
