"""A key as a `KeyStore` gives it out: checked, contained, and with a deadline where it is remote.

A key that signs in this process is called at once.  Every other one is asked through its
endpoint, also where its backend knows nothing of endpoints.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from dkimcore.errors import KeyBackendError, KeyUnusable
from dkimcore.keys.pending import PendingSignature
from dkimcore.keys.sections import BackendSection
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.tracebacks import fresh_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys import RemoteKey, SigningKey
    from dkimcore.keys.contain import Containment
    from dkimcore.keys.endpoint import Endpoint

__all__ = ["RemoteStoredKey", "StoredKey", "stored_key"]

_LOCAL_SCHEMES = ("file", "inline")


def is_local_scheme(scheme: str) -> bool:
    """Whether opening and using keys of a scheme waits for nobody."""
    return scheme in _LOCAL_SCHEMES


def stored_key(key: SigningKey, *, uri: str, containment: Containment, seconds: float) -> StoredKey:
    """Check a key and return it as a store gives it out.

    Args:
        key: What a backend opened.
        uri: Its name.
        containment: Makes our errors of the backend's.
        seconds: How long a signature may take, unless somebody says otherwise.

    Raises:
        KeyUnusable: As `check_key`.
        KeyBackendError: As the key.
    """
    if getattr(key, "is_local", False) or is_local_scheme(uri.partition(":")[0]):
        return StoredKey(key, uri=uri, containment=containment)
    return RemoteStoredKey(key, uri=uri, containment=containment, seconds=seconds)


class StoredKey:
    """A checked key that signs in this process and raises `KeyBackendError` only.

    Args:
        key: The key.
        uri: Its name.
        containment: Makes our errors of the backend's.
    """

    __slots__ = ("_containment", "_key", "_length", "_sign", "algorithm", "public_key", "uri")

    is_local = True

    def __init__(self, key: SigningKey, *, uri: str, containment: Containment) -> None:
        self._key = key
        self._containment = containment
        self.uri = uri
        # Kept, for a backend may compute or fetch them.
        self.algorithm = key.algorithm
        self.public_key = key.public_key
        self._length = self._check(key)
        self._sign: Callable[[bytes], bytes] = key.sign_digest

    def _check(self, key: SigningKey) -> int:
        return check_key(key, uri=self.uri)

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

    def start(self, digest: bytes, deadline: float | None = None) -> PendingSignature:
        """Sign a SHA-256 header hash, and have the outcome at hand.

        Args:
            digest: The header hash.
            deadline: Of no use here: nobody is waited for.
        """
        pending = PendingSignature(digest, uri=self.uri, deadline=0.0)
        try:
            pending.settle(self.sign_digest(digest))
        except KeyBackendError as exc:
            pending.settle(exc)
        return pending

    @property
    def backend_key(self) -> SigningKey:
        """What the backend opened."""
        return self._key

    def replace(self, key: SigningKey) -> None:
        """Sign with another copy of the same key from now on.

        Args:
            key: It; it was checked.
        """
        self._key = key
        self._sign = key.sign_digest

    def withdraw(self, error: KeyBackendError) -> None:
        """Sign no more.

        Args:
            error: Why.
        """

        def refuse(_: bytes) -> bytes:
            raise fresh_copy(error)

        self._sign = refuse

    @property
    def can_be_closed(self) -> bool:
        """Whether it holds more than memory."""
        return callable(getattr(self._key, "close", None))

    def close(self) -> None:
        """End the use of the key, and close it if it can be closed."""
        self.withdraw(KeyUnusable("its KeyStore is closed", uri=self.uri))
        close = getattr(self._key, "close", None)
        if callable(close):
            close()

    def __repr__(self) -> str:
        return f"<key {self.uri} {self.algorithm}, {self.public_key.bits} bits>"


class RemoteStoredKey(StoredKey):
    """A checked key that signs elsewhere, before a deadline or not at all.

    Args:
        key: The key.
        uri: Its name.
        containment: Makes our errors of the backend's.
        seconds: How long a signature may take, unless somebody says otherwise.
    """

    __slots__ = ("_line", "_refusal", "_seconds")

    is_local = False

    def __init__(
        self, key: SigningKey, *, uri: str, containment: Containment, seconds: float
    ) -> None:
        self._seconds = seconds
        self._refusal: KeyBackendError | None = None
        remote = cast("RemoteKey", key)
        if getattr(key, "endpoint", None) is None or not hasattr(key, "sign_digests"):
            scheme = uri.partition(":")[0]
            section = BackendSection(name="default", kind=scheme)
            remote = _OneByOne(key, endpoint=containment.context.endpoint(section))
        self.algorithm, self.public_key, self.uri = key.algorithm, key.public_key, uri
        self._line = remote.endpoint.line(
            remote, uri=uri, contain=lambda exc: containment.contain(exc, uri=uri)
        )
        super().__init__(key, uri=uri, containment=containment)

    def _check(self, key: SigningKey) -> int:
        """Test it as it will be used, so that a first failure is not the last word."""
        return check_key(self, uri=self.uri)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 header hash (see `SigningKey.sign_digest`), in the store's time."""
        return self.start(digest).result()

    def start(self, digest: bytes, deadline: float | None = None) -> PendingSignature:
        """Ask for the signature of a SHA-256 header hash.

        Args:
            digest: The header hash.
            deadline: Until when it is wanted, on the clock of `time.monotonic`; None: as long
                as the store says.
        """
        if deadline is None:
            deadline = time.monotonic() + self._seconds
        if self._refusal is None and type(digest) is bytes and len(digest) == 32:
            return self._line.start(digest, deadline)
        pending = PendingSignature(digest, uri=self.uri, deadline=deadline)
        pending.settle(
            self._refusal or KeyUnusable("a key signs a SHA-256 digest, 32 octets", uri=self.uri)
        )
        return pending

    def withdraw(self, error: KeyBackendError) -> None:
        """Sign no more.

        Args:
            error: Why.
        """
        self._refusal = error


class _OneByOne:
    """A key whose backend knows neither endpoints nor batches."""

    batch = 1

    def __init__(self, key: SigningKey, *, endpoint: Endpoint) -> None:
        self._key = key
        self.endpoint = endpoint
        self.algorithm = key.algorithm
        self.public_key = key.public_key

    def sign_digest(self, digest: bytes) -> bytes:
        return self._key.sign_digest(digest)

    def sign_digests(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        return [self._key.sign_digest(digest) for digest in digests]
