"""Test a key before anything is signed with it.

Signs a probe and verifies it with the public half, as a verifier would read it from the
key record.  That catches a backend that hashes the digest again or pads it otherwise, a
file whose numbers do not fit each other, and a public half of another key: all of them
would make signatures that look right and never verify.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUnusable
from dkimcore.protocol.algorithm import Algorithm, KeyType
from dkimcore.protocol.crypto import PublicKey
from dkimcore.protocol.result import Unusable

if TYPE_CHECKING:
    from dkimcore.keys import SigningKey

__all__ = ["ShortKey", "check_key"]

_PROBE = sha256(b"dkimcore tests a key before it signs mail").digest()
_MIN_RSA_BITS = 1024  # RFC 8301 section 3.2
_MAX_RSA_BITS = 8192  # what VerifyPolicy accepts; RFC 8301 section 3.2 asks only for 4096


class ShortKey(KeyUnusable):
    """The key is RSA below 1024 bits.

    Args:
        problem: The cause and the cure.
        uri: What errors call the key.
        bits: Its length.
    """

    def __init__(self, problem: str, *, uri: str, bits: int = 0) -> None:
        super().__init__(problem, uri=uri)
        self.bits = bits


def check_key(key: SigningKey, *, uri: str) -> int:
    """Test a key.

    Args:
        key: The key.
        uri: What errors call it.

    Returns:
        The length of its signatures in octets.

    Raises:
        KeyUnusable: Its algorithm is none to sign with, its public half does not belong
            to it, it is RSA below 1024 or above 8192 bits, or what it signs does not verify.
            Errors of the key itself pass through.
    """
    algorithm, public_key = key.algorithm, key.public_key
    if type(algorithm) is not Algorithm or algorithm.is_historic:
        raise KeyUnusable(
            f"its algorithm is {algorithm!s}; signatures are made with rsa-sha256 or "
            "ed25519-sha256 (RFC 8301 section 3.1)",
            uri=uri,
        )
    if not isinstance(public_key, PublicKey):
        raise KeyUnusable("its public_key is no dkimcore PublicKey", uri=uri)
    if public_key.key_type is not algorithm.key_type:
        raise KeyUnusable(
            f"its public half is {public_key.key_type} and its algorithm is {algorithm}", uri=uri
        )
    try:
        published = PublicKey.decode(public_key.encode(), public_key.key_type)
    except Unusable as exc:
        raise KeyUnusable(f"verifiers will refuse its public half: {exc.detail}", uri=uri) from None
    if published.key_type is KeyType.RSA:
        _check_size(published.bits, uri)
    signature_data = key.sign_digest(_PROBE)
    if type(signature_data) is not bytes or not published.verifies(
        signature_data, _PROBE, algorithm
    ):
        raise KeyUnusable(
            "what it signs does not verify with its public half: the key is damaged, or its "
            "backend hashes the digest again, pads it otherwise than PKCS#1 v1.5, or signs "
            "with another key",
            uri=uri,
        )
    return len(signature_data)


def _check_size(bits: int, uri: str) -> None:
    if bits < _MIN_RSA_BITS:
        raise ShortKey(
            f"an RSA key of {bits} bits must not sign (RFC 8301 section 3.2); make one of 2048 "
            "bits under a new selector",
            uri=uri,
            bits=bits,
        )
    if bits > _MAX_RSA_BITS:
        raise KeyUnusable(
            f"few verifiers take an RSA key of {bits} bits; make one of 2048 bits under a new "
            "selector",
            uri=uri,
        )
