"""The key backend ``vault-transit:``: signatures made by a Vault, which keeps the key.

``vault-transit:MOUNT/NAME?version=3&backend=eu``: the version is required, for "the latest" moves
to another key when somebody rotates it, while receivers have the old one's public half.

Many digests go in one call (``batch_input``).  An answer says which version signed, and is
compared with what was asked; whether the signature is right is the endpoint's to verify.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from hvac.api.secrets_engines import Transit

from dkimcore.errors import KeyBackendError, KeyUnavailable, KeyUnusable, KeyUriError
from dkimcore.keys.remote import RemoteKeyBase
from dkimcore.keys.vault.client import client_of, endpoint_of
from dkimcore.keys.vault.names import segments, version_of
from dkimcore.keys.vault.refusals import item_error
from dkimcore.keys.vault.transitkeys import TransitKeys
from dkimcore.keys.vault.transport import Request
from dkimcore.protocol.algorithm import Algorithm, KeyType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.keys import KeyContext, SigningKey
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.uri import KeyUri
    from dkimcore.keys.vault.channel import Document
    from dkimcore.protocol.crypto import PublicKey

__all__ = ["MAX_BATCH", "TransitKey", "name_of", "open_key", "read_keys", "section_of"]

MAX_BATCH: Final = 64
"""Digests of one call at most: more would save nothing (0.01 ms of our time a signature)."""

# The server makes the signatures of one call one after another (OpenBao 2.7.2: 64 of RSA-2048 in
# 65 ms, of Ed25519 in 2 ms), so that a long batch of RSA makes each message wait for all others
# and leaves the server's other cores idle.  These take it some 20 ms.
_RSA_BATCHES: Final = ((2048, 16), (3072, 8), (4096, 4))

# Ed25519 takes the digest as its message; it knows neither of these.
_RSA_OPTIONS: Final = (
    # Its default is PSS, which is not DKIM's.
    b',"prehashed":true,"hash_algorithm":"sha2-256","signature_algorithm":"pkcs1v15"'
)


class TransitKey(RemoteKeyBase):
    """One version of a key of a Transit engine.

    Args:
        uri: Its name.
        context: What it shares with others.
        section: Where it is.
        name: Its mount and its name there.
        version: The version.
        public_key: The public half of that version.
    """

    def __init__(
        self,
        uri: str,
        *,
        context: KeyContext,
        section: BackendSection,
        name: tuple[str, str],
        version: int,
        public_key: PublicKey,
    ) -> None:
        is_rsa = public_key.key_type is KeyType.RSA
        super().__init__(
            uri,
            algorithm=Algorithm.RSA_SHA256 if is_rsa else Algorithm.ED25519_SHA256,
            public_key=public_key,
            endpoint=endpoint_of(context, section),
            batch=section.integer("batch", _batch(public_key), minimum=1, maximum=MAX_BATCH),
        )
        self._context = context
        self._section = section
        self._version = version
        self._prefix = f"vault:v{version}:"
        mount, key = name
        self._target = f"/v1/{quote(mount)}/sign/{quote(key, safe='')}"
        self._tail = b'],"key_version":%d%s}' % (version, _RSA_OPTIONS if is_rsa else b"")

    def _sign(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        inputs = [b'{"input":"%s"}' % b2a_base64(digest, newline=False) for digest in digests]
        # Made here and not by hvac, which wants one dictionary for each digest.
        body = b'{"batch_input":[' + b",".join(inputs) + self._tail
        request = Request(method="POST", target=self._target, body=body, needs="update")
        client = client_of(self._context, self._section, uri=self.uri)
        document = client.ask(request, timeout=timeout, uri=self.uri)
        request_id = document.get("request_id")
        name = request_id if isinstance(request_id, str) else None
        return [self._outcome(item, name) for item in self._items(document, len(digests))]

    def _items(self, document: Document, count: int) -> list[object]:
        data = document.get("data")
        items = data.get("batch_results") if isinstance(data, dict) else None
        if isinstance(items, list) and len(items) == count:
            return items
        # Nothing is wrong with the key: whoever answers so is out of order, and is left alone.
        raise KeyUnavailable(
            "the server's answer does not fit the digests that were sent; see its log, and what "
            "stands in front of it",
            uri=self.uri,
        )

    def _outcome(self, item: object, request_id: str | None) -> bytes | KeyBackendError:
        """Return the signature that an item holds, or what is wrong with it."""
        if not isinstance(item, dict):
            return self._garbled(request_id)
        error = item.get("error")
        if error:
            return item_error(str(error), uri=self.uri, request_id=request_id)
        text = item.get("signature")
        if not isinstance(text, str):
            return self._garbled(request_id)
        # OpenBao says the version a second time.
        if item.get("key_version", self._version) != self._version or not text.startswith(
            self._prefix
        ):
            return KeyUnusable(
                f"the server signed with another version than {self._version}; see whether "
                "something changes requests on their way",
                uri=self.uri,
                request_id=request_id,
            )
        try:
            return a2b_base64(text[len(self._prefix) :], strict_mode=True)
        except (Base64Error, ValueError):
            return self._garbled(request_id)

    def _garbled(self, request_id: str | None) -> KeyUnavailable:
        return KeyUnavailable(
            "the server's answer holds no signature; see its log, and what stands in front of it",
            uri=self.uri,
            request_id=request_id,
        )


def _batch(public_key: PublicKey) -> int:
    """Return how many digests go into a call, where the section does not say it."""
    if public_key.key_type is not KeyType.RSA:
        return MAX_BATCH
    return next((size for bits, size in _RSA_BATCHES if public_key.bits <= bits), 1)


def open_key(uri: KeyUri, context: KeyContext) -> SigningKey:
    """Open one version of a key of a Transit engine.

    Args:
        uri: ``vault-transit:``, the mount, a slash and the key's name; options ``version`` and
            ``backend``.
        context: Where the server is.

    Raises:
        ConfigError: The URI (`KeyUriError`) or the section is wrong; where the version is
            missing, the text names the latest.
        KeyNotFound: There is no such key, or no such version.
        KeyDenied: The login or the policy.
        KeyUnusable: The key is of a type that DKIM has no use for.
        KeyUnavailable: The server does not answer.
    """
    uri.allow_options("version", "backend")
    name = name_of(uri)
    version = version_of(uri)
    if version is None:
        raise _unpinned(uri, context)
    section = section_of(uri, context)
    keys = read_keys(uri, context)
    return TransitKey(
        str(uri),
        context=context,
        section=section,
        name=name,
        version=version,
        public_key=keys.public_key(version),
    )


def section_of(uri: KeyUri, context: KeyContext) -> BackendSection:
    """Return the backend section of a URI.

    Raises:
        KeyUriError: There is none, or there are several.
    """
    return context.sections.get("vault", uri.options.get("backend"))


def name_of(uri: KeyUri) -> tuple[str, str]:
    """Return the mount and the name of a key; the mount may have slashes.

    Raises:
        KeyUriError: One of them is missing.
    """
    *mount, key = segments(uri)
    if not mount:
        raise KeyUriError(
            f"{uri.scheme}: needs the mount too, such as {uri.scheme}:transit/{key}?version=1"
        )
    return "/".join(mount), key


def read_keys(uri: KeyUri, context: KeyContext) -> TransitKeys:
    """Ask what is known of a key.

    Args:
        uri: Its name.
        context: Where the server is.

    Raises:
        ConfigError: The section is wrong.
        KeyBackendError: There is no such key, or the server refuses or does not answer.
    """
    section, text = section_of(uri, context), str(uri)
    mount, key = name_of(uri)
    client = client_of(context, section, uri=text)

    def read(timeout: float) -> Document:
        adapter = client.adapter(timeout=timeout, uri=text)
        document: Document = Transit(adapter).read_key(name=key, mount_point=mount)
        return document

    return TransitKeys.of(endpoint_of(context, section).call(read, uri=text), uri=text)


def _unpinned(uri: KeyUri, context: KeyContext) -> KeyUriError:
    """Say that the version is missing, and which one there is."""
    try:
        latest = read_keys(uri, context).latest
    except KeyBackendError:
        which = "the number of the version whose public half is in the DNS"
    else:
        which = f"the latest is version={latest} now"
    return KeyUriError(
        f"{uri.scheme}: needs version=, for a selector is one key for ever and a key without "
        f"version changes when it is rotated; {which}"
    )
