"""The two files of a key: ``SEL.private`` and ``SEL.txt``, made together or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
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
    from collections.abc import Iterator

    from dkimcore.keys import SigningKey
    from dkimcore.protocol.names import Selector

__all__ = ["KeyFiles", "check_places", "check_record", "write_file"]

_PROBE = b"From: keygen@%s\r\nSubject: self-check\r\n\r\nIs this key good?\r\n"
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})  # of file systems: vfat
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

    def check(self, *, force: bool) -> None:
        """Refuse to begin where they cannot be written, or would replace a key in use.

        Args:
            force: Whether files may be replaced.

        Raises:
            CommandError: They cannot both be there.
        """
        if self.private.name == self.record.name and os.path.samefile(
            self.private.parent, self.record.parent
        ):
            raise CommandError(
                f"{self.record} will be the record; choose another name for the key",
                status=Exit.CANNOT_CREATE,
            )
        check_places(self.private, self.record, force=force)

    @contextlib.contextmanager
    def prepared(self, private: bytes, record: str) -> Iterator[KeyFiles]:
        """Write both beside their places with mode 0600, until it is known that they are good.

        Args:
            private: The private key.
            record: The record.

        Returns:
            What was written; it is removed in the end.

        Raises:
            OSError: One could not be written.
        """
        with (
            _beside(self.record, record.encode("ascii")) as new_record,
            _beside(self.private, private) as new_private,
        ):
            yield KeyFiles(private=new_private, record=new_record)

    def put(self, new: KeyFiles, *, force: bool) -> None:
        """Put both in place.

        Args:
            new: What `prepared` wrote.
            force: Replace what is there.

        Raises:
            CommandError: One is there, and is not to be replaced.
            OSError: One could not be put in place.  Whatever is raised, what was there is there.
        """
        # The key last, in one step: up to then the old one signs, and its record is published.
        with _in_place(new.record, self.record, force=force):
            _put(new.private, self.private, force=force)

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


def check_places(*paths: Path, force: bool) -> None:
    """Refuse to begin where files cannot be written, or would replace what may be in use.

    Args:
        paths: The files.
        force: Whether they may be replaced.

    Raises:
        CommandError: One is there, or cannot be.
    """
    for path in paths:
        if not force and os.path.lexists(path):
            raise _is_there(path)
        _refuse_folder(path)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise CommandError(
                f"nothing can be written into {path.parent}, and {path.name} should be; choose "
                "another folder (-D, --key), or see who may write there",
                status=Exit.CANNOT_CREATE,
            )


def _refuse_folder(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        raise CommandError(
            f"{path} is a folder; move it away, or choose another name", status=Exit.CANNOT_CREATE
        )


def _is_there(path: Path) -> CommandError:
    return CommandError(
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


def write_file(path: Path, octets: bytes, *, force: bool) -> None:
    """Write a file with mode 0600 in one step.

    Args:
        path: The file.
        octets: What it is to hold.
        force: Replace what is there.

    Raises:
        CommandError: It is there, and is not to be replaced.
        OSError: It could not be written.  Whatever is raised, what was there is as it was.
    """
    with _beside(path, octets) as new:
        _put(new, path, force=force)


@contextlib.contextmanager
def _beside(path: Path, octets: bytes) -> Iterator[Path]:
    """Write a file beside another, for it is never seen half written; remove it in the end."""
    with _named(path):
        descriptor, name = tempfile.mkstemp(prefix=".dkimcore-", dir=path.parent)  # of mode 0600
    new = Path(name)
    try:
        with _named(path), open(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
        yield new
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def _in_place(new: Path, path: Path, *, force: bool) -> Iterator[None]:
    """Put a file in place; if what follows fails, what was there is there again."""
    old = new.with_name(f"{new.name}.old")
    with contextlib.ExitStack() as undo:
        is_kept = force and os.path.lexists(path)
        if is_kept:
            _refuse_folder(path)
            with _named(path):
                # No link, which the system refuses for files of others that may be replaced.
                os.rename(path, old)
            undo.callback(os.replace, old, path)
        _put(new, path, force=force)
        if not is_kept:
            undo.callback(os.unlink, path)
        yield
        undo.pop_all()
    old.unlink(missing_ok=True)


def _put(new: Path, path: Path, *, force: bool) -> None:
    """Put a file in place in one step, and not through somebody's link."""
    with _named(path):
        if force:
            os.replace(new, path)
            return
        try:
            _link(new, path)
        except FileExistsError:
            raise _is_there(path) from None


def _link(new: Path, path: Path) -> None:
    """Put a file in place that must not replace another, as os.rename would."""
    try:
        os.link(new, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # An empty file takes the name first, which nobody else can have meanwhile.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.replace(new, path)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let errors name the file that was asked for, and not the one beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
