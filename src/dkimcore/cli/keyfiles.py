"""The two files of a key: ``SEL.private`` and ``SEL.txt``, made together or not at all."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dkimcore.blocking import sign, verify
from dkimcore.cli.exits import CommandError, Exit
from dkimcore.errors import KeyDenied
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.names import DomainName
from dkimcore.resolvers.static import StaticResolver
from dkimcore.signer import Signer

if TYPE_CHECKING:
    from dkimcore.keys import SigningKey
    from dkimcore.protocol.names import Selector

__all__ = ["KeyFiles", "check_record", "refuse_existing", "write_file"]

_PROBE = b"From: keygen@%s\r\nSubject: self-check\r\n\r\nIs this key good?\r\n"
_NO_DOMAIN = DomainName.parse("self-check.invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """Where a key and its record are.

    Attributes:
        private: The private key, PEM.
        record: The key record, as a zone file has it.
    """

    private: Path
    record: Path

    @classmethod
    def named(cls, selector: Selector, folder: Path) -> KeyFiles:
        """Return the files of a selector in a folder."""
        return cls(
            private=folder / f"{selector.text}.private", record=folder / f"{selector.text}.txt"
        )

    def refuse_existing(self) -> None:
        """Refuse to replace a key that may be in use.

        Raises:
            CommandError: One of the files is there.
        """
        refuse_existing(self.private, self.record)

    def write(self, private: bytes, record: str) -> None:
        """Write both files with mode 0600, replacing what is there.

        Raises:
            OSError: One could not be written; then neither is there.
        """
        try:
            write_file(self.private, private)
            write_file(self.record, record.encode("ascii"))
        except OSError:
            self.private.unlink(missing_ok=True)
            raise

    def self_check(self, domain: DomainName | None, selector: Selector) -> str:
        """Read both files back, sign with the key and verify with the record.

        Returns:
            A warning for the operator, or nothing.

        Raises:
            KeyBackendError: The key cannot be used.
            ConfigError: The record cannot be read.
            CommandError: They do not fit each other.
        """
        warning = ""
        uri = f"file:{self.private.absolute()}"
        with KeyStore() as keys:
            try:
                key = keys.get(uri)
            except KeyDenied as error:
                warning = error.problem
                key = keys.get(uri + "?permissions=ignore")
            check_record(self.record, key, domain, selector=selector, name=str(self.private))
        return warning


def refuse_existing(*paths: Path) -> None:
    """Refuse to replace files that may be in use.

    Raises:
        CommandError: One of them is there.
    """
    for path in paths:
        if os.path.lexists(path):
            raise CommandError(
                f"{path} is there already; choose another selector, or replace it with --force",
                status=Exit.CANNOT_CREATE,
            )


def check_record(
    path: Path, key: SigningKey, domain: DomainName | None, *, selector: Selector, name: str
) -> None:
    """Sign a message with a key and verify it with the record in a file.

    Args:
        path: The file.
        key: The key.
        domain: For whom; None where nobody has said it yet.
        selector: Where the record will be.
        name: What errors call the key.

    Raises:
        KeyBackendError: The key cannot be used.
        ConfigError: The record cannot be read.
        CommandError: They do not fit each other.
    """
    signed_by = domain or _NO_DOMAIN
    resolver = StaticResolver.from_file(path, origin=signed_by.ascii)
    message = _PROBE % signed_by.ascii.encode("ascii")
    (field,) = sign(message, [Signer(domain=signed_by, selector=selector, key=key)], now=0)
    results = verify(field.raw + b"\r\n" + message, resolver=resolver, now=0)
    if not results.passed:
        raise CommandError(
            f"the record in {path} does not fit the key {name}: {results[0].detail}",
            status=Exit.SOFTWARE,
        )


def write_file(path: Path, octets: bytes) -> None:
    """Write a file with mode 0600, replacing what is there in one step.

    Raises:
        OSError: It could not be written; what was there is as it was.
    """
    # A new file beside it, put in place in one step: never a key that others can read, never
    # a write through somebody's link.
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(
        new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IRUSR | stat.S_IWUSR
    )
    try:
        with open(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
