"""Keys whose octets come from a secret store and then sign in this process.

The store asks for them again now and then, to notice that they were deleted or replaced.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError
from dkimcore.keys.memory import MemoryKey, decode_private_key, without_frames

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FetchedKey"]


class FetchedKey(MemoryKey):
    """A `SigningKey` that was fetched.

    Args:
        octets: What was fetched, as `decode_private_key` takes it; overwritten with zeros.
        name: Its key URI, with the version that it pins.
        fetch: Fetches the octets again, raising `KeyBackendError` only; None: what was fetched
            never changes.
        passphrase: Asked only when the key is encrypted.

    Raises:
        KeyDenied: As `decode_private_key`.
        KeyUnusable: As `decode_private_key`.
    """

    __slots__ = ("_fetch", "_passphrase", "fingerprint")

    def __init__(
        self,
        octets: bytearray,
        *,
        name: str,
        fetch: Callable[[], bytearray] | None = None,
        passphrase: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.fingerprint = sha256(octets).digest()
        self._fetch = fetch
        self._passphrase = passphrase
        error = None
        try:
            private_key = decode_private_key(bytes(octets), uri=name, passphrase=passphrase)
        except KeyBackendError as exc:
            error = without_frames(exc)
        finally:
            octets[:] = bytes(len(octets))
        if error is not None:
            raise error
        super().__init__(private_key, name=name)

    def __repr__(self) -> str:
        # Tools that report errors print it also where it did not become a key.
        return super().__repr__() if hasattr(self, "public_key") else "<FetchedKey, undecoded>"

    @property
    def is_refreshed(self) -> bool:
        """Whether it can be fetched again."""
        return self._fetch is not None

    def refetch(self) -> FetchedKey | None:
        """Fetch the octets again; None: they are what they were.

        Raises:
            KeyBackendError: They cannot be fetched, or are no key.
        """
        if self._fetch is None:
            return None
        octets = self._fetch()
        if sha256(octets).digest() == self.fingerprint:
            octets[:] = bytes(len(octets))
            return None
        return FetchedKey(octets, name=self._name, fetch=self._fetch, passphrase=self._passphrase)
