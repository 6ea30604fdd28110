"""What the objects of a key pair on a token are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from dkimcore.keys.pkcs11.structures import Attribute, KeyKind, ObjectClass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from dkimcore.keys.pkcs11.cryptoki import Template
    from dkimcore.keys.pkcs11.tokenuri import TokenUri

__all__ = ["CURVE_NAMES", "Imported", "new_private", "new_public"]

CURVE_NAMES = (b"\x13\x0cedwards25519", bytes.fromhex("06032b6570"))
"""CKA_EC_PARAMS of Ed25519: as PKCS #11 has it, and by the OID of RFC 8410 section 3."""


def _names(address: TokenUri) -> Template:
    label, number = address.object or "", address.id or b""
    return ((Attribute.LABEL, label.encode()), (Attribute.ID, number))


def new_public(address: TokenUri) -> Template:
    """Return what every public key that we make has.

    Args:
        address: Its label and id.
    """
    return (
        (Attribute.TOKEN, True),
        (Attribute.PRIVATE, False),  # its owner's neighbours may see it, and so can publish it
        (Attribute.VERIFY, True),
        *_names(address),
    )


def new_private(address: TokenUri) -> Template:
    """Return what every private key that we make has.

    Args:
        address: Its label and id.
    """
    return (
        (Attribute.TOKEN, True),
        (Attribute.PRIVATE, True),
        (Attribute.SENSITIVE, True),
        (Attribute.EXTRACTABLE, False),
        (Attribute.SIGN, True),
        *_names(address),
    )


class Imported:
    """A key pair as a token takes it.  A context manager: the numbers are wiped at its end.

    Wiped are the copies made here; those that OpenSSL and Python hold are theirs.

    Args:
        private_key: The key pair.
        address: Its label and id.

    Attributes:
        private: What the private key is made of.
        public: What the public key is made of.
    """

    def __init__(
        self, private_key: RSAPrivateKey | Ed25519PrivateKey, *, address: TokenUri
    ) -> None:
        self._secrets: list[bytearray] = []
        public, private = new_public(address), new_private(address)
        is_rsa = isinstance(private_key, RSAPrivateKey)
        kind = (Attribute.KEY_TYPE, int(KeyKind.RSA if is_rsa else KeyKind.EC_EDWARDS))
        public_numbers, numbers = (
            self._rsa(private_key)
            if isinstance(private_key, RSAPrivateKey)
            else self._ed25519(private_key)
        )
        self.public: Template = (
            (Attribute.CLASS, int(ObjectClass.PUBLIC_KEY)),
            kind,
            *public,
            *public_numbers,
        )
        self.private: Template = (
            (Attribute.CLASS, int(ObjectClass.PRIVATE_KEY)),
            kind,
            *private,
            *numbers,
        )

    def __enter__(self) -> Imported:
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._secrets:
            number[:] = bytes(len(number))

    def _rsa(self, private_key: RSAPrivateKey) -> tuple[Template, Template]:
        numbers = private_key.private_numbers()
        public: Template = (
            (Attribute.MODULUS, _octets(numbers.public_numbers.n)),
            (Attribute.PUBLIC_EXPONENT, _octets(numbers.public_numbers.e)),
        )
        secret = (
            (Attribute.PRIVATE_EXPONENT, numbers.d),
            (Attribute.PRIME_1, numbers.p),
            (Attribute.PRIME_2, numbers.q),
            (Attribute.EXPONENT_1, numbers.dmp1),
            (Attribute.EXPONENT_2, numbers.dmq1),
            (Attribute.COEFFICIENT, numbers.iqmp),
        )
        return public, (
            *public,
            *((name, self._secret(bytearray(_octets(value)))) for name, value in secret),
        )

    def _ed25519(self, private_key: Ed25519PrivateKey) -> tuple[Template, Template]:
        point = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        seed = private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        curve: Template = ((Attribute.EC_PARAMS, CURVE_NAMES[0]),)
        return (
            (*curve, (Attribute.EC_POINT, b"\x04\x20" + point)),
            (*curve, (Attribute.VALUE, self._secret(bytearray(seed)))),
        )

    def _secret(self, octets: bytearray) -> bytearray:
        self._secrets.append(octets)
        return octets


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
