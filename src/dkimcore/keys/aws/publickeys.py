"""The public halves that KMS gives: which are of use for DKIM, and what they sign with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from dkimcore.errors import KeyUnusable, SettingsError
from dkimcore.protocol.algorithm import Algorithm, KeyType
from dkimcore.protocol.crypto import PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["KeySpec", "public_half"]

_RSA_BITS = (2048, 3072, 4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """A kind of key that KMS has and DKIM can use.

    Attributes:
        name: What KMS calls it.
        algorithm: The ``a=`` that it produces.
        signing_algorithm: What KMS calls that.
        message_type: ``DIGEST`` where KMS is told the hash, ``RAW`` where it hashes what it is
            told: Ed25519 takes the digest as its message (RFC 8463 section 3).
    """

    name: str
    algorithm: Algorithm
    signing_algorithm: str
    message_type: str

    @classmethod
    def named(cls, name: str) -> KeySpec | None:
        """Return the kind of that name; None: DKIM cannot use it."""
        return _SPECS.get(name)

    @classmethod
    def chosen(cls, key_type: KeyType, bits: int) -> KeySpec:
        """Return the kind that somebody wants.

        Args:
            key_type: RSA or Ed25519.
            bits: The length of an RSA modulus.

        Raises:
            SettingsError: KMS has no such keys.
        """
        if key_type is KeyType.ED25519:
            return _SPECS["ECC_NIST_EDWARDS25519"]
        if bits not in _RSA_BITS:
            raise SettingsError(
                f"AWS KMS has no RSA keys of {bits} bits, but of 2048, 3072 and 4096; 2048 is good"
            )
        return _SPECS[f"RSA_{bits}"]

    @classmethod
    def of(cls, private_key: RSAPrivateKey | Ed25519PrivateKey) -> KeySpec:
        """Return the kind of a key.

        Args:
            private_key: The key.

        Raises:
            SettingsError: KMS has no such keys.
        """
        public_key = PublicKey.of(private_key.public_key())
        return cls.chosen(public_key.key_type, public_key.bits)


_SPECS = {
    name: KeySpec(
        name=name,
        algorithm=Algorithm.RSA_SHA256,
        signing_algorithm="RSASSA_PKCS1_V1_5_SHA_256",
        message_type="DIGEST",
    )
    for name in (f"RSA_{bits}" for bits in _RSA_BITS)
}
# ED25519_PH_SHA_512, which KMS has too, is Ed25519ph: it hashes the digest once more.
_SPECS["ECC_NIST_EDWARDS25519"] = KeySpec(
    name="ECC_NIST_EDWARDS25519",
    algorithm=Algorithm.ED25519_SHA256,
    signing_algorithm="ED25519_SHA_512",
    message_type="RAW",
)


def public_half(octets: bytes, *, uri: str) -> PublicKey:
    """Decode a public key as KMS gives it.

    Args:
        octets: A SubjectPublicKeyInfo in DER.
        uri: What errors name.

    Raises:
        KeyUnusable: It is none, or neither RSA nor Ed25519.
    """
    try:
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, RSAPublicKey | Ed25519PublicKey):
        return PublicKey.of(key)
    raise KeyUnusable("what KMS gave as its public half is none of RSA or Ed25519", uri=uri)
