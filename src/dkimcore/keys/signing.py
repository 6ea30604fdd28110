"""Signatures of several keys, side by side: who waits, waits for the slowest only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError
from dkimcore.keys.pending import PendingSignature
from dkimcore.keys.stored import StoredKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkimcore.keys import SigningKey

__all__ = ["sign_side_by_side", "start_signing"]


def start_signing(
    key: SigningKey, digest: bytes, *, deadline: float | None = None
) -> PendingSignature:
    """Ask a key for a signature; one that signs in this process has it at once.

    Args:
        key: The key.
        digest: A SHA-256 header hash.
        deadline: Until when it is wanted, on the clock of `time.monotonic`; None: as long as
            the key's store says.
    """
    if isinstance(key, StoredKey):
        return key.start(digest, deadline)
    pending = PendingSignature(digest, uri=getattr(key, "uri", "the key"), deadline=0.0)
    try:
        pending.settle(key.sign_digest(digest))
    except KeyBackendError as exc:
        pending.settle(exc)
    return pending


def sign_side_by_side(wanted: Iterable[tuple[SigningKey, bytes]]) -> list[bytes]:
    """Sign digests, each with its key; those kept elsewhere are all asked before one is awaited.

    Args:
        wanted: Keys and SHA-256 header hashes.

    Returns:
        The signatures, in order.

    Raises:
        KeyBackendError: There is no signature of one of them.
    """
    pending = [start_signing(key, digest) for key, digest in wanted]
    return [each.result() for each in pending]
