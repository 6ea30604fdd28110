"""The two hashes of a signature (RFC 6376 section 3.7)."""

import hashlib

import pytest

from dkimcore.protocol.algorithm import HashAlgorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.hashing import BodyHash, header_hash, select_fields
from dkimcore.protocol.message import Header

rfc = pytest.mark.rfc
SIMPLE, RELAXED = Canonicalization.SIMPLE, Canonicalization.RELAXED
SHA1, SHA256 = HashAlgorithm.SHA1, HashAlgorithm.SHA256

HEADER = Header(
    b"Received: one\r\nFrom: a@example.com\r\nreceived: two\r\nDKIM-Signature: own\r\n"
    b"Subject:  hi \r\nDKIM-Signature: other\r\nRECEIVED : three\r\n"
)


@rfc("6376", "3.7")
@pytest.mark.parametrize("hash_algorithm", [SHA1, SHA256])
def test_the_body_hash_is_over_the_canonical_body(hash_algorithm):
    """Statement 71."""
    body_hash = BodyHash(RELAXED, hash_algorithm)
    body_hash.feed(b"a \t b ")
    body_hash.feed(b"\r\n\r\n")
    expected = hashlib.new(hash_algorithm.value, b"a b\r\n").digest()
    assert body_hash.finish() == expected
    assert body_hash.total == 5


@rfc("6376", "3.5")
@rfc("6376", "3.7")
@pytest.mark.parametrize(
    ("length", "covered"),
    [(0, b""), (1, b"a"), (3, b"a\r\n"), (4, b"a\r\nb"), (6, b"a\r\nb\r\n"), (7, b"a\r\nb\r\n")],
)
def test_a_body_length_counts_canonical_octets(length, covered):
    """Statement 68; how much there was is told, so that a larger l= can be refused (39)."""
    for chunks in ([b"a \r\nb\t\r\n \r\n"], [b"a ", b"\r", b"\nb\t\r\n", b" \r\n"]):
        body_hash = BodyHash(RELAXED, SHA256, length)
        for chunk in chunks:
            body_hash.feed(chunk)
        assert body_hash.finish() == hashlib.sha256(covered).digest()
        assert body_hash.total == 6


@rfc("6376", "3.7")
def test_the_hash_of_an_empty_body_without_length():
    """Statement 61."""
    assert BodyHash(SIMPLE, SHA256).finish() == hashlib.sha256(b"\r\n").digest()


@rfc("6376", "5.4.2")
@pytest.mark.parametrize(
    ("names", "positions"),
    [
        ([b"from"], [1]),
        ([b"received"], [6]),
        ([b"received", b"received"], [6, 2]),
        ([b"received", b"from", b"received", b"received"], [6, 1, 2, 0]),
        ([b"received"] * 5, [6, 2, 0]),
        ([b"from", b"from"], [1]),
        ([b"missing", b"subject", b"missing"], [4]),
        ([], []),
    ],
)
def test_instances_are_taken_from_the_bottom_each_once(names, positions):
    """Statements 34, 54, 55, 116, 130."""
    assert list(select_fields(HEADER, names)) == positions


@rfc("6376", "3.7")
@rfc("6376", "5.4")
@pytest.mark.parametrize(("own_position", "positions"), [(3, [5]), (5, [3]), (None, [5, 3])])
def test_a_signature_never_covers_itself(own_position, positions):
    """Statement 35: other signatures are ordinary fields."""
    names = [b"dkim-signature"] * 3
    assert list(select_fields(HEADER, names, own_position=own_position)) == positions


@rfc("6376", "3.7")
@pytest.mark.parametrize(
    ("canonicalization", "octets"),
    [
        (RELAXED, b"subject:hi\r\nreceived:three\r\ndkim-signature:b="),
        (SIMPLE, b"Subject:  hi \r\nRECEIVED : three\r\ndkim-signature:b="),
    ],
)
def test_the_header_hash_ends_in_the_signature_without_crlf(canonicalization, octets):
    """Statement 56."""
    found = header_hash(
        HEADER,
        [4, 6],
        b"dkim-signature:b=",
        canonicalization=canonicalization,
        hash_algorithm=SHA256,
    )
    assert found == hashlib.sha256(octets).digest()


@rfc("6376", "5.4")
def test_names_that_match_nothing_add_nothing():
    """Statement 34: not even a CRLF."""
    found = header_hash(
        HEADER, [], b"dkim-signature:b=", canonicalization=SIMPLE, hash_algorithm=SHA1
    )
    assert found == hashlib.sha1(b"dkim-signature:b=").digest()
