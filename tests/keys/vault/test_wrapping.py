"""A private key wrapped for a Transit engine; that a real one takes it is test_making's."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.vault.wrapping import wrap

SPKI = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo


def test_only_the_engine_can_open_it(rsa_key):
    private_key = Ed25519PrivateKey.generate()
    wrapping_key = rsa_key.public_key().public_bytes(*SPKI).decode()
    octets = base64.b64decode(wrap(private_key, wrapping_key, uri="x:y"))
    padding = OAEP(mgf=MGF1(algorithm=SHA256()), algorithm=SHA256(), label=None)
    once = rsa_key.decrypt(octets[:256], padding)
    found = load_der_private_key(aes_key_unwrap_with_padding(once, octets[256:]), None)
    assert found.private_bytes_raw() == private_key.private_bytes_raw()
    assert octets != base64.b64decode(wrap(private_key, wrapping_key, uri="x:y"))


@pytest.mark.parametrize("wrapping_key", [None, 7, "", "junk"])
def test_no_wrapping_key(wrapping_key):
    with pytest.raises(KeyUnavailable, match="tells no wrapping key"):
        wrap(Ed25519PrivateKey.generate(), wrapping_key, uri="x:y")


def test_a_wrapping_key_of_another_kind():
    key = Ed25519PrivateKey.generate().public_key().public_bytes(*SPKI).decode()
    with pytest.raises(KeyUnavailable, match="tells no wrapping key"):
        wrap(Ed25519PrivateKey.generate(), key, uri="x:y")
