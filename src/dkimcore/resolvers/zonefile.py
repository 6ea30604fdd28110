"""TXT records from text: zone files and OpenDKIM's TestPublicKeys files.

Reads what ``opendkim-genkey`` writes (``SEL.txt``), other master files (RFC 1035
section 5) as far as TXT records go, and lines of a name and a record, as OpenDKIM's
``TestPublicKeys`` has them.  What the records mean is left to `dkimcore.protocol`,
asking for them to `dkimcore.resolvers.static`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dkimcore.errors import ConfigError
from dkimcore.resolvers.owner import fold_name, wire_labels

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["read_records"]

# An owner, maybe TTL and class in either order, then TXT: no TestPublicKeys line is like that.
_ZONE_LINE = re.compile(
    r"^(?:\$(?:ORIGIN|TTL)[ \t]|\S*[ \t]+(?:(?:IN|\d\w*)[ \t]+){0,2}TXT[ \t])", re.I | re.M
)
# opendkim-genkey (without -a) names the domain of its relative owner only in this comment.
_GENKEY_COMMENT = re.compile(r";\s*-----\s*DKIM key \S+ for (\S+)")
_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\f\v]+)|(?P<comment>;[^\n]*)|(?P<newline>\n)|(?P<paren>[()])"
    r'|"(?P<quoted>(?:[^"\\]|\\(?:.|\n))*)"|(?P<word>(?:[^\s();"\\]|\\.)+)'
)
_ESCAPE = re.compile(r"\\(\d{3}|.)", re.S)
_TTL_OR_CLASS = re.compile(r"(?:\d\w*|IN)\Z", re.I)
_MAX_STRING_OCTETS = 255


@dataclass(slots=True)
class _Entry:
    """One record of a zone file: its words and the line it begins on."""

    line: int
    has_owner: bool
    words: list[str] = field(default_factory=list)


class _Owned(NamedTuple):
    line: int
    owner: str
    record: bytes


def read_records(
    path: str | os.PathLike[str], *, origin: str | None = None
) -> dict[str, tuple[bytes, ...]]:
    """Read every TXT record of a file.

    Args:
        path: A zone file or a TestPublicKeys file; which of them it is shows.
        origin: What relative names of a zone file end in.  Without it ``$ORIGIN`` and the
            comment of opendkim-genkey count, and without those a name is absolute.

    Returns:
        Records by name (`fold_name`), in the order of the file.

    Raises:
        ConfigError: It cannot be read or is not such a file; names file and line.
    """
    file = str(path)
    try:
        # Octet by octet: what is not ASCII in a record stays as it is.
        text = Path(path).read_bytes().decode("latin-1")
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror or error}): check the name and its permissions",
            file=file,
        ) from None
    owned = _zone(text, file, origin) if _ZONE_LINE.search(text) else _lines(text, file)
    records: dict[str, tuple[bytes, ...]] = {}
    for line, owner, record in owned:
        if wire_labels(owner) is None:
            raise ConfigError(
                f"{owner!r} is not a DNS name: write A-labels of at most 63 octets",
                file=file,
                line=line,
            )
        name = fold_name(owner)
        records[name] = (*records.get(name, ()), record)
    if not records:
        raise ConfigError("holds no TXT record: expected 'name record' lines or a zone", file=file)
    return records


def _lines(text: str, file: str) -> Iterator[_Owned]:
    """A name, white space, a record; ``#`` begins a comment line (OpenDKIM TestPublicKeys)."""
    for number, line in enumerate(text.split("\n"), 1):
        content = line.rstrip("\r")
        if not content.strip(" \t") or content.startswith("#"):
            continue
        # Not by split(None), which takes VT, FF and NBSP for white space.
        owner, *record = re.split(r"[ \t]+", content.strip(" \t"), maxsplit=1)
        if not record:
            raise ConfigError(
                "a name without a record: write 'name record'", file=file, line=number
            )
        yield _Owned(number, owner, record[0].encode("latin-1"))


def _zone(text: str, file: str, origin: str | None) -> Iterator[_Owned]:
    comment = _GENKEY_COMMENT.search(text)
    if origin is None and comment is not None:
        origin = comment[1]
    owner: str | None = None
    for entry in _entries(text, file):
        words = entry.words
        if words[0].startswith("$") and entry.has_owner:
            if words[0].upper() == "$ORIGIN" and len(words) > 1:
                origin = words[1]
            continue
        if entry.has_owner:
            owner = _complete(words.pop(0), origin)
        while words and _TTL_OR_CLASS.match(words[0]):
            words.pop(0)
        if not words or words[0].upper() != "TXT":
            continue  # other types are none of a key's
        if owner is None:
            raise ConfigError("the first record has no name", file=file, line=entry.line)
        yield _Owned(entry.line, owner, _joined(words[1:], file=file, line=entry.line))


def _complete(name: str, origin: str | None) -> str:
    if name == "@":
        return origin or "."
    return name if name.endswith(".") or origin is None else f"{name}.{origin}"


def _joined(words: list[str], *, file: str, line: int) -> bytes:
    """Join the character-strings of one record (RFC 6376 section 3.6.2.2)."""
    if not words:
        raise ConfigError("TXT without a string: quote one after it", file=file, line=line)
    strings = [_ESCAPE.sub(_unescape, word).encode("latin-1") for word in words]
    if any(len(string) > _MAX_STRING_OCTETS for string in strings):
        raise ConfigError(
            f"a string of over {_MAX_STRING_OCTETS} octets, which no name server loads: "
            "split it into several quoted ones",
            file=file,
            line=line,
        )
    return b"".join(strings)


def _unescape(match: re.Match[str]) -> str:
    escaped = match[1]
    return chr(int(escaped) & 0xFF) if len(escaped) == 3 else escaped


def _entries(text: str, file: str) -> Iterator[_Entry]:
    """Split a zone file into records; parentheses join lines (RFC 1035 section 5.1)."""
    position, line, opened = 0, 1, 0
    entry = _Entry(line, has_owner=True)
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ConfigError("a quote that is not closed", file=file, line=line)
        at_start = position == 0 or text[position - 1] == "\n"
        kind, position = token.lastgroup, token.end()
        if kind == "paren":
            opened = opened or line if token[0] == "(" else 0
        elif kind == "blank" and at_start and not opened:
            entry.has_owner = False
        elif kind in ("word", "quoted"):
            entry.words.append(token[kind])
        line += token[0].count("\n")
        if kind == "newline" and not opened:
            if entry.words:
                yield entry
            entry = _Entry(line, has_owner=True)
    if opened:
        raise ConfigError("a '(' that is not closed", file=file, line=opened)
    if entry.words:
        yield entry
