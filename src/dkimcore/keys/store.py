"""The keys that are open: each opened once, checked, and contained.

`KeyStore` is what programs use.  It finds the backend, tests each key before anything is
signed with it, and lets nothing but `KeyBackendError` out of a backend.  What a key is and
where it lives is left to the backends.

Threads: every method may be called from any thread; a key that several ask for at once is
opened once.  Fork: open the store after forking, for a key may hold a connection.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dkimcore.errors import (
    ConfigError,
    DkimError,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    StateError,
)
from dkimcore.keys import KeyContext
from dkimcore.keys.contain import Containment
from dkimcore.keys.registry import KeyBackends
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.uri import KeyUri

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dkimcore.errors import KeyBackendError
    from dkimcore.keys import SigningKey

__all__ = ["KeyStore"]


class _StoredKey:
    """A checked key that raises `KeyBackendError` only."""

    __slots__ = ("_containment", "_key", "_length", "_sign", "algorithm", "public_key", "uri")

    def __init__(self, key: SigningKey, *, uri: str, containment: Containment) -> None:
        self._length = check_key(key, uri=uri)
        self._key = key
        self._sign: Callable[[bytes], bytes] = key.sign_digest
        self._containment = containment
        self.uri = uri
        # Kept, for a backend may compute or fetch them.
        self.algorithm = key.algorithm
        self.public_key = key.public_key

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 header hash (see `SigningKey.sign_digest`)."""
        if type(digest) is not bytes or len(digest) != 32:
            raise KeyUnusable("a key signs a SHA-256 digest, 32 octets", uri=self.uri)
        try:
            signature_data = self._sign(digest)
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is contained
            error = self._containment.contain(exc, uri=self.uri)
        else:
            if type(signature_data) is bytes and len(signature_data) == self._length:
                return signature_data
            error = KeyUnusable(
                "its backend returned something else than a signature", uri=self.uri
            )
        raise error

    @property
    def can_be_closed(self) -> bool:
        """Whether it holds more than memory."""
        return callable(getattr(self._key, "close", None))

    def close(self) -> None:
        """End the use of the key, and close it if it can be closed."""
        self._sign = self._refuse
        close = getattr(self._key, "close", None)
        if callable(close):
            close()

    def _refuse(self, _: bytes) -> bytes:
        raise KeyUnusable("its KeyStore is closed", uri=self.uri)

    def __repr__(self) -> str:
        return f"<key {self.uri} {self.algorithm}, {self.public_key.bits} bits>"


@dataclass(slots=True)
class _Opening:
    """A key that one thread is opening and others may wait for."""

    done: threading.Event = field(default_factory=threading.Event)
    key: _StoredKey | None = None
    error: DkimError | None = None


