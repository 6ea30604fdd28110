"""Wrap a private key so that only a Transit engine can open it, for importing it there.

An AES key of one use wraps the private key (RFC 5649), and the engine's RSA key wraps that
(RSAES-OAEP with SHA-256): the form that Transit's ``import`` takes.
"""

from __future__ import annotations

import secrets
from binascii import b2a_base64
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
    load_pem_public_key,
)

from dkimcore.errors import KeyUnavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["wrap"]

_AES_OCTETS = 32


def wrap(private_key: RSAPrivateKey | Ed25519PrivateKey, wrapping_key: object, *, uri: str) -> str:
    """Return a private key as Transit imports it.

    Args:
        private_key: The key.
        wrapping_key: The engine's public key in PEM, as it tells it.
        uri: What errors name.

    Raises:
        KeyUnavailable: The wrapping key is no such key.
    """
    public_key = None
    if isinstance(wrapping_key, str):
        try:
            public_key = load_pem_public_key(wrapping_key.encode())
        except (ValueError, UnsupportedAlgorithm):
            public_key = None
    if not isinstance(public_key, RSAPublicKey):
        raise KeyUnavailable(
            "the server tells no wrapping key; see whether it can import keys", uri=uri
        )
    once = secrets.token_bytes(_AES_OCTETS)
    octets = private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    padding = OAEP(mgf=MGF1(algorithm=SHA256()), algorithm=SHA256(), label=None)
    wrapped = public_key.encrypt(once, padding) + aes_key_wrap_with_padding(once, octets)
    return b2a_base64(wrapped, newline=False).decode("ascii")
