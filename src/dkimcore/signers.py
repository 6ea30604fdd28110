"""The signers for an author's mail: tables on one side, keys on the other.

`dkimcore.tables` says which keys sign and `dkimcore.keys` opens them; neither knows the
other.  Parsing the author's address is left to `dkimcore.protocol.mailbox`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyNotFound, SettingsError, StateError, TableError
from dkimcore.keys.memory import MemoryKey, decode_private_key, without_frames
from dkimcore.signer import Signer
from dkimcore.tables.plan import plan

if TYPE_CHECKING:
    from dkimcore.keys import SigningKey
    from dkimcore.keys.store import KeyStore
    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.protocol.policy import SigningProfile
    from dkimcore.tables.keytable import KeyRow, KeyTable
    from dkimcore.tables.plan import PlannedSignature
    from dkimcore.tables.signingtable import SigningTable

__all__ = ["open_row", "signers_for"]


def signers_for(
    author: Mailbox,
    signing_table: SigningTable,
    key_table: KeyTable,
    key_store: KeyStore,
    profile: SigningProfile | None = None,
    *,
    all_matches: bool = False,
) -> tuple[Signer, ...]:
    """Return who signs an author's mail; nobody if no row of the signing table applies.

    Args:
        author: The author's address, from `dkimcore.protocol.mailbox.author`.
        signing_table: Which keys sign for whom.
        key_table: What the keys' names stand for.
        key_store: Opens the keys, each once.
        profile: How to sign; None means the safe defaults.
        all_matches: One signature for each row that applies (OpenDKIM's MultipleSignatures),
            such as one with RSA and one with Ed25519, instead of the first row's alone.

    Raises:
        TableError: A row that applies is wrong, or its key cannot sign what it says.
        ConfigError: A key's URI is malformed or its scheme unknown.
        KeyBackendError: A key cannot be opened.
        MessageError: "%" stands for the author's domain, which cannot be a signing domain,
            and no other row applies.
        StateError: The store is closed.
    """
    planned = plan(author, signing_table, key_table, all_matches=all_matches)
    return tuple(_signer(signature, key_store, profile) for signature in planned)


def open_row(row: KeyRow, uri: str, key_store: KeyStore) -> SigningKey:
    """Open the key of a row, as a check of all keys does.

    Args:
        row: The row of the key table.
        uri: Its key's URI, from `KeyRow.uri_for`.
        key_store: Opens the key, and keeps it.

    Raises:
        TableError: The row says another algorithm than the key has.
        ConfigError: The URI is malformed or its scheme unknown.
        KeyBackendError: The key cannot be opened.
        StateError: The store is closed.
    """
    key = key_store.get(uri) if row.inline_key is None else _inline(row.inline_key, uri, key_store)
    if row.algorithm is not None and row.algorithm is not key.algorithm:
        raise TableError(
            f"the row of key {row.name!r} says {row.algorithm}, but the key makes "
            f"{key.algorithm}; take the fourth field out, or name another key",
            file=row.file,
            line=row.line,
        )
    return key


def _signer(
    planned: PlannedSignature, key_store: KeyStore, profile: SigningProfile | None
) -> Signer:
    row = planned.key_row
    key = open_row(row, planned.key_uri, key_store)
    try:
        return Signer.make(
            planned.domain, planned.selector, key, auid=planned.auid, profile=profile
        )
    except SettingsError as exc:
        problem = exc.problem
    raise TableError(problem, file=row.file, line=row.line)


def _inline(octets: bytes, uri: str, key_store: KeyStore) -> SigningKey:
    try:
        return key_store.get(uri)
    except KeyNotFound:
        pass
    try:
        private_key = decode_private_key(octets, uri=uri, passphrase=lambda: None)
    except KeyBackendError as exc:
        refusal = without_frames(exc)
    else:
        # Another thread may be faster; if the store is closed, get() says so.
        with contextlib.suppress(StateError):
            key_store.add(uri, MemoryKey(private_key, name=uri))
        return key_store.get(uri)
    raise refusal
