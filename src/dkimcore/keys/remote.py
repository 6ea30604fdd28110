"""What keys that sign elsewhere have in common.  The call itself is left to each backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyUnusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.keys.endpoint import Endpoint
    from dkimcore.protocol.algorithm import Algorithm
    from dkimcore.protocol.crypto import PublicKey

__all__ = ["RemoteKeyBase"]


class RemoteKeyBase(ABC):
    """A `RemoteKey` of which only `_sign` is missing.

    Args:
        uri: Its name, with the version that it pins.
        algorithm: The ``a=`` that it produces.
        public_key: Its public half.
        endpoint: Who makes the calls.
        batch: How many digests one call takes.
    """

    def __init__(
        self,
        uri: str,
        *,
        algorithm: Algorithm,
        public_key: PublicKey,
        endpoint: Endpoint,
        batch: int = 1,
    ) -> None:
        self.uri = uri
        self.algorithm = algorithm
        self.public_key = public_key
        self.endpoint = endpoint
        self.batch = batch

    @abstractmethod
    def _sign(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        """Sign digests of 32 octets in one round trip, trying once.

        Args:
            digests: At most `batch`.
            timeout: Seconds.

        Returns:
            For each digest its signature, or why there is none.

        Raises:
            KeyBackendError: There is none for all of them.
        """

    def sign_digests(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        """Sign SHA-256 header hashes in one round trip (see `RemoteKey.sign_digests`).

        Raises:
            KeyBackendError: As `RemoteKey.sign_digests`; also for a digest of another length.
        """
        for digest in digests:
            if type(digest) is not bytes or len(digest) != 32:
                raise KeyUnusable("a key signs a SHA-256 digest, 32 octets", uri=self.uri)
        return self._sign(digests, timeout=timeout)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 header hash, trying once (see `SigningKey.sign_digest`).

        Raises:
            KeyBackendError: There is no signature.
        """
        limits = self.endpoint.limits
        timeout = limits.connect_timeout + limits.read_timeout
        (outcome,) = self.sign_digests([digest], timeout=timeout)
        if isinstance(outcome, KeyBackendError):
            raise outcome
        return outcome

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.uri} {self.algorithm}, {self.public_key.bits} bits>"
