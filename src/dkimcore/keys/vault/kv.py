"""The key backend ``vault-kv:``: private keys in a KV engine, which sign in this process.

``vault-kv:MOUNT/PATH?version=3&field=key&backend=eu``.  Without a version the current one is read
and then stays the one that is meant, until the key is opened anew: a version that is written
later belongs to another selector.

The key's octets pass through urllib3, the JSON decoder and `cryptography`, whose copies cannot be
overwritten; what is overwritten is the copy that was made of them here.
"""

from __future__ import annotations

from logging import INFO
from typing import TYPE_CHECKING

from hvac.api.auth_methods import Token
from hvac.api.secrets_engines import KvV1, KvV2

from dkimcore.errors import (
    ConfigError,
    KeyBackendError,
    KeyDenied,
    KeyUnavailable,
    KeyUriError,
)
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.fetched import FetchedKey
from dkimcore.keys.memory import without_frames
from dkimcore.keys.vault.client import client_of, endpoint_of
from dkimcore.keys.vault.grant import LoginRefused
from dkimcore.keys.vault.layouts import Layout
from dkimcore.keys.vault.mounts import find_secret
from dkimcore.keys.vault.names import pinned, version_of

if TYPE_CHECKING:
    from dkimcore.keys import KeyContext, SigningKey
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.uri import KeyUri
    from dkimcore.keys.vault.channel import Document
    from dkimcore.keys.vault.mounts import SecretPath

__all__ = ["OPTIONS", "Secrets", "open_key"]

OPTIONS = ("backend", "domain", "field", "kv", "mount", "selector", "version")
"""The options of a URI."""


class Secrets:
    """The KV engine that a URI names; in a child process, asked over the child's connections.

    Args:
        uri: The URI.
        context: Where the server is.

    Raises:
        ConfigError: The URI or its section is wrong.
        KeyBackendError: The server refuses or does not answer.
    """

    def __init__(self, uri: KeyUri, context: KeyContext) -> None:
        self._uri = str(uri)
        self._context = context
        self._section: BackendSection = context.sections.get("vault", uri.options.get("backend"))
        client = client_of(context, self._section, uri=self._uri)
        self._endpoint = endpoint_of(context, self._section)
        self.place: SecretPath = find_secret(uri, client, endpoint=self._endpoint)

    def read(self, version: int | None) -> tuple[dict[str, object], int | None]:
        """Return a secret and its version.

        Args:
            version: The version; None: the current one.

        Raises:
            KeyNotFound: There is no such secret, or this version was deleted or destroyed.
            KeyBackendError: The server refuses otherwise, or does not answer.
        """
        document = self._endpoint.call(lambda timeout: self._read(version, timeout), uri=self._uri)
        data = document.get("data")
        number = None
        if self.place.has_versions and isinstance(data, dict):
            metadata = data.get("metadata")
            number = metadata.get("version") if isinstance(metadata, dict) else None
            data = data.get("data")
        if not isinstance(data, dict) or (self.place.has_versions and not isinstance(number, int)):
            raise KeyUnavailable("the server's answer holds no secret; see its log", uri=self._uri)
        if self.place.has_versions and version is not None and number != version:
            raise KeyUnavailable(
                f"the server answered with version {number} and was asked for {version}; see what "
                "stands in front of it, such as a cache",
                uri=self._uri,
            )
        return data, number

    def read_again(self, version: int | None) -> tuple[dict[str, object], int | None]:
        """Return a secret that was read before, and its version.

        Args:
            version: As of `read`.

        Raises:
            KeyUnavailable: Also where it is not the secret that something is wrong with: our
                files, the login, or a token that may have ended.
            KeyBackendError: As `read`; `KeyDenied` where a token that lives may not read it.
        """
        try:
            client_of(self._context, self._section, uri=self._uri)
        except (ConfigError, KeyBackendError) as exc:
            problem = exc.problem if isinstance(exc, KeyBackendError) else str(exc)
            raise KeyUnavailable(problem, uri=self._uri) from None
        try:
            return self._read_proven(version)
        except LoginRefused as exc:
            # This says nothing about the key, which goes on signing for a while.
            raise KeyUnavailable(exc.problem, uri=self._uri) from None

    def _read_proven(self, version: int | None) -> tuple[dict[str, object], int | None]:
        try:
            return self.read(version)
        except LoginRefused:
            raise
        except KeyDenied as exc:
            self._prove_login(exc)
        return self.read(version)  # the first time it may have been another token, which had ended

    def _prove_login(self, refusal: KeyDenied) -> None:
        """Make sure that a policy is to blame for a refusal: the server says the same to the dead.

        Raises:
            LoginRefused: There is no token.
            KeyUnavailable: It may have ended, or there is no answer.
        """
        client = client_of(self._context, self._section, uri=self._uri)

        def look(timeout: float) -> None:
            Token(client.adapter(timeout=timeout, uri=self._uri)).lookup_self()

        try:
            self._endpoint.call(look, uri=self._uri)
        except (LoginRefused, KeyUnavailable):
            raise
        except KeyBackendError:
            raise KeyUnavailable(
                f"{refusal.problem}; the token may have ended, for it may not look itself up",
                uri=self._uri,
            ) from None

    def _read(self, version: int | None, timeout: float) -> Document:
        client = client_of(self._context, self._section, uri=self._uri)
        adapter, place = client.adapter(timeout=timeout, uri=self._uri), self.place
        document: Document
        if not place.has_versions:
            document = KvV1(adapter).read_secret(path=place.path, mount_point=place.mount)
            return document
        document = KvV2(adapter).read_secret_version(
            path=place.path,
            version=version,
            mount_point=place.mount,
            raise_on_deleted_version=True,
        )
        return document

    def create(self, secret: dict[str, object]) -> int | None:
        """Write a secret where there is none, and return its version.

        Args:
            secret: Its fields.

        Raises:
            KeyBackendError: There is one (`KeyUnusable`), or it cannot be written.
        """
        client = client_of(self._context, self._section, uri=self._uri)
        # Once: after an answer that was lost there would be a secret already.
        adapter = client.adapter(timeout=self._context.timeout, uri=self._uri, slow=True)
        place = self.place
        if not place.has_versions:
            KvV1(adapter).create_or_update_secret(
                path=place.path, secret=secret, mount_point=place.mount, method="POST"
            )
            return None
        document: Document = KvV2(adapter).create_or_update_secret(
            path=place.path, secret=secret, cas=0, mount_point=place.mount
        )
        data = document.get("data")
        number = data.get("version") if isinstance(data, dict) else None
        return number if isinstance(number, int) else 1


