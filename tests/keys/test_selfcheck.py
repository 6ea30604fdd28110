"""A key that would make signatures nobody can verify does not get to sign."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from dkimcore.errors import KeyUnusable
from dkimcore.keys.memory import MemoryKey, decode_private_key
from dkimcore.keys.selfcheck import ShortKey, check_key
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.testing import EphemeralKey

CASES = Path(__file__).resolve().parent.parent / "cases" / "keys"


class Odd:
    """A key with one thing wrong."""

    def __init__(self, key, sign=None, **attributes):
        self.algorithm, self.public_key = key.algorithm, key.public_key
        self.sign_digest = sign or key.sign_digest
        self.__dict__.update(attributes)


def case(bits):
    octets = (CASES / f"rsa{bits}.pem").read_bytes()
    return MemoryKey(
        decode_private_key(octets, uri="file:k", passphrase=lambda: None), name="file:k"
    )


@pytest.fixture(scope="module")
def key():
    return case(2048)


def refusal(key):
    with pytest.raises(KeyUnusable) as caught:
        check_key(key, uri="acme:k")
    assert str(caught.value).startswith("acme:k: ")
    return str(caught.value)


def test_good_keys_pass_and_the_length_of_signatures_is_told(key):
    assert check_key(key, uri="acme:k") == 256
    assert check_key(EphemeralKey.ed25519(), uri="acme:k") == 64


@pytest.mark.rfc("8301", "3.2")
@pytest.mark.parametrize("bits", [512, 768, 1023])
def test_rsa_below_1024_bits_does_not_sign(bits):
    assert f"{bits} bits must not sign" in refusal(case(bits))
    with pytest.raises(ShortKey) as caught:
        check_key(case(bits), uri="acme:k")
    assert caught.value.bits == bits


@pytest.mark.rfc("8301", "3.2")
@pytest.mark.parametrize("bits", [1024, 1025, 4096])
def test_rsa_from_1024_bits_on_signs(bits):
    assert check_key(case(bits), uri="acme:k") == (bits + 7) // 8


def test_rsa_that_few_can_verify_does_not_sign():
    assert "8208 bits" in refusal(case(8208))


@pytest.mark.rfc("8301", "3.1")
@pytest.mark.parametrize("algorithm", [Algorithm.RSA_SHA1, "rsa-sha256", None])
def test_the_algorithm_must_be_one_to_sign_with(key, algorithm):
    assert "rsa-sha256 or ed25519-sha256" in refusal(Odd(key, algorithm=algorithm))


def test_algorithm_and_key_type_must_agree(key):
    assert "public half is rsa" in refusal(Odd(key, algorithm=Algorithm.ED25519_SHA256))


def test_the_public_half_must_be_one_that_verifiers_take(key):
    assert "no dkimcore PublicKey" in refusal(Odd(key, public_key=b"MIIB"))
    odd = replace(key.public_key, _encoded=b"no key")
    assert "verifiers will refuse" in refusal(Odd(key, public_key=odd))


@pytest.mark.parametrize(
    "sign",
    [
        lambda key, digest: key.sign(sha256(digest).digest(), PKCS1v15(), Prehashed(SHA256())),
        lambda key, digest: key.sign(digest, PSS(MGF1(SHA256()), 32), Prehashed(SHA256())),
        lambda key, digest: b"",
        lambda key, digest: None,
        lambda key, digest: "text",
    ],
    ids=["hashed again", "pss", "empty", "none", "text"],
)
def test_what_it_signs_must_verify(key, rsa_key, sign):
    odd = Odd(key, sign=lambda digest: sign(rsa_key, digest))
    assert "does not verify with its public half" in refusal(odd)


def test_the_public_half_of_another_key_is_noticed(key):
    assert "another key" in refusal(Odd(key, public_key=case("b").public_key))


def test_errors_of_the_key_pass_through(key):
    def sign(digest):
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        check_key(Odd(key, sign=sign), uri="acme:k")
