"""The keys that are open: each opened once, checked, contained, and kept fresh.

`KeyStore` is what programs use.  It finds the backend, tests each key before anything is
signed with it, and lets nothing but `KeyBackendError` out of a backend.  What a key is and
where it lives is left to the backends.

Threads: every method may be called from any thread; a key that several ask for at once is
opened once.  Fork: a child has connections, logins and threads of its own, made when they are
first used.
"""

from __future__ import annotations

import contextlib
import threading
from hashlib import sha256
from logging import INFO, WARNING
from typing import TYPE_CHECKING, cast

from dkimcore.errors import (
    ConfigError,
    DkimError,
    KeyNotFound,
    KeyUnavailable,
    StateError,
)
from dkimcore.keys import KeyContext
from dkimcore.keys.contain import Containment
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.failures import Failures
from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.opening import Openers, Opening
from dkimcore.keys.refreshing import Refresher
from dkimcore.keys.registry import KeyBackends
from dkimcore.keys.stored import StoredKey, is_local_scheme, stored_key
from dkimcore.keys.tracebacks import fresh_copy
from dkimcore.keys.uri import KeyUri

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dkimcore.errors import KeyBackendError
    from dkimcore.keys import SigningKey
    from dkimcore.keys.fetched import FetchedKey

__all__ = ["KeyStore"]


_OPENING = 32
"""How many keys that are kept elsewhere are opened at once; others wait."""


