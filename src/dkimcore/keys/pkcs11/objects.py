"""The private key that a URI names: exactly one may fit, and it must be able to sign.

What it takes to use it later is put into a `TokenKey`, which holds no handles: those belong to
sessions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnusable
from dkimcore.keys.pkcs11.publichalf import public_half, read_public_file
from dkimcore.keys.pkcs11.structures import (
    Attribute,
    KeyKind,
    Mechanism,
    MechanismFlag,
    ObjectClass,
)
from dkimcore.keys.pkcs11.tokens import listed
from dkimcore.keys.pkcs11.tokenuri import TokenUri
from dkimcore.protocol.algorithm import Algorithm

if TYPE_CHECKING:
    from dkimcore.keys.pkcs11.cryptoki import Template
    from dkimcore.keys.pkcs11.sessions import Session
    from dkimcore.protocol.crypto import PublicKey

__all__ = ["ALGORITHMS", "MECHANISMS", "TokenKey", "find_key", "template_of"]

ALGORITHMS = {KeyKind.RSA: Algorithm.RSA_SHA256, KeyKind.EC_EDWARDS: Algorithm.ED25519_SHA256}
MECHANISMS = {KeyKind.RSA: Mechanism.RSA_PKCS, KeyKind.EC_EDWARDS: Mechanism.EDDSA}

_OTHER_KINDS: dict[int | None, str] = {
    1: "DSA",
    2: "Diffie-Hellman",
    3: "EC (such as P-256)",
    0x41: "X25519 or X448",
}
_ED448 = (b"\x13\x0aedwards448", bytes.fromhex("06032b6571"))  # as CKA_EC_PARAMS has it
_SHOWN = 8
_LISTED = 64  # how many keys are looked at to tell which there are


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A private key on a token.

    Attributes:
        kind: Its type.
        template: The attributes by which a session finds it.
        public_key: Its public half.
        asks_always: Whether each signature wants the PIN (CKA_ALWAYS_AUTHENTICATE).
    """

    kind: KeyKind
    template: Template
    public_key: PublicKey
    asks_always: bool

    @property
    def algorithm(self) -> Algorithm:
        """The ``a=`` that it produces."""
        return ALGORITHMS[self.kind]

    @property
    def mechanism(self) -> Mechanism:
        """What it signs with."""
        return MECHANISMS[self.kind]


def template_of(address: TokenUri, kind: ObjectClass) -> Template:
    """Return the attributes by which an object is found.

    Args:
        address: The URI.
        kind: What the object is.
    """
    template: list[tuple[Attribute, bool | int | bytes | bytearray]] = [
        (Attribute.CLASS, int(kind))
    ]
    if address.object is not None:
        template.append((Attribute.LABEL, address.object.encode()))
    if address.id is not None:
        template.append((Attribute.ID, address.id))
    return tuple(template)


def find_key(session: Session, address: TokenUri, *, public_file: str | None, uri: str) -> TokenKey:
    """Find a key and see what it is.

    Args:
        session: A session with its token.
        address: The URI.
        public_file: A file with the public half, where the token does not tell it.
        uri: What errors name.

    Raises:
        KeyNotFound: There is none.
        KeyDenied: It may not sign.
        KeyUnusable: There are several, it is of another type, or the token cannot use it.
        CryptokiError: The module failed.
    """
    template = template_of(address, ObjectClass.PRIVATE_KEY)
    found = session.cryptoki.find(session.handle, template, limit=_LISTED)
    if not found:
        raise KeyNotFound(_absent(session, address), uri=uri)
    if len(found) > 1:
        many = f"{len(found)} private keys fit"
        if address.id is None:
            raise KeyUnusable(f"{many}; add the id= of one: {_names(session, found)}", uri=uri)
        raise KeyUnusable(f"{many}, all of this id; give them different CKA_IDs", uri=uri)
    (handle,) = found
    kind = _kind(session, handle, uri)
    if _value(session, handle, Attribute.SIGN) == b"\x00":
        raise KeyDenied("the key may not sign: CKA_SIGN is false; make one that may", uri=uri)
    _check_mechanism(session, kind, uri)
    if public_file is None:
        public_key = public_half(session, handle, kind=kind, uri=uri)
    else:
        public_key = read_public_file(public_file, uri=uri)
        if public_key.key_type is not ALGORITHMS[kind].key_type:
            problem = f"{public_file} holds a key of type {public_key.key_type}, the token another"
            raise KeyUnusable(f"{problem}; name the file of this key", uri=uri)
    return TokenKey(
        kind=kind,
        template=template,
        public_key=public_key,
        asks_always=_value(session, handle, Attribute.ALWAYS_AUTHENTICATE) == b"\x01",
    )


def _value(session: Session, handle: int, kind: Attribute) -> bytes | None:
    return session.cryptoki.attribute(session.handle, handle, kind=kind)


def _kind(session: Session, handle: int, uri: str) -> KeyKind:
    octets = _value(session, handle, Attribute.KEY_TYPE)
    number = int.from_bytes(octets, sys.byteorder) if octets else None
    if number == KeyKind.RSA:
        return KeyKind.RSA
    if number == KeyKind.EC_EDWARDS:
        if _value(session, handle, Attribute.EC_PARAMS) not in _ED448:
            return KeyKind.EC_EDWARDS
        name = "Ed448"
    else:
        unknown = "of no type that it tells" if number is None else f"CKK {number:#x}"
        name = _OTHER_KINDS.get(number, unknown)
    raise KeyUnusable(f"DKIM needs an RSA or an Ed25519 key, this is {name}", uri=uri)


def _check_mechanism(session: Session, kind: KeyKind, uri: str) -> None:
    mechanism = MECHANISMS[kind]
    info = session.cryptoki.mechanism_info(session.slot, mechanism)
    if info is None or not info.flags & MechanismFlag.SIGN:
        raise KeyUnusable(
            f"the token, or a policy of it, does not sign with CKM_{mechanism.name}, which DKIM "
            "needs for this type of key; allow it, or take another type",
            uri=uri,
        )


def _absent(session: Session, address: TokenUri) -> str:
    """Say what was looked for, and what there is."""
    every = session.cryptoki.find(
        session.handle, [(Attribute.CLASS, int(ObjectClass.PRIVATE_KEY))], limit=_LISTED
    )
    labels = [
        (_value(session, handle, Attribute.LABEL) or b"").decode("utf-8", "replace")
        for handle in every
    ]
    wanted = []
    if address.object is not None:
        wanted.append(f"the label {address.object!a}")
    if address.id is not None:
        wanted.append(f"the id {address.id.hex() or 'empty'}")
    what = f" with {' and '.join(wanted)}" if wanted else ""
    return (
        f"the token {session.token.label!a} has no private key{what}; "
        f"labels of those it has: {listed(labels)}"
    )


def _names(session: Session, handles: list[int]) -> str:
    """Print keys as a URI names them."""
    names = []
    for handle in handles[:_SHOWN]:
        label = (_value(session, handle, Attribute.LABEL) or b"").decode("utf-8", "replace")
        number = _value(session, handle, Attribute.ID)
        names.append(str(TokenUri(object=label, id=number)).removesuffix(";type=private"))
    return ", ".join(sorted(names))
