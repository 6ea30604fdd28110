"""Where messages come from: files, standard input, Maildirs and mbox files.

Gives each message in wire form without holding it in memory.  A message that has no CRLF
at all is in local form: its LFs are line ends, and become CRLF.  One with any CRLF in it is
in wire form and is left as it is, so that a stray LF is judged and not mended.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dkimcore.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "LineEnds",
    "Message",
    "Source",
    "SourceKind",
    "begins_with_from_line",
    "find_sources",
    "open_messages",
]

_CHUNK = 65_536
_IN_MEMORY = 1 << 20  # octets of a message from a pipe that are kept off the disk

# RFC 4155 Appendix A, and what is found in practice: "From ", an address, a date.  A header
# field that RFC 5322 section 4.5 lets begin with "From :" is none.
_FROM_LINE = re.compile(rb"From (?![ \t]*:)[^\r\n]*\r?\n?")
_ESCAPED_FROM = re.compile(rb">+From ")


class LineEnds(StrEnum):
    """How the lines of a stored message end."""

    AUTO = "auto"
    CRLF = "crlf"
    LF = "lf"


class SourceKind(StrEnum):
    """What a file holds."""

    AUTO = "auto"
    MESSAGE = "message"
    MBOX = "mbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file with a message or with many, or standard input.

    Attributes:
        name: What people call it.
        path: None for standard input.
    """

    name: str
    path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A stored message.

    Attributes:
        name: Its file, or its file and number in an mbox.
        file: Its octets as stored; can be read again.
        line_ends: CRLF or LF.
        path: Its file, when that holds nothing else.
    """

    name: str
    file: IO[bytes]
    line_ends: LineEnds
    path: Path | None = None

    def stored(self) -> Iterator[bytes]:
        """Give the octets as they are stored."""
        self.file.seek(0)
        while chunk := self.file.read(_CHUNK):
            yield chunk

    def wire(self) -> Iterator[bytes]:
        """Give the octets in wire form."""
        if self.line_ends is not LineEnds.LF:
            return self.stored()
        return _with_crlf(self.stored())


def _with_crlf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Replace every LF that no CR precedes by CRLF."""
    held = b""
    for chunk in chunks:
        octets = held + chunk
        held = octets[-1:] if octets.endswith(b"\r") else b""
        octets = octets[:-1] if held else octets
        yield octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield held


def begins_with_from_line(message: Message) -> bool:
    """Whether a message has a From_ line on top, as in an mbox."""
    message.file.seek(0)
    return _FROM_LINE.match(message.file.readline(_CHUNK)) is not None


def find_sources(paths: Iterable[str]) -> list[Source]:
    """Find the files that hold messages.

    Args:
        paths: Files, Maildir folders, or "-" for standard input; none means "-".

    Raises:
        CommandError: A path is not there, or is a folder and not a Maildir.
    """
    sources: list[Source] = []
    for path in list(paths) or ["-"]:
        if path == "-":
            sources.append(Source(name="-", path=None))
        elif os.path.isdir(path):
            sources += _maildir(Path(path))
        elif os.path.exists(path):
            sources.append(Source(name=path, path=Path(path)))
        else:
            raise CommandError(f"{path}: no such file", status=Exit.NO_INPUT)
    return sources


def _maildir(folder: Path) -> list[Source]:
    parts = [folder / "cur", folder / "new"]
    if not all(part.is_dir() for part in parts):
        raise CommandError(
            f"{folder} is a folder and not a Maildir (it has no cur and new); name the files in it",
            status=Exit.NO_INPUT,
        )
    return [
        Source(name=str(path), path=path)
        for part in parts
        for path in sorted(part.iterdir())
        if path.is_file() and not path.name.startswith(".")
    ]


def open_messages(
    source: Source, *, kind: SourceKind, line_ends: LineEnds, unescape: bool
) -> Iterator[Message]:
    """Open each message of a source in turn; a message is closed when the next is asked for.

    Args:
        source: Where to read.
        kind: What it holds; AUTO takes what begins with "From " for an mbox.
        line_ends: How lines end; AUTO looks at each message.
        unescape: Whether ">From " at the beginning of a line of an mbox loses its ">".

    Raises:
        OSError: It cannot be read.
    """
    with _open(source) as file:
        first = file.readline(_CHUNK)
        if kind is SourceKind.MBOX or (kind is SourceKind.AUTO and _FROM_LINE.match(first)):
            yield from _mbox(file, source.name, line_ends=line_ends, unescape=unescape)
            return
        yield Message(
            name=source.name,
            file=file,
            line_ends=_found(file) if line_ends is LineEnds.AUTO else line_ends,
            path=source.path,
        )


def _open(source: Source) -> IO[bytes]:
    if source.path is not None:
        file = source.path.open("rb")
        if file.seekable():
            return file
        with file:
            return _spooled(file)
    if sys.stdin is None:  # its descriptor was closed by whoever started us
        raise CommandError("standard input is closed", status=Exit.NO_INPUT)
    return _spooled(sys.stdin.buffer)


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
    while chunk := stream.read(_CHUNK):
        spool.write(chunk)
    spool.seek(0)
    return spool


def _found(file: IO[bytes]) -> LineEnds:
    """Look how the lines of a message end."""
    file.seek(0)
    last = b""
    any_lf = False
    while chunk := file.read(_CHUNK):
        if b"\r\n" in last + chunk:
            return LineEnds.CRLF
        any_lf = any_lf or b"\n" in chunk
        last = chunk[-1:]
    return LineEnds.LF if any_lf else LineEnds.CRLF


def _mbox(file: IO[bytes], name: str, *, line_ends: LineEnds, unescape: bool) -> Iterator[Message]:
    """Divide an mbox at its From_ lines: at the beginning, and behind an empty line."""
    file.seek(0)
    number = 0
    line = _skip_to_from_line(file)
    if line and not _FROM_LINE.match(line):
        raise CommandError(
            f"{name} is no mbox: it does not begin with a line such as "
            "'From somebody@example.com Thu Jan  1 00:00:00 2026'",
            status=Exit.DATA,
        )
    while line:
        number += 1
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
            line = _one_of_mbox(file, spool, unescape=unescape)
            found = _found(spool) if line_ends is LineEnds.AUTO else line_ends
            yield Message(name=f"{name}:{number}", file=spool, line_ends=found)


def _skip_to_from_line(file: IO[bytes]) -> bytes:
    line = file.readline(_CHUNK)
    while line and not line.strip(b"\r\n"):
        line = file.readline(_CHUNK)
    return line


def _one_of_mbox(file: IO[bytes], spool: IO[bytes], *, unescape: bool) -> bytes:
    """Copy one message; return the From_ line behind it, or nothing at the end of the file."""
    empty = b""  # an empty line that may be the one before a From_ line, which is no part
    at_start = True  # lines longer than a chunk come in pieces
    while line := file.readline(_CHUNK):
        if at_start and empty and _FROM_LINE.match(line):
            return line
        spool.write(empty)
        empty = b""
        ends = line.endswith(b"\n")
        if at_start and line in (b"\n", b"\r\n"):
            empty = line
        else:
            if unescape and at_start and _ESCAPED_FROM.match(line):
                line = line[1:]
            spool.write(line)
        at_start = ends
    return b""
