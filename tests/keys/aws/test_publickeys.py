"""Which kinds of keys of KMS are of use for DKIM."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dkimcore.errors import KeyUnusable, SettingsError
from dkimcore.keys.aws.publickeys import KeySpec, public_half
from dkimcore.protocol.algorithm import Algorithm, KeyType
from dkimcore.testing import EphemeralKey

URI = "awskms:alias/s1"


def spki(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_rsa_is_signed_as_a_digest():
    spec = KeySpec.named("RSA_3072")

    assert spec == KeySpec.chosen(KeyType.RSA, 3072)
    assert spec.algorithm is Algorithm.RSA_SHA256
    assert (spec.signing_algorithm, spec.message_type) == ("RSASSA_PKCS1_V1_5_SHA_256", "DIGEST")


@pytest.mark.rfc("8463", "3")
def test_ed25519_takes_the_digest_as_its_message():
    spec = KeySpec.named("ECC_NIST_EDWARDS25519")

    assert spec == KeySpec.chosen(KeyType.ED25519, 0)
    assert spec.algorithm is Algorithm.ED25519_SHA256
    assert (spec.signing_algorithm, spec.message_type) == ("ED25519_SHA_512", "RAW")


@pytest.mark.parametrize(
    "name", ["RSA_1024", "ECC_NIST_P256", "SYMMETRIC_DEFAULT", "ML_DSA_65", ""]
)
def test_other_kinds(name):
    assert KeySpec.named(name) is None


@pytest.mark.parametrize("bits", [1024, 2047, 8192])
def test_lengths_that_kms_does_not_have(bits):
    with pytest.raises(SettingsError, match=f"{bits} bits"):
        KeySpec.chosen(KeyType.RSA, bits)


def test_of_a_private_key():
    assert KeySpec.of(EphemeralKey.rsa()._private_key).name == "RSA_2048"
    assert KeySpec.of(EphemeralKey.ed25519()._private_key).name == "ECC_NIST_EDWARDS25519"
    with pytest.raises(SettingsError):
        KeySpec.of(EphemeralKey.rsa(1024)._private_key)


@pytest.mark.parametrize("key", [EphemeralKey.rsa(), EphemeralKey.ed25519()])
def test_public_halves(key):
    assert public_half(spki(key._private_key.public_key()), uri=URI) == key.public_key


@pytest.mark.parametrize(
    "octets",
    [b"", b"junk", spki(ec.generate_private_key(ec.SECP256R1()).public_key())],
    ids=["nothing", "junk", "ECDSA"],
)
def test_other_public_halves(octets):
    with pytest.raises(KeyUnusable, match="RSA or Ed25519"):
        public_half(octets, uri=URI)
