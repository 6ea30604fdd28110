"""Signing algorithms (RFC 6376 section 3.3, RFC 8301, RFC 8463).

The values of ``a=`` that this library knows, the key type each needs and the
hash each uses.  Judging whether a historic one is acceptable is left to
`policy`.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Algorithm", "HashAlgorithm", "KeyType"]


class KeyType(StrEnum):
    """The ``k=`` of a key record (RFC 6376 section 3.6.1, RFC 8463 section 4)."""

    RSA = "rsa"
    ED25519 = "ed25519"


class HashAlgorithm(StrEnum):
    """A hash algorithm as ``h=`` of a key record names it."""

    SHA1 = "sha1"
    SHA256 = "sha256"

    @property
    def digest_size(self) -> int:
        """Length of the hash in octets."""
        return 20 if self is HashAlgorithm.SHA1 else 32


class Algorithm(StrEnum):
    """A signing algorithm as ``a=`` names it.

    ``rsa-sha1`` is here to be recognised; RFC 8301 section 3.1 forbids both
    signing and verifying with it.
    """

    RSA_SHA256 = "rsa-sha256"
    ED25519_SHA256 = "ed25519-sha256"
    RSA_SHA1 = "rsa-sha1"

    @property
    def key_type(self) -> KeyType:
        """The type of key that it needs."""
        return KeyType.ED25519 if self is Algorithm.ED25519_SHA256 else KeyType.RSA

    @property
    def hash_algorithm(self) -> HashAlgorithm:
        """The hash that it uses for header and body."""
        return HashAlgorithm.SHA1 if self is Algorithm.RSA_SHA1 else HashAlgorithm.SHA256

    @property
    def is_historic(self) -> bool:
        """Whether RFC 8301 forbids its use."""
        return self is Algorithm.RSA_SHA1
