"""The key backend ``pkcs11:``: private keys that stay in a token and sign there.

    pkcs11:token=dkim;object=s1;id=%01?module-path=/usr/lib/softhsm/libsofthsm2.so

Which token, module and PIN is left to `settings`, which key to `objects`, the sessions to
`sessions`.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError
from dkimcore.keys.memory import without_frames
from dkimcore.keys.pkcs11.objects import find_key
from dkimcore.keys.pkcs11.settings import TokenSettings
from dkimcore.keys.pkcs11.structures import KeyKind
from dkimcore.keys.remote import RemoteKeyBase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.keys import KeyContext, SigningKey
    from dkimcore.keys.pkcs11.objects import TokenKey
    from dkimcore.keys.pkcs11.sessions import Session
    from dkimcore.keys.uri import KeyUri

__all__ = ["Pkcs11Key", "open_key"]

# The DigestInfo of SHA-256 up to the digest (RFC 8017 section 9.2): CKM_RSA_PKCS pads, and adds
# no such thing.
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def open_key(uri: KeyUri, context: KeyContext) -> SigningKey:
    """Open a private key on a token.

    The PIN is in a file or an environment variable that the URI or the section names, or the
    secret ``pin``.

    Args:
        uri: ``pkcs11:`` and what RFC 7512 has behind it.
        context: Where sections and secrets come from.

    Raises:
        ConfigError: The URI or its section is wrong.
        KeyNotFound: There is no such token, or no such key.
        KeyDenied: The PIN is absent or refused, or the key may not sign.
        KeyUnusable: The module cannot be used, several tokens or keys fit, or the key is none
            that DKIM can use.
        KeyUnavailable: The token is not there, failed, or has no session left.
    """
    settings = TokenSettings.of(uri, context)
    name = str(uri)

    def find(timeout: float) -> TokenKey:
        def work(session: Session) -> TokenKey:
            return find_key(session, settings.address, public_file=settings.public_key, uri=name)

        try:
            return settings.pool.run(work, uri=name, doing="looking for the key", timeout=timeout)
        except KeyBackendError as exc:
            refusal = without_frames(exc)
        raise refusal

    found = settings.endpoint.call(find, uri=name)
    return Pkcs11Key(name, found=found, settings=settings)


class Pkcs11Key(RemoteKeyBase):
    """A `RemoteKey` on a token.

    Args:
        uri: Its name.
        found: The key.
        settings: Where it is.
    """

    def __init__(self, uri: str, *, found: TokenKey, settings: TokenSettings) -> None:
        super().__init__(
            uri,
            algorithm=found.algorithm,
            public_key=found.public_key,
            endpoint=settings.endpoint,
        )
        self._found = found
        self._settings = settings
        self._process, self._pool = os.getpid(), settings.pool

    def _sign(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        deadline = time.monotonic() + timeout
        return [self._one(digest, deadline) for digest in digests]

    def _one(self, digest: bytes, deadline: float) -> bytes | KeyBackendError:
        found = self._found
        data = _DIGEST_INFO + digest if found.kind is KeyKind.RSA else digest
        if self._process != os.getpid():  # a child has sessions of its own
            self._process, self._pool = os.getpid(), self._settings.pool
        pool = self._pool

        def work(session: Session) -> bytes:
            key = session.key(found.template, uri=self.uri)
            session.cryptoki.sign_init(session.handle, found.mechanism, key=key)
            if found.asks_always:
                pool.login.context(session, deadline=deadline, uri=self.uri)
            return session.cryptoki.sign(session.handle, data)

        try:
            left = deadline - time.monotonic()
            return pool.run(work, uri=self.uri, doing="signing", timeout=left)
        except KeyBackendError as exc:
            return without_frames(exc)
