"""The syntax of opendkim.conf, exactly as OpenDKIM reads it.

A line is cut at the first "#" or CR anywhere; there is no quoting and no continuation.
The first word is the name, the rest the value.  ``Include`` puts another file in its
place.  What the values mean is left to `dkimcore.settings.assemble`.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from dkimcore.errors import SettingsError
from dkimcore.settings.option import Kind, Option
from dkimcore.settings.options import find_option, nearest_options
from dkimcore.settings.values import Place, boolean, integer, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["STDIN", "Occurrence", "override", "read_conf", "read_octets"]

STDIN = "-"
_INCLUDE_DEPTH = 5  # OpenDKIM's limit
_FILE_OCTETS = 16_777_216  # a device, or a table by mistake; OpenDKIM's own file has 20 KiB
_BLANKS = " \t"
_SPACE = re.compile(f"[{_BLANKS}]+")


class Occurrence(NamedTuple):
    """An option that was set, once."""

    option: Option
    value: str
    place: Place

    @property
    def printed(self) -> str:
        """The value as ``opendkim -e`` prints it."""
        if self.option.kind is Kind.BOOLEAN:
            return str(boolean(self.value))
        return str(integer(self.value)) if self.option.kind is Kind.INTEGER else self.value


def read_conf(path: str) -> tuple[list[Occurrence], list[str]]:
    """Read a file and those that it includes.

    Args:
        path: The file; "-" is standard input.

    Returns:
        What is set, in the order of the lines, and the paths of the files read.

    Raises:
        SettingsError: A file cannot be read, or a line is wrong.
    """
    files: list[str] = []
    return list(_occurrences(path, files, included_from=())), files


def override(name: str, value: str) -> Occurrence:
    """Return what a flag of a command sets.

    Args:
        name: The option that the flag stands for.
        value: Its value.

    Raises:
        SettingsError: There is no such option, or it cannot have this value.
    """
    return _occurrence(name, value.strip(_BLANKS), Place())


def read_octets(path: str) -> bytes:
    """Return the content of a settings file.

    Args:
        path: The file; "-" is standard input.

    Raises:
        SettingsError: It cannot be read.
    """
    try:
        if path == STDIN:
            octets = sys.stdin.buffer.read(_FILE_OCTETS + 1)
        else:
            with open(path, "rb") as file:
                octets = file.read(_FILE_OCTETS + 1)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise SettingsError(
            f"the settings cannot be read: {reason}; mend the path or the file's permissions",
            file=path,
        ) from None
    if len(octets) > _FILE_OCTETS:
        raise SettingsError(
            f"the settings have more than {_FILE_OCTETS} octets; is this the right file?",
            file=path,
        )
    return octets


def _occurrences(
    path: str, files: list[str], *, included_from: Sequence[Place]
) -> Iterator[Occurrence]:
    try:
        octets = read_octets(path)
    except SettingsError as exc:
        if not included_from:
            raise
        place = included_from[-1]
        raise SettingsError(
            f"Include {shown(path)}: {exc.problem}", file=place.file, line=place.line
        ) from None
    files.append(path)
    for number, line in enumerate(_lines(octets), 1):
        place = Place(path, number)
        if not line:
            continue
        name, *rest = _SPACE.split(line, 1)
        found = _occurrence(name, rest[0] if rest else "", place)
        if found.option.kind is not Kind.INCLUDE:
            yield found
            continue
        if len(included_from) == _INCLUDE_DEPTH:
            raise SettingsError(
                f"Include {shown(found.value)}: files are included more than {_INCLUDE_DEPTH} "
                "deep; does one include itself?",
                file=path,
                line=number,
            )
        yield from _occurrences(found.value, files, included_from=(*included_from, place))


def _lines(octets: bytes) -> Iterator[str]:
    for line in octets.removeprefix(b"\xef\xbb\xbf").split(b"\n"):  # some editors' BOM
        line = line.partition(b"#")[0].partition(b"\r")[0]
        yield line.decode("utf-8", "surrogateescape").strip(_BLANKS)


def _occurrence(name: str, value: str, place: Place) -> Occurrence:
    option = find_option(name)
    if option is None:
        near = nearest_options(name)
        cure = f"did you mean {' or '.join(near)}?" if near else "take the line out"
        raise _error(f"there is no option {shown(name)}; {cure}", place)
    if not value:
        raise _error(f"{option.name}: its value is missing; write one behind it", place)
    if "\0" in value:
        raise _error(f"{option.name}: its value holds a NUL; is this a text file?", place)
    try:
        if option.kind is Kind.BOOLEAN:
            boolean(value)
        elif option.kind is Kind.INTEGER:
            integer(value)
    except ValueError as exc:
        raise _error(f"{option.name}: {exc}", place) from None
    return Occurrence(option, value, place)


def _error(problem: str, place: Place) -> SettingsError:
    return SettingsError(problem, file=place.file, line=place.line)
