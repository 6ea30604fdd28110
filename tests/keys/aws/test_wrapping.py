"""A private key on its way into KMS."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.aws.wrapping import exported, wrapped
from dkimcore.testing import EphemeralKey

URI = "awskms:alias/s1"


def spki(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("key", [EphemeralKey.rsa(), EphemeralKey.ed25519()])
def test_kms_can_open_it(key):
    theirs = rsa.generate_private_key(65537, 2048)

    octets = wrapped(key._private_key, spki(theirs), uri=URI)

    passing = theirs.decrypt(octets[:256], OAEP(MGF1(SHA256()), SHA256(), None))
    assert len(passing) == 32
    opened = load_der_private_key(aes_key_unwrap_with_padding(passing, octets[256:]), None)
    assert opened.public_key() == key._private_key.public_key()
    assert exported(opened) == exported(key._private_key)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"junk",
        spki(ec.generate_private_key(ec.SECP256R1())),
        spki(rsa.generate_private_key(65537, 1024)),
    ],
    ids=["nothing", "junk", "ECDSA", "short RSA"],
)
def test_a_wrapping_key_that_is_none(octets):
    with pytest.raises(KeyUnavailable, match="no key to wrap"):
        wrapped(EphemeralKey.ed25519()._private_key, octets, uri=URI)
