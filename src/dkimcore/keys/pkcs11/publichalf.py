"""The public half of a private key on a token, from wherever the token tells it.

In this order: a file that the operator names; the private key itself; the public key beside it;
a certificate beside it.  Whether the two belong together shows when the store tests the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

from dkimcore.errors import KeyNotFound, KeyUnusable
from dkimcore.keys.pkcs11.structures import Attribute, KeyKind, ObjectClass
from dkimcore.protocol.crypto import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore.keys.pkcs11.cryptoki import Template
    from dkimcore.keys.pkcs11.sessions import Session

__all__ = ["public_half", "read_public_file"]

_FILE_OCTETS = 65_536  # a certificate with many names has a tenth of it
_FAILURES = (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, InternalError)
_ED25519_OCTETS = 32
# CKA_EC_POINT: as the standard has it, an OCTET STRING; as some tokens have it, a BIT STRING or
# nothing around.
_POINT_PREFIXES = (b"", b"\x04\x20", b"\x03\x21\x00")

_Key = RSAPublicKey | Ed25519PublicKey


def public_half(session: Session, handle: int, *, kind: KeyKind, uri: str) -> PublicKey:
    """Return the public half of a key.

    Args:
        session: A session with its token.
        handle: The private key.
        kind: Its type.
        uri: What errors name.

    Raises:
        KeyUnusable: The token does not tell it.
        CryptokiError: The module failed.
    """
    wanted = RSAPublicKey if kind is KeyKind.RSA else Ed25519PublicKey
    for found in _candidates(session, handle, kind):
        if isinstance(found, wanted):
            return PublicKey.of(found)
    raise KeyUnusable(
        "the token does not tell the public half of the key: neither the key itself does, nor a "
        "public key or a certificate with its CKA_ID; put one there, or name a file with it: "
        "&public-key=/etc/dkim/s1.public.pem",
        uri=uri,
    )


def read_public_file(path: str, *, uri: str) -> PublicKey:
    """Return the public key in a file: PEM or DER, a key or a certificate.

    Args:
        path: The file.
        uri: What errors name.

    Raises:
        KeyNotFound: There is no such file.
        KeyUnusable: It cannot be read, or holds no public key that DKIM can use.
    """
    try:
        with open(path, "rb") as file:
            octets = file.read(_FILE_OCTETS)
    except FileNotFoundError:
        raise KeyNotFound(f"{path}, named by public-key=, is not there", uri=uri) from None
    except OSError as exc:
        problem = f"{path}, named by public-key=, cannot be read: {exc.strerror}"
        raise KeyUnusable(problem, uri=uri) from None
    for load in (
        load_pem_public_key,
        load_der_public_key,
        lambda octets: load_pem_x509_certificate(octets).public_key(),
        lambda octets: load_der_x509_certificate(octets).public_key(),
    ):
        found = _loaded(load, octets)
        if found is not None:
            return PublicKey.of(found)
    raise KeyUnusable(
        f"{path} holds no public key that DKIM can use; write it as PEM: "
        "-----BEGIN PUBLIC KEY-----",
        uri=uri,
    )


def _candidates(session: Session, handle: int, kind: KeyKind) -> Iterator[object]:
    """Yield public keys that the token tells, the nearest first."""
    yield _described(session, handle, kind)
    for other in _beside(session, handle, ObjectClass.PUBLIC_KEY):
        yield _described(session, other, kind)
    for other in _beside(session, handle, ObjectClass.CERTIFICATE):
        octets = session.cryptoki.attribute(session.handle, other, kind=Attribute.VALUE) or b""
        yield _loaded(lambda octets: load_der_x509_certificate(octets).public_key(), octets)


def _beside(session: Session, handle: int, kind: ObjectClass) -> list[int]:
    """Find objects of the same CKA_ID; where the key has none, of the same CKA_LABEL."""
    for name in (Attribute.ID, Attribute.LABEL):
        value = session.cryptoki.attribute(session.handle, handle, kind=name)
        if value:
            template: Template = ((Attribute.CLASS, int(kind)), (name, value))
            return session.cryptoki.find(session.handle, template, limit=4)
    return []


def _described(session: Session, handle: int, kind: KeyKind) -> _Key | None:
    """Make a public key of the attributes of a private or a public one."""

    def value(name: Attribute) -> bytes:
        return session.cryptoki.attribute(session.handle, handle, kind=name) or b""

    found: _Key | None = None
    if kind is KeyKind.RSA:
        modulus, exponent = value(Attribute.MODULUS), value(Attribute.PUBLIC_EXPONENT)
        if modulus and exponent:
            found = _rsa(modulus, exponent)
    else:
        found = _ed25519(value(Attribute.EC_POINT))
    return found or _loaded(load_der_public_key, value(Attribute.PUBLIC_KEY_INFO))


def _rsa(modulus: bytes, exponent: bytes) -> RSAPublicKey | None:
    numbers = RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    try:
        return numbers.public_key()
    except _FAILURES:
        return None


def _ed25519(point: bytes) -> Ed25519PublicKey | None:
    for prefix in _POINT_PREFIXES:
        if point.startswith(prefix) and len(point) == len(prefix) + _ED25519_OCTETS:
            return Ed25519PublicKey.from_public_bytes(point[len(prefix) :])
    return None


def _loaded(load: Callable[[bytes], object], octets: bytes) -> _Key | None:
    try:
        found = load(octets)
    except _FAILURES:
        return None
    return found if isinstance(found, RSAPublicKey | Ed25519PublicKey) else None
