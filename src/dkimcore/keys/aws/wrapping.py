"""A private key on its way into AWS KMS: exported, and encrypted for the journey.

RSA_AES_KEY_WRAP_SHA_256 of the API: an AES key under the RSA key that KMS gave, then the private
key under that AES key, with RFC 5649's padding.  It is the way that KMS takes RSA and elliptic
keys alike.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

from dkimcore.errors import KeyUnavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["exported", "wrapped"]

_MIN_BITS = 2048  # the shortest wrapping key of the API


def exported(private_key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """Return a private key as KMS takes and gives it: PKCS#8 in DER."""
    return private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def wrapped(
    private_key: RSAPrivateKey | Ed25519PrivateKey, wrapping_key: bytes, *, uri: str
) -> bytes:
    """Encrypt a private key so that only KMS can read it.

    Args:
        private_key: The key.
        wrapping_key: What KMS gave for it, a SubjectPublicKeyInfo in DER.
        uri: What errors name.

    Raises:
        KeyUnavailable: That is no RSA key.
    """
    try:
        key = load_der_public_key(wrapping_key)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey) or key.key_size < _MIN_BITS:
        raise KeyUnavailable("KMS gave no key to wrap the private key with", uri=uri)
    passing = os.urandom(32)
    sealed = key.encrypt(passing, OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None))
    return sealed + aes_key_wrap_with_padding(passing, exported(private_key))
