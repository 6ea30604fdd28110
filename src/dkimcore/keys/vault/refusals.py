"""What a Vault means by a status and a text, as one of our errors: one table.

The server answers 500 to some mistakes of the caller too, such as a key version that does not
exist; those are told by their text, for asking again would change nothing.  An answer that is
none of Vault's, such as the page of a proxy in front of it, says nothing about the key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dkimcore.errors import (
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.keys.secret import Secret
    from dkimcore.keys.vault.transport import Reply, Request

__all__ = ["item_error", "refusal", "server_text"]

_MAX_TEXT = 200
# A reply may have two million octets, and some patterns take the square of a text's length.
_MAX_READ = 4096

# Texts of the server, whatever the status, and what they come to.
_TEXTS: Final[tuple[tuple[str, type[KeyBackendError], str], ...]] = (
    (
        r"version for signing is (higher|less) than|version .* (not found|too old)",
        KeyUnusable,
        "the key has no such version to sign with (min_encryption_version, trimmed or restored "
        "keys); a new version needs a new selector, and the old one has to stay usable meanwhile",
    ),
    (
        r"does not support signing|unsupported key type|not supported for (this )?key",
        KeyUnusable,
        "DKIM needs a key of type rsa-2048, rsa-3072, rsa-4096 or ed25519",
    ),
    (
        r"context.*deriv|deriv.*context",
        KeyUnusable,
        "a derived key cannot make DKIM signatures; make one without derived=true",
    ),
    (
        r"input must be hashed|decode input|missing input|invalid input",
        KeyUnusable,
        "it does not take the digest as it was sent; report this with the server's version",
    ),
    (r"soft.?deleted", KeyNotFound, "the key is deleted softly; restore it, or make another"),
    (
        r"(signing|encryption) key not found|key not found",
        KeyNotFound,
        "there is no such key; make it, or correct the name",
    ),
    (
        r"no handler for route|route entry not found|unsupported path",
        KeyNotFound,
        "nothing is mounted there; correct the mount, or the namespace",
    ),
    (r"namespace not found|no namespace", KeyNotFound, "correct namespace= in the section"),
    (
        r"invalid role|secret id",
        KeyDenied,
        "there is no such role, or its secret_id is wrong, expired or used up; make another",
    ),
    (r"certificate", KeyDenied, "no role takes our certificate; see certificate= and its roles"),
    (
        r"check-and-set parameter did not match|existing key",
        KeyUnusable,
        "something is kept under this name already; choose a name for each selector",
    ),
    (
        r"max TTL|cannot (be )?renew|identity during renewal",
        KeyUnusable,
        "the token is renewed no more",
    ),
    (r"sealed", KeyUnavailable, "it is sealed; unseal it"),
    (r"not initialized|uninitialized", KeyUnavailable, "it is not initialised"),
)
_PATTERNS = tuple((re.compile(text, re.IGNORECASE), kind, cure) for text, kind, cure in _TEXTS)

_STATUSES: Final[dict[int, tuple[type[KeyBackendError], str]]] = {
    400: (KeyUnusable, "it does not take what was asked; see its log"),
    404: (KeyNotFound, "there is nothing under this name; make it, or correct the name"),
    405: (KeyUnusable, "it does not do that there; see what is mounted there"),
    412: (KeyUnavailable, "this node does not know yet what another one wrote"),
    429: (KeyUnavailable, "too much is asked of it; see its rate limit quotas"),
    472: (KeyUnavailable, "it is a secondary for disaster recovery; name the active cluster"),
    473: (KeyUnavailable, "it is a standby; name the active node, or a load balancer"),
    500: (KeyUnavailable, "it failed; see its log"),
    501: (KeyUnavailable, "it is not initialised"),
    502: (KeyUnavailable, "something that it needs does not answer"),
    503: (KeyUnavailable, "it is sealed or in maintenance; unseal it"),
    504: (KeyUnavailable, "something in front of it got no answer in time"),
}


def refusal(
    reply: Reply, request: Request, *, uri: str, address: str, hidden: Sequence[Secret] = ()
) -> KeyBackendError:
    """Return what to raise for a reply that is no success.

    Args:
        reply: The reply.
        request: What was asked.
        uri: What the error names.
        address: The server.
        hidden: Secrets that were sent, which some servers may quote.
    """
    text = server_text(reply)
    if text and any(secret.reveal() in text for secret in hidden):
        text = "its text is withheld, for a secret stands in it"
    path = request.path
    if text is None:
        scheme = " and whether its address begins with https" if address.startswith("http:") else ""
        return KeyUnavailable(
            f"{address} answered with status {reply.status} and something that is not of Vault; "
            f"see what stands in front of it{scheme}",
            uri=uri,
            retry_after=reply.retry_after,
        )
    said = f"{address} answered {reply.status} for {path}" + (f" ({text})" if text else "")
    if reply.status in (401, 403):
        if not request.needs:
            return KeyDenied(f"{said}: the login is refused; see its role and its mount", uri=uri)
        return KeyDenied(
            f'{said}; let a policy of the token say: path "{path}" '
            f'{{ capabilities = ["{request.needs}"] }}, and see whether the token is right',
            uri=uri,
        )
    kind, cure = _meaning(reply.status, text)
    if kind is KeyUnavailable:
        return KeyUnavailable(f"{said}: {cure}", uri=uri, retry_after=reply.retry_after)
    return kind(f"{said}: {cure}", uri=uri)


def item_error(text: str, *, uri: str, request_id: str | None) -> KeyBackendError:
    """Return what is wrong with one item of a batch.

    Args:
        text: What the server says of it.
        uri: What the error names.
        request_id: By what name the server knows the request.
    """
    text = _tidy(text)
    kind, cure = _meaning(500, text)
    return kind(f"the server refuses ({text}): {cure}", uri=uri, request_id=request_id)


def server_text(reply: Reply) -> str | None:
    """Return what the server said, on one line; None: this is no answer of a Vault."""
    document = reply.document()
    if document is None:
        return None
    errors = document.get("errors")
    if isinstance(errors, list):
        return _tidy("; ".join(error for error in errors if isinstance(error, str)))
    if "data" in document or "request_id" in document:
        return _deletion(document.get("data"))
    return None


def _deletion(data: object) -> str:
    """Say what became of a version of a KV secret: that is 404 with data."""
    metadata = data.get("metadata") if isinstance(data, dict) else None
    if not isinstance(metadata, dict):
        return ""
    version = metadata.get("version")
    if metadata.get("destroyed") is True:
        return _tidy(f"version {version} was destroyed")
    deleted = metadata.get("deletion_time")
    return _tidy(f"version {version} was deleted at {deleted}") if deleted else ""


def _meaning(status: int, text: str) -> tuple[type[KeyBackendError], str]:
    for pattern, kind, cure in _PATTERNS:
        if pattern.search(text):
            return kind, cure
    found = _STATUSES.get(status)
    if found is not None:
        return found
    if status >= 500:
        return KeyUnavailable, "it failed; see its log"
    return KeyUnusable, "it does not take what was asked; see its log"


def _tidy(text: str) -> str:
    """Return a text of the server without line ends and what else could mislead a log."""
    text = text[:_MAX_READ].replace("1 error occurred:", "")
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.replace("* ", "").split())[:_MAX_TEXT]