class KeyStore:
    """Opens each key URI once, checks it, and contains whatever its backend raises.

    A context manager; `close` ends the use of every key it gave out, but those in memory that
    it was told to `forget`.  A key that could not be opened is tried again the next time it
    is asked for; one that is kept elsewhere not at once (`StoreSettings.negative`).

    Args:
        context: Where secrets come from, where backends are, and limits for them.
    """

    __slots__ = (
        *("__weakref__", "_backends", "_closed", "_containment", "_failures", "_forgotten"),
        *("_keys", "_lock", "_openers", "_openings", "_refreshers"),
    )

    def __init__(self, *, context: KeyContext | None = None) -> None:
        self._backends = KeyBackends()
        self._containment = Containment(KeyContext() if context is None else context)
        self._keys: dict[str, StoredKey] = {}
        self._failures = Failures()
        self._refreshers: dict[str, Refresher] = {}
        self._forgotten: list[StoredKey] = []
        self._closed = False
        self._openers = Openers(_OPENING)
        self._start()
        renew_after_fork(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._openings: dict[str, Opening] = {}

    def after_fork(self) -> None:
        """Go on in a child process: what the parent was opening is nothing here."""
        self._start()
        self._openers.after_fork()
        self._failures.after_fork()
        for refresher in self._refreshers.values():
            refresher.begin()

    @property
    def context(self) -> KeyContext:
        """What backends are opened with."""
        return self._containment.context

    @property
    def oldest_confirmation(self) -> float:
        """Seconds since its backend confirmed the fetched key that waits longest for it."""
        return max((each.age for each in tuple(self._refreshers.values())), default=0.0)

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
            self._failures.refuse(name)
            opening = self._openings.get(name)
            ours = opening is None
            if opening is None:
                opening = self._openings[name] = Opening()
        if is_local_scheme(parsed.scheme):
            if ours:
                self._finish(opening, parsed, name)
            opening.done.wait()
        else:
            self._wait_for(opening, parsed, name, ours=ours)
        if opening.key is None:
            error = opening.error or KeyUnavailable("opening it was interrupted", uri=name)
            raise fresh_copy(error)
        return opening.key

    def _wait_for(self, opening: Opening, uri: KeyUri, name: str, *, ours: bool) -> None:
        """Wait until a key is open that is kept elsewhere; it goes on being opened after that."""
        seconds = self.context.sections.store.deadline
        if ours and not self._openers.begin(lambda: self._finish(opening, uri, name)):
            error = KeyUnavailable("the system has no thread to open it; see its limits", uri=name)
            self._conclude(opening, name, error, is_local=False)
        if not opening.done.wait(seconds):
            raise KeyUnavailable(
                "it is not open yet: its backend is slow or down, and goes on being asked", uri=name
            )

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
            self._failures.forget(name)
            key = self._keys.get(name)
            if key is None:
                return
            refresher = self._refreshers.pop(name, None)
            if refresher is not None:
                refresher.end()
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
            refreshers = tuple(self._refreshers.values())
            for each in (self._keys, self._forgotten, self._failures, self._refreshers):
                each.clear()
        for refresher in refreshers:
            refresher.end()
        errors = [error for error in map(self._close, keys) if error is not None]
        for exc in self.context.resources.close():
            errors.append(self._containment.contain(exc, uri="the key store"))
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

    def _close(self, key: StoredKey) -> KeyBackendError | None:
        try:
            key.close()
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is contained
            return self._containment.contain(exc, uri=key.uri)
        return None

    def _finish(self, opening: Opening, uri: KeyUri, name: str) -> None:
        """Open a key and wake up whoever waits for it, come what may."""
        outcome: StoredKey | DkimError | None = None
        try:
            outcome = self._opened(uri, name)
        except DkimError as exc:
            outcome = exc
        finally:
            self._conclude(opening, name, outcome, is_local=is_local_scheme(uri.scheme))

    def _conclude(
        self, opening: Opening, name: str, outcome: StoredKey | DkimError | None, *, is_local: bool
    ) -> None:
        """Say what became of an opening, to whoever asks from now on and then to who waits."""
        refresher = None
        if isinstance(outcome, StoredKey):
            refresher = self._refresher(outcome, name)
        elif outcome is not None and not is_local:
            self._failures.add(name, outcome, seconds=self.context.sections.store.negative)
        with self._lock:
            self._openings.pop(name, None)
            is_late = self._closed
            if is_late:
                opening.error = StateError("the KeyStore is closed")
            elif isinstance(outcome, StoredKey):
                if refresher is not None:
                    self._refreshers[name] = refresher
                opening.key = self._keys[name] = outcome
            else:
                opening.error = outcome
        try:
            if not is_late and refresher is not None:
                refresher.begin()
            if not is_late and not is_local and outcome is not None:
                self.context.observer.event(_event(name, outcome))
        finally:
            opening.done.set()
        if is_late and isinstance(outcome, StoredKey):
            self._close(outcome)

    def _refresher(self, key: StoredKey, name: str) -> Refresher | None:
        backend_key = key.backend_key
        if not getattr(backend_key, "is_refreshed", False):
            return None
        return Refresher(
            key,
            cast("FetchedKey", backend_key),
            context=self.context,
            contain=lambda exc: self._containment.contain(exc, uri=name),
            forget=lambda: self.forget(name),
        )

    def _open(self, uri: KeyUri, name: str) -> SigningKey:
        if uri.scheme == "inline":
            raise KeyNotFound("no key was added under this name", uri=name)
        return self._backends.get(uri.scheme)(uri, self._containment.context)

    def _opened(self, uri: KeyUri, name: str) -> StoredKey:
        """Open a key and check it; close what fails that."""
        key: SigningKey | None = None

        def make() -> SigningKey:
            nonlocal key
            key = self._open(uri, name)
            return key

        try:
            return self._contained(make, name)
        except DkimError:
            close = getattr(key, "close", None)
            if callable(close):
                with contextlib.suppress(Exception):  # what failed before is said
                    close()
            raise

    def _contained(self, make: Callable[[], SigningKey], name: str) -> StoredKey:
        error: DkimError
        seconds = self.context.sections.store.deadline
        try:
            return stored_key(make(), uri=name, containment=self._containment, seconds=seconds)
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is contained
            if isinstance(exc, ConfigError) and not self._containment.holds_secret(exc):
                error = exc
            else:
                error = self._containment.contain(exc, uri=name)
        raise error


def _event(name: str, outcome: StoredKey | DkimError) -> KeyEvent:
    """Tell what became of opening a key that is kept elsewhere."""
    if isinstance(outcome, DkimError):
        text = f"cannot be used: {getattr(outcome, 'problem', str(outcome))}"
        return KeyEvent(level=WARNING, event="key-refused", text=text, uri=name)
    digest = sha256(outcome.public_key.encode()).hexdigest()
    text = f"is open: {outcome.algorithm}, {outcome.public_key.bits} bits, "
    return KeyEvent(
        level=INFO,
        event="key-opened",
        text=f"{text}public half {digest[:16]}",
        uri=name,
        fields={"algorithm": str(outcome.algorithm), "public_key_sha256": digest},
    )
