"""Algorithms: what each value of a= needs (RFC 6376 section 3.3, RFC 8301, RFC 8463)."""

import hashlib

import pytest

from dkimcore.protocol.algorithm import Algorithm, HashAlgorithm, KeyType

rfc = pytest.mark.rfc


@rfc("6376", "3.3")
@rfc("8463", "3")
@pytest.mark.parametrize(
    ("name", "key_type", "hash_name"),
    [
        ("rsa-sha256", KeyType.RSA, "sha256"),
        ("ed25519-sha256", KeyType.ED25519, "sha256"),
        ("rsa-sha1", KeyType.RSA, "sha1"),
    ],
)
def test_an_algorithm_has_a_key_type_and_a_hash(name, key_type, hash_name):
    """Statements 21, 71, 78, 91."""
    algorithm = Algorithm(name)
    assert algorithm.key_type is key_type
    assert algorithm.hash_algorithm.value == hash_name
    assert algorithm.hash_algorithm.digest_size == hashlib.new(hash_name).digest_size


@rfc("8301", "3.1")
def test_only_rsa_sha1_is_historic():
    """Statement 73."""
    assert [algorithm for algorithm in Algorithm if algorithm.is_historic] == [Algorithm.RSA_SHA1]


@rfc("6376", "3.6.1")
def test_names_are_those_of_key_records():
    """Statements 91 and 93: k= and h= are compared with these."""
    assert [str(kind) for kind in KeyType] == ["rsa", "ed25519"]
    assert [str(name) for name in HashAlgorithm] == ["sha1", "sha256"]
