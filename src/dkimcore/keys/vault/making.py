"""Makes keys in a Vault, or brings them there, for both backends.

Nothing that exists is overwritten: a name stands for one key.  The token needs more rights for
this than for signing; it is a person's, not the mail server's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hvac.api.secrets_engines import Transit

from dkimcore.errors import KeyBackendError, KeyNotFound, KeyUnusable, KeyUriError, SettingsError
from dkimcore.keys import MadeKey
from dkimcore.keys.generation import generate_pem
from dkimcore.keys.memory import without_frames
from dkimcore.keys.vault import kv, transit
from dkimcore.keys.vault.client import client_of
from dkimcore.keys.vault.kv import Secrets
from dkimcore.keys.vault.layouts import Layout
from dkimcore.keys.vault.names import pinned
from dkimcore.keys.vault.wrapping import wrap
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.crypto import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from dkimcore.keys import KeyContext
    from dkimcore.keys.uri import KeyUri
    from dkimcore.keys.vault.channel import Adapter
    from dkimcore.keys.vault.transitkeys import TransitKeys

__all__ = ["KV", "TRANSIT"]

_SECONDS = 60.0  # for a call: a server may look for the primes of an RSA-4096 key for many
_EXISTS = "a key is kept under this name already; choose a name for each selector"
_BITS = (2048, 3072, 4096)


class _TransitMaker:
    """Keys that stay in a Transit engine (see `KeyMaker`)."""

    def create_key(
        self, uri: KeyUri, context: KeyContext, *, key_type: KeyType, bits: int
    ) -> MadeKey:
        """Make a key: not exportable, without backups in plain text, never rotated by itself.

        Raises:
            ConfigError: The URI or the section is wrong, or Transit has no keys of this length.
            KeyBackendError: There is a key already (`KeyUnusable`), or it cannot be made.
        """
        kind = _kind(key_type, bits)

        def make(adapter: Adapter, mount: str, name: str) -> None:
            Transit(adapter).create_key(
                name=name,
                key_type=kind,
                exportable=False,
                allow_plaintext_backup=False,
                mount_point=mount,
            )

        keys = self._made(uri, context, make)
        return MadeKey(uri=pinned(uri, keys.latest), public_key=keys.public_key(keys.latest))

    def import_key(
        self, uri: KeyUri, context: KeyContext, private_key: RSAPrivateKey | Ed25519PrivateKey
    ) -> MadeKey:
        """Bring a key that exists, wrapped so that only the engine can open it.

        Raises:
            ConfigError: The URI or the section is wrong.
            KeyBackendError: There is a key already, or Transit cannot take this one
                (`KeyUnusable`), or it cannot be brought.
        """
        is_rsa = isinstance(private_key, RSAPrivateKey)
        bits = cast("RSAPrivateKey", private_key).key_size if is_rsa else 0
        if is_rsa and bits not in _BITS:
            raise KeyUnusable(
                f"Transit takes RSA keys of 2048, 3072 and 4096 bits, and this one has {bits}; "
                "make a new key under a new selector, or keep this one in a KV engine (vault-kv:)",
                uri=str(uri),
            )

        def bring(adapter: Adapter, mount: str, name: str) -> None:
            document = adapter.get(f"/v1/{quote(mount)}/wrapping_key")
            data = document.get("data")
            wrapping_key = data.get("public_key") if isinstance(data, dict) else None
            # hvac knows no import.
            adapter.post(
                f"/v1/{quote(mount)}/keys/{quote(name, safe='')}/import",
                json={
                    "ciphertext": wrap(private_key, wrapping_key, uri=str(uri)),
                    "hash_function": "SHA256",
                    "type": f"rsa-{bits}" if is_rsa else "ed25519",
                    "exportable": False,
                    "allow_rotation": False,
                },
            )

        keys = self._made(uri, context, bring)
        public_key = keys.public_key(keys.latest)
        if public_key != PublicKey.of(private_key.public_key()):
            raise KeyUnusable(
                "the key that is kept under this name now is another one; delete it, and see who "
                "else makes keys there",
                uri=str(uri),
            )
        return MadeKey(uri=pinned(uri, keys.latest), public_key=public_key)

    def _made(
        self, uri: KeyUri, context: KeyContext, make: Callable[[Adapter, str, str], None]
    ) -> TransitKeys:
        """Make a key where there is none, and return what the engine tells of it."""
        uri.allow_options("backend")
        mount, name = transit.name_of(uri)
        client = client_of(context, transit.section_of(uri, context), uri=str(uri))
        try:
            transit.read_keys(uri, context)
        except KeyNotFound:
            exists = False
        except KeyUnusable:
            exists = True  # a key of another type
        else:
            exists = True
        if exists:
            raise KeyUnusable(_EXISTS, uri=str(uri))
        make(client.adapter(timeout=_SECONDS, uri=str(uri), slow=True), mount, name)
        return transit.read_keys(uri, context)


class _KvMaker:
    """Keys in a KV engine, made here (see `KeyMaker`)."""

    def create_key(
        self, uri: KeyUri, context: KeyContext, *, key_type: KeyType, bits: int
    ) -> MadeKey:
        """Make a key and write it in PEM, as KumoMTA keeps one.

        Raises:
            ConfigError: The URI or the section is wrong, or the length.
            KeyBackendError: There is a secret already (`KeyUnusable`), or it cannot be written.
        """
        pem = generate_pem(key_type, bits=bits)
        # The numbers are right: they were made a moment ago.
        key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        return self._write(uri, context, cast("RSAPrivateKey | Ed25519PrivateKey", key))

    def import_key(
        self, uri: KeyUri, context: KeyContext, private_key: RSAPrivateKey | Ed25519PrivateKey
    ) -> MadeKey:
        """Write a key that exists in PEM, as KumoMTA keeps one.

        Raises:
            ConfigError: The URI or the section is wrong.
            KeyBackendError: There is a secret already (`KeyUnusable`), or it cannot be written.
        """
        return self._write(uri, context, private_key)

    def _write(
        self, uri: KeyUri, context: KeyContext, private_key: RSAPrivateKey | Ed25519PrivateKey
    ) -> MadeKey:
        uri.allow_options(*(option for option in kv.OPTIONS if option != "version"))
        field = Layout.of(uri).single_field
        if field is None:
            raise KeyUriError(
                f"{uri.scheme}: keys are written one in a secret; leave selector= and domain= away"
            )
        try:
            version = self._create(uri, context, field, private_key)
        except KeyBackendError as exc:
            refusal = without_frames(exc)  # they hold the key
        else:
            name = str(uri) if version is None else pinned(uri, version)
            return MadeKey(uri=name, public_key=PublicKey.of(private_key.public_key()))
        raise refusal

    def _create(
        self,
        uri: KeyUri,
        context: KeyContext,
        field: str,
        private_key: RSAPrivateKey | Ed25519PrivateKey,
    ) -> int | None:
        secrets = Secrets(uri, context)
        # KV version 2 is told to write only where there is nothing; version 1 cannot be told.
        try:
            secrets.read(None)
        except KeyNotFound:
            pass
        else:
            raise KeyUnusable(_EXISTS, uri=str(uri))
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return secrets.create({field: pem.decode("ascii")})


def _kind(key_type: KeyType, bits: int) -> str:
    if key_type is KeyType.ED25519:
        return "ed25519"
    if bits not in _BITS:
        raise SettingsError(
            f"Transit makes RSA keys of 2048, 3072 and 4096 bits, not of {bits}; 2048 is good"
        )
    return f"rsa-{bits}"


TRANSIT: Final = _TransitMaker()
KV: Final = _KvMaker()
