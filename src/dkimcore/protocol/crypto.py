"""Public keys: decode ``p=`` and check a signature over a hash (RFC 6376 section 3.3, RFC 8463).

The only module of the protocol that touches `cryptography`.  All arithmetic is
OpenSSL's; sizes are bounded before any is done (RFC 6376 section 8.13).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from dkimcore.protocol.algorithm import Algorithm, HashAlgorithm, KeyType
from dkimcore.protocol.result import Cause, Unusable

__all__ = ["PublicKey"]

_PADDING = PKCS1v15()
_PREHASHED = {
    HashAlgorithm.SHA256: Prehashed(SHA256()),
    HashAlgorithm.SHA1: Prehashed(SHA1()),  # noqa: S303 - archives only; policy guards it
}

# RFC 6376 section 8.13 asks to refuse unreasonable exponents.  OpenSSL's own ceiling for long
# moduli is 64 bits; no key in use has more than 32.
_MAX_EXPONENT = 2**32

# Points of small order (RFC 8032 section 5.1: the cofactor is 8), the sign bit cleared.  A key
# that is one of them lets anybody make signatures, as an RSA exponent of 1 does.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def _is_point(octets: bytes) -> bool:
    """Whether 32 octets encode a point (RFC 8032 section 5.1.3).

    OpenSSL looks only when it verifies, and then says that the signature is wrong.  Nothing
    here is secret.
    """
    y = int.from_bytes(octets, "little") & (2**255 - 1)
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    return y < _P and pow(x_squared, (_P - 1) // 2, _P) in (0, 1)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that signatures can be checked with.

    Attributes:
        key_type: The ``k=`` it belongs to.
        bits: Length of the modulus; 256 for Ed25519.
    """

    key_type: KeyType
    bits: int
    _key: RSAPublicKey | Ed25519PublicKey = field(repr=False, compare=False)
    _encoded: bytes = field(repr=False)

    @classmethod
    def decode(cls, octets: bytes, key_type: KeyType) -> PublicKey:
        """Decode the octets of ``p=``.

        RSA: a SubjectPublicKeyInfo, which all signers publish, or the bare RSAPublicKey
        that RFC 6376 section 3.6.1 names.  Ed25519: the 32 octets (RFC 8463 section 4).

        Raises:
            Unusable: They are no such key, or one that proves nothing.
        """
        if key_type is KeyType.ED25519:
            return cls._decode_ed25519(octets)
        try:
            key = load_der_public_key(octets)
        except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, InternalError):
            raise Unusable(Cause.KEY_SYNTAX_ERROR, "p= is not a usable RSA public key") from None
        if not isinstance(key, RSAPublicKey):
            raise Unusable(Cause.KEY_SYNTAX_ERROR, "p= is a key of another type than RSA")
        numbers = key.public_numbers()
        if not 3 <= numbers.e < _MAX_EXPONENT or numbers.e % 2 == 0 or numbers.n % 2 == 0:
            raise Unusable(Cause.KEY_UNACCEPTABLE, "the RSA key's exponent or modulus is unsafe")
        return cls(KeyType.RSA, key.key_size, key, octets)

    @classmethod
    def _decode_ed25519(cls, octets: bytes) -> PublicKey:
        if len(octets) != 32:
            raise Unusable(
                Cause.KEY_SYNTAX_ERROR, f"an Ed25519 key has 32 octets, p= has {len(octets)}"
            )
        if octets[:31] + bytes([octets[31] & 0x7F]) in _SMALL_ORDER:
            raise Unusable(Cause.KEY_UNACCEPTABLE, "the Ed25519 key is a point of small order")
        if not _is_point(octets):
            raise Unusable(Cause.KEY_SYNTAX_ERROR, "p= is not a point of Ed25519's curve")
        return cls(KeyType.ED25519, 256, Ed25519PublicKey.from_public_bytes(octets), octets)

    @classmethod
    def of(cls, key: RSAPublicKey | Ed25519PublicKey) -> PublicKey:
        """Wrap a public key of `cryptography`."""
        if isinstance(key, RSAPublicKey):
            der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return cls(KeyType.RSA, key.key_size, key, der)
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(KeyType.ED25519, 256, key, raw)

    def encode(self) -> bytes:
        """Return the octets to publish in ``p=``, before base64."""
        return self._encoded

    def verifies(self, signature_data: bytes, header_hash: bytes, algorithm: Algorithm) -> bool:
        """Whether the signature data fit the header hash (RFC 6376 section 6.1.3 step 4).

        RSA: RSASSA-PKCS1-v1_5 over the hash.  Ed25519: PureEdDSA with the hash as the
        message (RFC 8463 section 3).  A key of another type never fits.
        """
        if self.key_type is not algorithm.key_type:
            return False
        try:
            # key_type says which it is; isinstance on these abstract classes costs a microsecond
            if self.key_type is KeyType.RSA:
                prehashed = _PREHASHED[algorithm.hash_algorithm]
                rsa_key = cast("RSAPublicKey", self._key)
                rsa_key.verify(signature_data, header_hash, _PADDING, prehashed)
            else:
                cast("Ed25519PublicKey", self._key).verify(signature_data, header_hash)
        except (InvalidSignature, ValueError, UnsupportedAlgorithm, InternalError):
            # Besides a mismatch: a key that OpenSSL refuses, SHA-1 switched off by the system.
            return False
        return True
