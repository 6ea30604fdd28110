"""What a Transit engine tells of a key."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dkimcore.errors import KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.vault.transitkeys import TransitKeys
from dkimcore.protocol.crypto import PublicKey


def raw():
    octets = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return base64.b64encode(octets).decode()


def read(kind="ed25519", keys=None, **more):
    versions = {"1": {"public_key": raw()}} if keys is None else keys
    return TransitKeys.of({"data": {"type": kind, "keys": versions, **more}}, uri="x:y")


def test_versions_are_numbers():
    halves = {str(number): {"public_key": raw()} for number in (1, 2, 9, 10)}
    keys = read(keys=halves)
    assert keys.latest == 10
    expected = base64.b64decode(halves["9"]["public_key"])
    assert keys.public_key(9).encode() == expected
    with pytest.raises(KeyNotFound, match="has no version 3, but 1 to 10"):
        keys.public_key(3)


def test_rsa(rsa_key):
    pem = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    keys = read("rsa-2048", {"1": {"public_key": pem.decode()}})
    assert keys.public_key(1) == PublicKey.of(rsa_key.public_key())


@pytest.mark.parametrize("kind", ["aes256-gcm96", "ecdsa-p256", "hmac", "rsa-1024", "x" * 500])
def test_types_that_dkim_has_no_use_for(kind):
    with pytest.raises(KeyUnusable, match="DKIM needs one of") as caught:
        read(kind)
    assert len(str(caught.value)) < 200


def test_keys_that_sign_nothing():
    with pytest.raises(KeyUnusable, match="derived"):
        read(derived=True)
    with pytest.raises(KeyNotFound, match="deleted softly"):
        read(soft_deleted=True)


@pytest.mark.parametrize(
    "document",
    [{}, {"data": None}, {"data": {"type": "ed25519"}}, {"data": {"type": 1, "keys": {}}}],
)
def test_what_describes_no_key(document):
    with pytest.raises(KeyUnavailable, match="describes no key"):
        TransitKeys.of(document, uri="x:y")


@pytest.mark.parametrize("keys", [{}, {"1": 1796031692}, {"x": {"public_key": "y"}}, {"1": {}}])
def test_no_public_half(keys):
    with pytest.raises(KeyUnavailable, match="tells no public half"):
        read(keys=keys)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("ed25519", "!!"),
        ("ed25519", base64.b64encode(bytes(31)).decode()),
        ("rsa-2048", "junk"),
        ("rsa-2048", "-----BEGIN PUBLIC KEY-----\njunk\n-----END PUBLIC KEY-----\n"),
    ],
)
def test_a_public_half_that_is_damaged(kind, text):
    with pytest.raises(KeyUnusable, match="cannot be read"):
        read(kind, {"1": {"public_key": text}}).public_key(1)


def test_a_public_half_of_another_kind():
    key = Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(KeyUnusable, match="cannot be read"):
        read("rsa-2048", {"1": {"public_key": pem}}).public_key(1)
