"""Where signed messages go: standard output, a folder, or back into their files.

A file is replaced in one step, so that a reader sees the old message or the new one.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from dkimcore.cli.exits import CommandError, Exit
from dkimcore.cli.messages import LineEnds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.cli.messages import Message, Source
    from dkimcore.protocol.sign import SignatureFields

__all__ = ["Destination", "write_message"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where signed messages go.

    Attributes:
        fields_only: Print only the new fields.
        in_place: Replace the file.
        folder: Write into this folder.
        as_json: Print JSON, and no message.
    """

    fields_only: bool = False
    in_place: bool = False
    folder: Path | None = None
    as_json: bool = False

    @classmethod
    def choose(
        cls, *, fields_only: bool, in_place: bool, folder: str | None, as_json: bool
    ) -> Destination:
        """Check that the options go together.

        Raises:
            click.UsageError: They exclude each other.
            CommandError: The folder is not there.
        """
        if fields_only + in_place + (folder is not None) > 1:
            raise click.UsageError("--fields-only, --in-place and --output exclude each other")
        path = None if folder is None else Path(folder)
        if path is not None and not path.is_dir():
            raise CommandError(
                f"{folder} is not a folder; make it first", status=Exit.CANNOT_CREATE
            )
        return cls(fields_only=fields_only, in_place=in_place, folder=path, as_json=as_json)

    def check(self, sources: Sequence[Source]) -> None:
        """Check that messages can go there.

        Raises:
            click.UsageError: Several messages would be printed in a row, standard input
                cannot be replaced, or two files would be written under one name.
        """
        if not (self.in_place or self.folder or self.as_json or self.fields_only) and (
            len(sources) > 1
        ):
            raise click.UsageError(
                f"{len(sources)} messages cannot be printed in a row; give --in-place, "
                "--output DIR, --fields-only or --json"
            )
        if (self.in_place or self.folder) and any(source.path is None for source in sources):
            raise click.UsageError("standard input has no file name; leave the option away")
        names = [source.path.name for source in sources if source.path is not None]
        if self.folder is not None and len(set(names)) < len(names):
            raise click.UsageError("two of the files have one name; --output needs different ones")


def write_message(
    message: Message, fields: SignatureFields, destination: Destination
) -> Path | None:
    """Write a signed message; return the file, if it went into one.

    Raises:
        OSError: It could not be written; a file that was there is as it was.
    """
    on_top = fields.octets
    if message.line_ends is LineEnds.LF:
        on_top = on_top.replace(b"\r\n", b"\n")
    if message.path is not None and destination.in_place:
        target = Path(os.path.realpath(message.path))
        _replace(target, message, on_top, like=target)
        return target
    if message.path is not None and destination.folder is not None:
        target = destination.folder / message.path.name
        _replace(target, message, on_top, like=message.path)
        return target
    if destination.as_json:
        return None
    if destination.fields_only:
        sys.stdout.buffer.write(on_top)
    else:
        _copy(message, on_top, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return None


def _copy(message: Message, on_top: bytes, file: BinaryIO) -> None:
    file.write(on_top)
    for chunk in message.stored():
        file.write(chunk)


def _replace(target: Path, message: Message, on_top: bytes, *, like: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".dkimcore-", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            _copy(message, on_top, file)
            file.flush()
            os.fsync(descriptor)
        shutil.copymode(like, name)
        _copy_owner(like, name)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _copy_owner(like: Path, name: str) -> None:
    status = os.stat(like)
    if os.geteuid() == 0:  # nobody else may give files away
        os.chown(name, status.st_uid, status.st_gid)