def open_key(uri: KeyUri, context: KeyContext) -> SigningKey:
    """Open a private key that is kept in a KV engine.

    Takes what `decode_private_key` takes, and what rspamd writes for Ed25519.  The passphrase of
    an encrypted key is the secret ``passphrase``.

    Args:
        uri: ``vault-kv:``, the mount, a slash and the path; options ``version``, ``field``,
            ``selector`` and ``domain``, ``kv``, ``mount`` and ``backend``.
        context: Where the server is, and where the passphrase comes from.

    Raises:
        ConfigError: The URI (`KeyUriError`) or the section is wrong.
        KeyNotFound: There is no such secret, version, field or selector.
        KeyDenied: The login or the policy; or the passphrase is absent or wrong.
        KeyUnusable: It holds no private key that DKIM can use.
        KeyUnavailable: The server does not answer.
    """
    uri.allow_options(*OPTIONS)
    layout, version = Layout.of(uri), version_of(uri)
    try:
        return _open(uri, context, layout, version)
    except KeyBackendError as exc:
        refusal = without_frames(exc)  # they hold octets of the key
    raise refusal


def _open(uri: KeyUri, context: KeyContext, layout: Layout, version: int | None) -> SigningKey:
    secrets = Secrets(uri, context)
    if version is not None and not secrets.place.has_versions:
        raise KeyUriError(
            f"{uri.scheme}: the engine at {secrets.place.mount} keeps no versions; leave version= "
            "away, or keep the key in KV version 2"
        )
    secret, number = secrets.read(version)
    name = str(uri) if number is None else pinned(uri, number)
    octets = layout.key_in(secret, uri=name)
    if number is not None and version is None:
        _tell_version(uri, context, number)

    def fetch() -> bytearray:
        try:
            return layout.key_in(secrets.read_again(number)[0], uri=name)
        except KeyBackendError as exc:
            refusal = without_frames(exc)
        raise refusal

    return FetchedKey(
        octets, name=name, fetch=fetch, passphrase=lambda: context.secret("passphrase")
    )


def _tell_version(uri: KeyUri, context: KeyContext, version: int) -> None:
    context.observer.event(
        KeyEvent(
            level=INFO,
            event="key-version",
            text=f"version {version} is the current one and was read; write version={version} "
            "into the key table, or a restart takes what is current then",
            uri=str(uri),
            fields={"version": version},
        )
    )
