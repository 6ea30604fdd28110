"""Uses of private keys, counted and timed by where the keys are kept."""

from __future__ import annotations

from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyDenied, KeyNotFound, KeyUnusable
from dkimcore_milter.metrics import Count, Timer

if TYPE_CHECKING:
    from dkimcore.keys import SigningKey
    from dkimcore_milter.meter import Meter

__all__ = ["backend_of", "backend_of_kind", "count_key_error", "sign_and_count"]

_TIMERS = {t.labels[0]: t for t in Timer if t.family == "key_operation_seconds"}
_ERRORS = {count.labels: count for count in Count if count.family == "key_errors"}
# From a URI's scheme, or the type of a backend's section, to what metrics call the backend.
_BACKENDS = {
    "aws": "aws-kms",
    "awskms": "aws-kms",
    "awskms-envelope": "aws-kms",
    "file": "file",
    "pkcs11": "pkcs11",
    "vault": "vault",
    "vault-kv": "vault",
    "vault-transit": "vault",
}
_KINDS: dict[type[KeyBackendError], str] = {
    KeyNotFound: "not_found",
    KeyDenied: "denied",
    KeyUnusable: "unusable",
}


@lru_cache(maxsize=1024)
def backend_of(key_uri: str) -> Timer:
    """Return what times the keys that are kept where this one is.

    Args:
        key_uri: A key URI, or the path of a file.
    """
    scheme, colon, _ = key_uri.partition(":")
    if not colon or "/" in scheme:
        return Timer.KEYS_FILE
    return _TIMERS[backend_of_kind(scheme.lower())]


def backend_of_kind(kind: str) -> str:
    """Return what metrics call a key backend: ``vault``, ``aws-kms``, ``pkcs11`` or ``other``.

    Args:
        kind: The scheme of its URIs, or the type of its sections.
    """
    return _BACKENDS.get(kind, "other")


def sign_and_count(key: SigningKey, digest: bytes, *, timer: Timer, meter: Meter) -> bytes:
    """Sign a header hash, as `SigningKey.sign_digest`.

    Args:
        key: The key.
        digest: The header hash.
        timer: From `backend_of`.
        meter: Counts.

    Raises:
        KeyBackendError: The key could not be used.
    """
    begun = monotonic()
    try:
        return key.sign_digest(digest)
    except KeyBackendError as exc:
        count_key_error(exc, timer=timer, meter=meter)
        raise
    finally:
        meter.observe(timer, monotonic() - begun)


def count_key_error(error: KeyBackendError, *, timer: Timer, meter: Meter) -> None:
    """Count that a key could not be opened or used, and why.

    Args:
        error: What it raised.
        timer: From `backend_of`.
        meter: Counts.
    """
    kind = next((kind for cls, kind in _KINDS.items() if isinstance(error, cls)), "unavailable")
    meter.count(_ERRORS[timer.labels[0], kind])
