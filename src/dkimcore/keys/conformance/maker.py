"""The contract of what makes keys in a backend (`KeyMaker`)."""

from __future__ import annotations

import itertools
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from dkimcore.errors import KeyUnusable
from dkimcore.keys import KeyContext, MadeKey
from dkimcore.keys.conformance.check import BackendFault, Check
from dkimcore.keys.generation import generate_pem
from dkimcore.keys.memory import MemoryKey, decode_private_key
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.crypto import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from dkimcore.keys import KeyBackend, KeyMaker, SigningKey

__all__ = ["check_key_maker"]

_BITS = 2048


def check_key_maker(
    maker: KeyMaker,
    open_key: KeyBackend,
    unused_uri: Callable[[], str],
    *,
    context: KeyContext | None = None,
    key_types: Sequence[KeyType] = (KeyType.RSA, KeyType.ED25519),
    imports: bool = True,
) -> tuple[str, ...]:
    """Check against its contract what makes keys in a backend.

    Makes and brings in one key of each type, which stay there.  The checks, in order, and what
    each proves::

        creates rsa       create_key returns a MadeKey whose URI the backend opens; public
                          half, length and signatures belong together
        creates no other  where a key is already, create_key raises KeyUnusable and the key
                          stays what it was
        imports rsa       import_key brings in the very key: it has the same signatures
        imports no other  where a key is already, import_key raises KeyUnusable and the key
                          stays what it was
        no secrets        no secret and no private key shows in what is returned, in an event
                          or in any exception above

    and the same for ``ed25519``.  Where nothing can be brought in, the check is ``refuses
    imports``: import_key raises KeyBackendError.

    Args:
        maker: What makes keys.
        open_key: The backend that opens them.
        unused_uri: Returns where no key is yet, another place each time.
        context: What they need.
        key_types: What kinds of keys it makes.
        imports: Whether keys can be brought in.

    Returns:
        The names of the checks, all of which passed.

    Raises:
        BackendFault: The first check that failed.
        KeyUriError: What `unused_uri` returns is no key URI.
    """
    first = KeyUri.parse(unused_uri())
    check = _MakerCheck(maker, open_key, first.scheme, context=context or KeyContext())
    places = itertools.chain([first], (KeyUri.parse(unused_uri()) for _ in itertools.count()))
    return check.run(check.steps(places, key_types, imports=imports))


class _MakerCheck(Check):
    """The checks of one maker."""

    def __init__(
        self, maker: KeyMaker, open_key: KeyBackend, scheme: str, *, context: KeyContext
    ) -> None:
        super().__init__(scheme, open_key, context)
        self._maker = maker
        self._made: MadeKey

    def steps(
        self, places: Iterator[KeyUri], key_types: Sequence[KeyType], *, imports: bool
    ) -> Iterator[tuple[str, Callable[[], None]]]:
        for key_type in key_types:
            uri, other = next(places), next(places)
            create = partial(
                self._maker.create_key, uri, self.context, key_type=key_type, bits=_BITS
            )
            yield f"creates {key_type}", partial(self._creates, create, key_type)
            yield "creates no other", partial(self._makes_no_other, create)
            bring = partial(self._maker.import_key, other, self.context)
            if not imports:
                yield "refuses imports", partial(self._refuses, bring, key_type)
                continue
            yield f"imports {key_type}", partial(self._imports, bring, key_type)
            again = partial(bring, _private_key(key_type))
            yield "imports no other", partial(self._makes_no_other, again)
        yield "no secrets", self.no_secrets

    def _creates(self, create: Callable[[], MadeKey], key_type: KeyType) -> None:
        key = self._open_made(self._make(create))
        if key.public_key.key_type is not key_type:
            raise BackendFault(f"asked for {key_type}, it makes {key.public_key.key_type}")
        if key_type is KeyType.RSA and key.public_key.bits != _BITS:
            raise BackendFault(f"asked for {_BITS} bits, it makes {key.public_key.bits}")

    def _imports(
        self,
        bring: Callable[[RSAPrivateKey | Ed25519PrivateKey], MadeKey],
        key_type: KeyType,
    ) -> None:
        private_key = _private_key(key_type)
        key = self._open_made(self._make(partial(bring, private_key)))
        digest = sha256(b"imported").digest()
        if key.sign_digest(digest) != MemoryKey(private_key, name="imported").sign_digest(digest):
            raise BackendFault("the key that was brought in signs otherwise than before")

    def _refuses(
        self,
        bring: Callable[[RSAPrivateKey | Ed25519PrivateKey], MadeKey],
        key_type: KeyType,
    ) -> None:
        attempt = partial(bring, _private_key(key_type))
        self.refused("bringing in a key", attempt, otherwise="works; say imports=True")

    def _makes_no_other(self, attempt: Callable[[], MadeKey]) -> None:
        self.refused(
            "a second key in the place of the first",
            attempt,
            otherwise="is made; receivers have the public half of the first",
            kind=KeyUnusable,
        )
        self._open_made(self._made)

    def _make(self, attempt: Callable[[], MadeKey]) -> MadeKey:
        try:
            made = cast("object", attempt())
        except Exception as exc:
            raise self.fault("no key is made", exc) from exc
        if not isinstance(made, MadeKey) or type(made.public_key) is not PublicKey:
            raise BackendFault("what is returned is no MadeKey with a PublicKey")
        self._made = made
        self.seen.append(repr(made))
        return made

    def _open_made(self, made: MadeKey) -> SigningKey:
        """Open a key by the URI that was returned, and hold it against what was returned."""
        try:
            key = self.open_key(KeyUri.parse(made.uri), self.context)
            check_key(key, uri=made.uri)
        except Exception as exc:
            raise self.fault(f"the key {made.uri} is made and cannot be used", exc) from exc
        self.seen.append(repr(key))
        if key.public_key != made.public_key:
            raise BackendFault(f"{made.uri} opens a key with another public half than was returned")
        return key


def _private_key(key_type: KeyType) -> RSAPrivateKey | Ed25519PrivateKey:
    pem = generate_pem(key_type, bits=_BITS)
    return decode_private_key(pem, uri="imported", passphrase=lambda: None)
