"""Where private keys live: the interfaces every key backend keeps.

A key is named by a key URI and used through `SigningKey`; nobody outside of a
backend sees it.  `store` opens and contains backends, `registry` finds them,
`uri` parses their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dkimcore.keys.uri import KeyUri
    from dkimcore.protocol.algorithm import Algorithm
    from dkimcore.protocol.crypto import PublicKey

__all__ = ["KeyBackend", "KeyContext", "SigningKey"]


class SigningKey(Protocol):
    """A private key we may use and need not see.  Safe to share between threads."""

    @property
    def algorithm(self) -> Algorithm:
        """The ``a=`` that this key produces."""
        ...

    @property
    def public_key(self) -> PublicKey:
        """Its public half: for the self-check and for printing the key record."""
        ...

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 header hash.

        RSA: RSASSA-PKCS1-v1_5 over the digest, which is not hashed again.  Ed25519:
        PureEdDSA with the digest as the message (RFC 8463 section 3).

        Raises:
            KeyBackendError: The key could not be used; nothing else is raised.
        """
        ...


def _no_secret(name: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyContext:
    """What a backend may need besides the URI; grows without breaking backends.

    Attributes:
        secret: From a secret's name, such as ``passphrase`` or ``pin``, to its value, or None
            where the operator gave none; never taken from the URI.
        timeout: Seconds, per remote call.
        check_permissions: Refuse key files that other users can read or replace.  Containers
            that mount keys with modes of their own need it off.
        uid: The user to whom key files may belong, besides root; None means the one we run as.
            For root that becomes another user once its keys are open.
    """

    secret: Callable[[str], str | None] = field(default=_no_secret, repr=False)
    timeout: float = 5.0
    check_permissions: bool = True
    uid: int | None = None


KeyBackend = Callable[["KeyUri", KeyContext], SigningKey]
"""A backend is a function from a URI to a key; its entry point's name is the scheme."""
