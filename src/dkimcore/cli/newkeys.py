"""A key that ``dkimcore keygen`` is to make: in a file, or in another key backend.

Either is made, its record is written, and a message is signed with the one and verified with
the other.  What the record says is `recordplan`'s.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from dkimcore.cli.exits import CommandError, Exit
from dkimcore.cli.keyfiles import KeyFiles, check_places, check_record, write_file
from dkimcore.cli.keymaking import make_key, open_made_key
from dkimcore.cli.output import warn
from dkimcore.errors import DkimError, SettingsError
from dkimcore.keys.file import key_path
from dkimcore.keys.generation import generate_pem
from dkimcore.keys.memory import decode_private_key
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.crypto import PublicKey

if TYPE_CHECKING:
    from dkimcore.cli.recordplan import RecordPlan
    from dkimcore.keys import KeyContext, MadeKey
    from dkimcore.protocol.algorithm import KeyType
    from dkimcore.protocol.names import Selector

__all__ = ["Made", "NewFileKey", "NewKey", "NewStoredKey"]

_NAME = "dkimcore keygen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A key that was made.

    Attributes:
        place: What a person calls its place: a file, or its URI.
        uri: Its pinned URI.
        public_key: Its public half.
    """

    place: str
    uri: str
    public_key: PublicKey


class NewKey(Protocol):
    """A key to make, and its record."""

    @property
    def key_type(self) -> KeyType:
        """RSA or Ed25519."""
        ...

    @property
    def selector(self) -> Selector:
        """Where its record will be."""
        ...

    @property
    def uri(self) -> KeyUri:
        """Its name, before it is made."""
        ...

    @property
    def record_file(self) -> Path:
        """Where its record is written."""
        ...

    def check(self, *, force: bool) -> None:
        """Refuse to begin where it cannot end well, or would replace something.

        Args:
            force: Whether files may be replaced.

        Raises:
            CommandError: A file is there, or cannot be made.
        """
        ...

    def make(self, plan: RecordPlan, *, bits: int, force: bool) -> Made:
        """Make the key, write its record, and check both.

        Args:
            plan: What the record says.
            bits: The length of an RSA key.
            force: Whether files may be replaced.

        Raises:
            DkimError: It cannot be made, or not used.
            OSError: A file cannot be written.
            CommandError: They do not fit each other, or a file is there meanwhile.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFileKey:
    """A key to make in a file.

    Attributes:
        key_type: RSA or Ed25519.
        selector: Where its record will be.
        files: Its two files.
    """

    key_type: KeyType
    selector: Selector
    files: KeyFiles

    @classmethod
    def at(cls, uri: KeyUri, *, key_type: KeyType, selector: Selector, folder: Path) -> NewFileKey:
        """Return a key to make in the file that a URI names.

        Raises:
            KeyUriError: The URI names another host, or has options.
            CommandError: Its folder is not there.
        """
        uri.allow_options()
        path = Path(os.path.expanduser(key_path(uri)))
        if not path.parent.is_dir():
            raise CommandError(
                f"{path.parent} is not a folder; make it first", status=Exit.CANNOT_CREATE
            )
        files = KeyFiles(private=path, record=_record_file(selector, folder))
        return cls(key_type=key_type, selector=selector, files=files)

    @property
    def record_file(self) -> Path:
        """Where its record is written."""
        return self.files.record

    @property
    def uri(self) -> KeyUri:
        """Its name, with the whole path."""
        return KeyUri(scheme="file", path=str(self.files.private.absolute()))

    def check(self, *, force: bool) -> None:
        """Look at both files before a key is made (see `NewKey.check`)."""
        self.files.check(force=force)

    def make(self, plan: RecordPlan, *, bits: int, force: bool) -> Made:
        """Make the key and both its files, and check them (see `NewKey.make`)."""
        try:
            pem = generate_pem(self.key_type, bits=bits)
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
        uri = str(self.uri)
        key = decode_private_key(pem, uri=uri, passphrase=lambda: None)
        public_key = PublicKey.of(key.public_key())
        with self.files.prepared(pem, plan.zone_entry(self.selector, public_key)) as new:
            warning = new.self_check(plan.domain, self.selector)
            self.files.put(new, force=force)
        if warning:
            warn(f"warning: it will not be used as it is: {warning}", name=_NAME)
        return Made(place=str(self.files.private), uri=uri, public_key=public_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStoredKey:
    """A key to make in another key backend than files.

    Attributes:
        key_type: RSA or Ed25519.
        selector: Where its record will be.
        uri: Its name, as its backend wants it.
        folder: Where the record is written.
        context: Where secrets and backends are.
    """

    key_type: KeyType
    selector: Selector
    uri: KeyUri
    folder: Path
    context: KeyContext

    @property
    def record_file(self) -> Path:
        """Where its record is written."""
        return _record_file(self.selector, self.folder)

    def check(self, *, force: bool) -> None:
        """Look at the file before a key is made that may cost money (see `NewKey.check`)."""
        check_places(self.record_file, force=force)

    def make(self, plan: RecordPlan, *, bits: int, force: bool) -> Made:
        """Make the key and its file, and check them (see `NewKey.make`)."""
        made = make_key(
            self.uri,
            self.context,
            call=lambda maker, context: maker.create_key(
                self.uri, context, key_type=self.key_type, bits=bits
            ),
        )
        try:
            self._write_and_check(made, plan, force=force)
        except (DkimError, OSError, CommandError):
            warn(f"the key {made.uri} was made and stays in its backend; but:", name=_NAME)
            raise
        return Made(place=made.uri, uri=made.uri, public_key=made.public_key)

    def _write_and_check(self, made: MadeKey, plan: RecordPlan, *, force: bool) -> None:
        entry = plan.zone_entry(self.selector, made.public_key)
        write_file(self.record_file, entry.encode("ascii"), force=force)
        with KeyStore(context=self.context) as keys:
            key = open_made_key(made, keys)
            check_record(self.record_file, key, plan.domain, selector=self.selector, name=made.uri)


def _record_file(selector: Selector, folder: Path) -> Path:
    return folder / f"{selector.text}.txt"
