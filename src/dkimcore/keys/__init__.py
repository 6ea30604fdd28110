"""Where private keys live: the interfaces every key backend keeps.

A key is named by a key URI and used through `SigningKey`; nobody outside of a
backend sees it.  `store` opens and contains backends, `registry` finds them,
`uri` parses their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dkimcore.keys.endpoint import Endpoint, EndpointLimits
from dkimcore.keys.events import LoggingObserver
from dkimcore.keys.resources import Resources
from dkimcore.keys.sections import Sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from dkimcore.errors import KeyBackendError
    from dkimcore.keys.events import KeyObserver
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.uri import KeyUri
    from dkimcore.protocol.algorithm import Algorithm, KeyType
    from dkimcore.protocol.crypto import PublicKey

__all__ = ["KeyBackend", "KeyContext", "KeyMaker", "MadeKey", "RemoteKey", "SigningKey"]


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


class RemoteKey(SigningKey, Protocol):
    """A private key that signs elsewhere, so that a signature may be slow or not come at all.

    `KeyStore` asks it through its endpoint, in threads of its own; `RemoteKeyBase` has what all
    such keys have in common.
    """

    endpoint: Endpoint
    """From `KeyContext.endpoint`: the keys behind one address and login share it."""

    batch: int
    """How many digests one call takes at most; 1 where there is no such call."""

    def sign_digests(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        """Sign SHA-256 header hashes in one round trip, trying once.

        Args:
            digests: At most `batch`, as `SigningKey.sign_digest` takes them.
            timeout: Seconds that the call may take.

        Returns:
            For each digest its signature, or why there is none.

        Raises:
            KeyBackendError: There is none for all of them; `KeyUnavailable` if asking again
                may help.
        """
        ...


def _no_secret(name: str) -> str | None:
    return None


def _conceal_nothing(text: str) -> None:
    pass


def _as_it_is(text: str) -> str:
    return text


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
        sections: Where key backends are, and how to log in there.
        observer: Hears of loads, refusals, renewals and round trips.
        conceal: Takes a secret that the backend came by itself, such as the token of a login,
            so that it is found where a library puts it into an exception.
        withhold: Returns a text, or what stands for it where such a secret shows.
        resources: What the keys of a store share; each `KeyStore` has its own.
    """

    secret: Callable[[str], str | None] = field(default=_no_secret, repr=False)
    timeout: float = 5.0
    check_permissions: bool = True
    uid: int | None = None
    sections: Sections = field(default_factory=Sections)
    observer: KeyObserver = field(default_factory=LoggingObserver)
    conceal: Callable[[str], None] = field(default=_conceal_nothing, repr=False)
    withhold: Callable[[str], str] = field(default=_as_it_is, repr=False)
    resources: Resources = field(default_factory=Resources, repr=False, compare=False)

    def endpoint(
        self, section: BackendSection, *, threads: int = 16, part: str | None = None
    ) -> Endpoint:
        """Return the endpoint that the keys of a section share.

        Args:
            section: The section.
            threads: How many calls may be under way, where the section does not say it.
            part: Which part of it, where one may be down while another is not: a region.

        Raises:
            ConfigError: A limit in the section cannot be.
        """

        def make() -> Endpoint:
            return Endpoint(
                f"{section.kind}:{section.name}" + ("" if part is None else f"/{part}"),
                limits=EndpointLimits.of(section, threads=threads),
                observer=self.observer,
                resources=self.resources,
                withhold=self.withhold,
            )

        return self.resources.get(("endpoint", section.kind, section.name, part), make)


KeyBackend = Callable[["KeyUri", KeyContext], SigningKey]
"""A backend is a function from a URI to a key; its entry point's name is the scheme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A private key that was made in, or brought to, a backend.

    Attributes:
        uri: Its URI for a key table; pins this very key.
        public_key: Its public half.
    """

    uri: str
    public_key: PublicKey


class KeyMaker(Protocol):
    """Makes keys in a backend: the entry point of the scheme in ``dkimcore.keymakers``.

    Any object with these two functions, such as a module.
    """

    def create_key(
        self, uri: KeyUri, context: KeyContext, *, key_type: KeyType, bits: int
    ) -> MadeKey:
        """Make a key where it will stay.

        Args:
            uri: Where; a version in it is none yet.
            context: As for a `KeyBackend`.
            key_type: RSA or Ed25519.
            bits: The length of an RSA modulus.

        Raises:
            ConfigError: The URI or a section is wrong.
            KeyBackendError: There is a key already (`KeyUnusable`), or it cannot be made.
        """
        ...

    def import_key(
        self, uri: KeyUri, context: KeyContext, private_key: RSAPrivateKey | Ed25519PrivateKey
    ) -> MadeKey:
        """Bring a key that exists to where it will stay, so that its DNS record stays good.

        Args:
            uri: Where.
            context: As for a `KeyBackend`.
            private_key: The key.

        Raises:
            ConfigError: The URI or a section is wrong.
            KeyBackendError: There is a key already, or the backend cannot take this one
                (`KeyUnusable`), or not now.
        """
        ...
