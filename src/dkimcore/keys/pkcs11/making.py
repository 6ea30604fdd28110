"""Make keys on a token, or bring them there: the key maker of the scheme ``pkcs11:``.

A key made here never leaves: it is sensitive and cannot be extracted.  What it is made of is
left to `templates`; finding it afterwards, as signing does, to `objects`.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from dkimcore.errors import KeyBackendError, KeyUnusable, KeyUriError
from dkimcore.keys import MadeKey
from dkimcore.keys.memory import without_frames
from dkimcore.keys.pkcs11.cryptoki import CryptokiError
from dkimcore.keys.pkcs11.key import open_key
from dkimcore.keys.pkcs11.objects import template_of
from dkimcore.keys.pkcs11.settings import TokenSettings
from dkimcore.keys.pkcs11.structures import Attribute, Mechanism, ObjectClass
from dkimcore.keys.pkcs11.templates import CURVE_NAMES, Imported, new_private, new_public
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from dkimcore.keys import KeyContext
    from dkimcore.keys.pkcs11.sessions import Session
    from dkimcore.keys.pkcs11.tokenuri import TokenUri

__all__ = ["PKCS11"]

_ID_OCTETS = 16
_BITS = (1024, 8192)  # RFC 8301 section 3.2, and what VerifyPolicy accepts
# ATTRIBUTE_VALUE_INVALID, TEMPLATE_INCONSISTENT, DOMAIN_PARAMS_INVALID, CURVE_NOT_SUPPORTED
_CURVE_REFUSED = frozenset({0x13, 0xD1, 0x130, 0x140})
# Making an RSA key takes a smart card half a minute.
_PATIENCE = 120.0


class _Pkcs11Maker:
    """A `KeyMaker`."""

    def create_key(
        self, uri: KeyUri, context: KeyContext, *, key_type: KeyType, bits: int
    ) -> MadeKey:
        """Make a key pair on a token (see `KeyMaker.create_key`).

        Args:
            uri: The token, the label (``object=``), and the id if not a random one.
            context: As for `open_key`.
            key_type: RSA or Ed25519.
            bits: The length of an RSA modulus.

        Raises:
            ConfigError: The URI or its section is wrong.
            KeyBackendError: There is such a key, or the token cannot make it.
        """
        if key_type is KeyType.RSA and not _BITS[0] <= bits <= _BITS[1]:
            problem = (
                f"an RSA key of {bits} bits is refused: verifiers take {_BITS[0]} to {_BITS[1]}"
            )
            raise KeyUnusable(f"{problem} (RFC 8301 section 3.2); 2048 is good", uri=str(uri))

        def make(session: Session, address: TokenUri) -> None:
            if key_type is KeyType.ED25519:
                _generate_ed25519(session, address)
            else:
                _generate_rsa(session, address, bits)

        return _made(uri, context, make=make, doing="making the key")

    def import_key(
        self, uri: KeyUri, context: KeyContext, private_key: RSAPrivateKey | Ed25519PrivateKey
    ) -> MadeKey:
        """Bring a key pair to a token (see `KeyMaker.import_key`).

        Args:
            uri: The token, the label (``object=``), and the id if not a random one.
            context: As for `open_key`.
            private_key: The key.

        Raises:
            ConfigError: The URI or its section is wrong.
            KeyBackendError: There is such a key, or the token does not take it.
        """

        def make(session: Session, address: TokenUri) -> None:
            with Imported(private_key, address=address) as templates:
                for template in (templates.private, templates.public):
                    session.cryptoki.create_object(session.handle, template)

        return _made(uri, context, make=make, doing="bringing the key to the token")


PKCS11 = _Pkcs11Maker()
"""The `KeyMaker` of the scheme ``pkcs11:``."""


def _made(
    uri: KeyUri,
    context: KeyContext,
    *,
    make: Callable[[Session, TokenUri], None],
    doing: str,
) -> MadeKey:
    """Make a key, see that it signs as it should, and name it so that nothing else is meant."""
    settings = TokenSettings.of(uri, context)
    if settings.address.object is None and settings.address.id is None:
        raise KeyUriError("name the key that is to be made: pkcs11:token=...;object=LABEL")
    if settings.public_key is not None:
        raise KeyUriError("public-key= is for keys that exist; take it out")
    if settings.address.id is None:
        address = replace(settings.address, id=secrets.token_bytes(_ID_OCTETS))
        settings = replace(settings, address=address)
    pinned = _pinned(uri, settings)

    is_ours = False

    def work(session: Session) -> None:
        nonlocal is_ours
        if not is_ours:
            _refuse_existing(session, settings.address, str(uri))
        is_ours = True
        make(session, settings.address)

    refusal: KeyBackendError
    try:
        settings.pool.run(work, uri=str(uri), doing=doing, timeout=_PATIENCE, writable=True)
        key = open_key(pinned, context)
        check_key(key, uri=str(pinned))
    except KeyBackendError as exc:
        refusal = without_frames(exc)
        if is_ours:
            _delete(settings, str(uri))
    else:
        return MadeKey(uri=str(pinned), public_key=key.public_key)
    raise refusal


def _pinned(uri: KeyUri, settings: TokenSettings) -> KeyUri:
    """Return the URI with the key's id."""
    query = "&".join(f"{name}={quote(value, '/:,')}" for name, value in uri.options.items())
    return KeyUri.parse(f"pkcs11:{settings.address}" + (f"?{query}" if query else ""))


def _refuse_existing(session: Session, address: TokenUri, uri: str) -> None:
    """Refuse a label or an id that is taken: another key would lose its name."""
    for each in (replace(address, object=None), replace(address, id=None)):
        if each.object is None and each.id is None:
            continue
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
            if session.cryptoki.find(session.handle, template_of(each, kind), limit=1):
                what = (
                    f"the label {each.object!a}" if each.id is None else f"the id {each.id.hex()}"
                )
                raise KeyUnusable(
                    f"the token has a key with {what} already; choose another, or delete that one "
                    "by pkcs11-tool --delete-object",
                    uri=uri,
                )


def _generate_rsa(session: Session, address: TokenUri, bits: int) -> None:
    session.cryptoki.generate_key_pair(
        session.handle,
        Mechanism.RSA_PKCS_KEY_PAIR_GEN,
        public=[
            *new_public(address),
            (Attribute.MODULUS_BITS, bits),
            (Attribute.PUBLIC_EXPONENT, b"\x01\x00\x01"),
        ],
        private=new_private(address),
    )


def _generate_ed25519(session: Session, address: TokenUri) -> None:
    for name in CURVE_NAMES:
        try:
            session.cryptoki.generate_key_pair(
                session.handle,
                Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
                public=[*new_public(address), (Attribute.EC_PARAMS, name)],
                private=new_private(address),
            )
        except CryptokiError as exc:
            if exc.code not in _CURVE_REFUSED or name == CURVE_NAMES[-1]:
                raise
        else:
            return


def _delete(settings: TokenSettings, uri: str) -> None:
    """Delete what was made and is no good; its label and id were nobody's before."""

    def work(session: Session) -> None:
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
            template = template_of(settings.address, kind)
            for handle in session.cryptoki.find(session.handle, template, limit=4):
                session.cryptoki.destroy_object(session.handle, handle)

    # What is raised already says more than that this failed too.
    with contextlib.suppress(KeyBackendError):
        settings.pool.run(work, uri=uri, doing="deleting the key", timeout=_PATIENCE, writable=True)