class KeyStore:
    """Opens each key URI once, checks it, and contains whatever its backend raises.

    A context manager; `close` ends the use of every key it gave out, but those in memory that
    it was told to `forget`.  A key that could not be opened is tried again the next time it
    is asked for.

    Args:
        context: Where secrets come from, and limits for backends.
    """

    __slots__ = (
        *("_backends", "_closed", "_containment", "_forgotten", "_keys"),
        *("_lock", "_openings"),
    )

    def __init__(self, *, context: KeyContext | None = None) -> None:
        self._backends = KeyBackends()
        self._containment = Containment(KeyContext() if context is None else context)
        self._keys: dict[str, _StoredKey] = {}
        self._openings: dict[str, _Opening] = {}
        self._forgotten: list[_StoredKey] = []
        self._lock = threading.Lock()
        self._closed = False

    def get(self, uri: str) -> SigningKey:
        """Return the key that a URI names, opening it if it is not open.

        Args:
            uri: A key URI, or the path of a file.

        Raises:
            ConfigError: The URI is malformed (`KeyUriError`), or has an unknown or disputed
                scheme.
            KeyBackendError: The key cannot be opened or failed its check; which subclass,
                see `dkimcore.errors`.
            StateError: The store is closed.
        """
        key = self._keys.get(uri)
        if key is not None:
            return key
        parsed = KeyUri.parse(uri)
        name = str(parsed)
        with self._lock:
            self._refuse_when_closed()
            key = self._keys.get(name)
            if key is not None:
                self._keys[uri] = key  # the next message finds it under this spelling
                return key
            opening = self._openings.get(name)
            ours = opening is None
            if opening is None:
                opening = self._openings[name] = _Opening()
        if ours:
            self._finish(opening, parsed, name)
        opening.done.wait()
        if opening.key is None:
            raise opening.error or KeyUnavailable("opening it was interrupted", uri=name)
        return opening.key

    def is_open(self, uri: str) -> bool:
        """Whether `get` has a key at hand under this spelling: it need not be opened."""
        return uri in self._keys

    def add(self, uri: str, key: SigningKey) -> None:
        """Put in a key that is open already, such as one from a row of a key table.

        Args:
            uri: The name under which `get` finds it, such as ``inline:name``.
            key: The key; it is checked like all others.

        Raises:
            KeyUriError: The URI is malformed.
            KeyBackendError: The key failed its check.
            StateError: There is a key of this name, or the store is closed.
        """
        name = str(KeyUri.parse(uri))
        stored = self._contained(lambda: key, name)
        with self._lock:
            self._refuse_when_closed()
            if name in self._keys or name in self._openings:
                raise StateError(f"the key {name} is in this KeyStore already")
            self._keys[name] = stored

    def forget(self, uri: str) -> None:
        """Open a key anew the next time it is asked for; does nothing if it is not open.

        Whoever has the old key goes on signing with it.  One that holds a connection is
        closed with the store.

        Args:
            uri: A key URI, or the path of a file.

        Raises:
            KeyUriError: The URI is malformed.
        """
        name = str(KeyUri.parse(uri))
        with self._lock:
            key = self._keys.get(name)
            if key is None:
                return
            for spelling in [each for each, known in self._keys.items() if known is key]:
                del self._keys[spelling]
            if key.can_be_closed:
                self._forgotten.append(key)

    def close(self) -> None:
        """Close every key; calling it again does nothing.

        Raises:
            KeyBackendError: A backend failed to close its key; the others are closed.
        """
        with self._lock:
            self._closed = True
            keys = dict.fromkeys((*self._keys.values(), *self._forgotten))
            self._keys.clear()
            self._forgotten.clear()
        errors = [error for error in map(self._close, keys) if error is not None]
        if errors:
            raise errors[0]

    def __enter__(self) -> KeyStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KeyStore of {len(set(self._keys.values()))} keys>"

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StateError("the KeyStore is closed")

    def _close(self, key: _StoredKey) -> KeyBackendError | None:
        try:
            key.close()
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is contained
            return self._containment.contain(exc, uri=key.uri)
        return None

    def _finish(self, opening: _Opening, uri: KeyUri, name: str) -> None:
        """Open a key and wake up whoever waits for it, come what may."""
        try:
            opening.key = self._contained(lambda: self._open(uri, name), name)
        except DkimError as exc:
            opening.error = exc
        finally:
            with self._lock:
                del self._openings[name]
                late = opening.key if self._closed else None
                if late is not None:
                    opening.key, opening.error = None, StateError("the KeyStore is closed")
                elif opening.key is not None:
                    self._keys[name] = opening.key
            opening.done.set()
            if late is not None:
                self._close(late)

    def _open(self, uri: KeyUri, name: str) -> SigningKey:
        if uri.scheme == "inline":
            raise KeyNotFound("no key was added under this name", uri=name)
        return self._backends.get(uri.scheme)(uri, self._containment.context)

    def _contained(self, make: Callable[[], SigningKey], name: str) -> _StoredKey:
        error: DkimError
        try:
            return _StoredKey(make(), uri=name, containment=self._containment)
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is contained
            if isinstance(exc, ConfigError) and not self._containment.holds_secret(exc):
                error = exc
            else:
                error = self._containment.contain(exc, uri=name)
        raise error
