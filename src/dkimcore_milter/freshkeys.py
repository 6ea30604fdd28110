"""Key files that were replaced are noticed: OpenDKIM reads those of a KeyTable for each message.

A key stays open while its file stays what it was: device, inode, size and times, which one
stat() tells.  A file that changed is opened again with all checks; one that is gone signs no
more.  A directory above it is looked at when the file is opened only.  Keys that are not in
files are left to the store.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from dkimcore.keys.file import key_path
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.keys import KeyContext, SigningKey

__all__ = ["FreshKeyStore"]

_LOCKS = 16

_SETTLED_NS = 2_500_000_000
"""How old a change must be to be told from the next by its time: FAT counts in two seconds,
others in the ticks of the kernel's clock, and an Ed25519 key has always the same size."""


class _State(NamedTuple):
    """What tells a file from another, or from itself after a change."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class _OpenFile(NamedTuple):
    """A key, the path it came from, and the state of the file before it was opened."""

    path: str
    state: _State
    key: SigningKey


class FreshKeyStore(KeyStore):
    """A key store that opens a file again once it changed.  Safe to share between threads.

    Args:
        context: As for `KeyStore`.
        clock: The time in nanoseconds since 1970, as file systems have it.
    """

    __slots__ = ("_clock", "_elsewhere", "_files", "_locks")

    def __init__(
        self, *, context: KeyContext | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        super().__init__(context=context)
        self._clock = clock
        self._files: dict[str, _OpenFile] = {}
        self._elsewhere: set[str] = set()  # URIs of what is no file
        self._locks = _locks()

    def after_fork(self) -> None:
        """Go on in a child process (see `KeyStore.after_fork`)."""
        self._locks = _locks()
        super().after_fork()

    def get(self, uri: str) -> SigningKey:
        """Return the key that a URI names, opened anew if its file changed.

        Who has the old key goes on signing with it.

        Raises:
            ConfigError: As `KeyStore.get`.
            KeyBackendError: As `KeyStore.get`; also for a file that changed.
            StateError: The store is closed.
        """
        known = self._files.get(uri)
        if known is not None and _state(known.path) == known.state:
            return known.key
        if uri in self._elsewhere:
            return super().get(uri)
        parsed = KeyUri.parse(uri)
        if parsed.scheme != "file":
            key = super().get(uri)
            self._elsewhere.add(uri)
            return key
        path = os.path.expanduser(key_path(parsed))
        name = str(parsed)
        # One thread at a time: none may come by a key that is older than the state it saw.
        with self._locks[hash(name) % _LOCKS]:
            now = self._clock()
            state = _state(path)  # before the file is opened, so that no change is missed
            known = self._files.get(name)
            if known is None or known.state != state:
                self._files.pop(name, None)
                self._files.pop(uri, None)
                self.forget(name)
                key = super().get(name)
                if state is None or now - state.changed < _SETTLED_NS:
                    return key
                known = self._files[name] = _OpenFile(path, state, key)
            self._files[uri] = known
            return known.key

    def get_once(self, uri: str) -> SigningKey:
        """Return the key that a URI names, opened once whatever becomes of its file.

        Raises:
            ConfigError: As `KeyStore.get`.
            KeyBackendError: As `KeyStore.get`.
            StateError: The store is closed.
        """
        return super().get(uri)

    def close(self) -> None:
        """Close every key (see `KeyStore.close`)."""
        self._files.clear()
        super().close()


def _locks() -> tuple[threading.Lock, ...]:
    return tuple(threading.Lock() for _ in range(_LOCKS))


def _state(path: str) -> _State | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # the latter for what cannot be a path
        return None  # opening it says why
    return _State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
