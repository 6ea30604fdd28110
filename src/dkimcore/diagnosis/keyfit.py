"""Whether a signature was made with a key at all, and over which hash.

An RSA signature that was made with a key gives back the header hash that the signer
signed (RFC 8017 section 8.2.2).  Trying a repaired header is then a comparison of hashes;
and a signature that gives back nothing shows that the key is another one.  Ed25519 gives
nothing back: each trial is a verification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.protocol.algorithm import Algorithm, KeyType

if TYPE_CHECKING:
    from dkimcore.protocol.crypto import PublicKey
    from dkimcore.protocol.signature import Signature

__all__ = ["KeyFit"]

# DigestInfo of RFC 8017 section 9.2 note 1, up to the hash.
_DIGEST_INFO = {
    Algorithm.RSA_SHA256: bytes.fromhex("3031300d060960864801650304020105000420"),
    Algorithm.RSA_SHA1: bytes.fromhex("3021300906052b0e03021a05000414"),
}

_ED25519_COST = 100_000  # what one verification takes, in octets hashed
_HASH_COST = 1_000


class KeyFit:
    """Tells whether a header hash is the one that was signed.

    Args:
        signature: The signature.
        public_key: The key of its key record.

    Attributes:
        signed_hash: The hash that was signed, where it can be known.
        is_other_key: Whether it is certain that another key made the signature, or that its
            data were damaged.
        cost: What `fits` takes, in octets hashed.
    """

    __slots__ = ("_public_key", "_signature", "cost", "is_other_key", "signed_hash")

    def __init__(self, signature: Signature, public_key: PublicKey) -> None:
        self._signature = signature
        self._public_key = public_key
        self.signed_hash: bytes | None = None
        self.is_other_key = False
        self.cost = _ED25519_COST
        if public_key.key_type is KeyType.RSA:
            self.cost = _HASH_COST
            self.signed_hash = _recover(signature, public_key)
            self.is_other_key = self.signed_hash is None

    def fits(self, header_hash: bytes) -> bool:
        """Whether the signature is one over this hash."""
        if self._public_key.key_type is KeyType.RSA:
            return header_hash == self.signed_hash
        return self._public_key.verifies(
            self._signature.signature_data, header_hash, self._signature.algorithm
        )


def _recover(signature: Signature, public_key: PublicKey) -> bytes | None:
    numbers = _rsa_numbers(public_key.encode())
    if numbers is None:
        return None
    modulus, exponent = numbers
    size = (modulus.bit_length() + 7) // 8
    if len(signature.signature_data) != size:
        return None
    block = pow(int.from_bytes(signature.signature_data, "big"), exponent, modulus)
    encoded = block.to_bytes(size, "big")
    prefix = _DIGEST_INFO.get(signature.algorithm, b"")
    length = signature.algorithm.hash_algorithm.digest_size
    padding = size - 3 - len(prefix) - length
    if encoded[:-length] == b"\0\1" + b"\xff" * padding + b"\0" + prefix:
        return encoded[-length:]
    return None


def _rsa_numbers(encoded: bytes) -> tuple[int, int] | None:
    """Return modulus and exponent of a key that `PublicKey` has decoded: two INTEGERs."""
    try:
        tag, content, _ = _element(encoded)
        first, inner, rest = _element(content)
        if first == 0x30:  # SubjectPublicKeyInfo: an algorithm, then the key in a BIT STRING
            _, bits, _ = _element(rest)
            _, content, _ = _element(bits[1:])
            first, inner, rest = _element(content)
        second, exponent, _ = _element(rest)
    except IndexError:
        return None
    if (tag, first, second) != (0x30, 0x02, 0x02):
        return None
    return int.from_bytes(inner, "big"), int.from_bytes(exponent, "big")


def _element(octets: bytes) -> tuple[int, bytes, bytes]:
    """Split off a DER element: its tag, its content, what follows."""
    length, start = octets[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(octets[2:start], "big")
    return octets[0], octets[start : start + length], octets[start + length :]
