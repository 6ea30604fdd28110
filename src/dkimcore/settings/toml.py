"""The TOML form of the settings: sections and keys are the groups and fields of `Settings`.

A key may be written with ``-`` or ``_``.  A data set is a string as in opendkim.conf, or an
array of its items.  What is not set keeps its default.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.settings.fields import GROUPS, READERS
from dkimcore.settings.model import Settings
from dkimcore.settings.opendkimconf import read_octets
from dkimcore.settings.options import find_option
from dkimcore.settings.values import Place, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["raw_values", "read_toml"]

_SECTION = re.compile(r"\s*\[\s*([\w-]+)\s*\]")
_ASSIGNMENT = re.compile(r"""\s*(?:(?P<section>[\w-]+)\s*\.\s*)?["']?(?P<key>[\w-]+)["']?\s*=""")
_WHERE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)")
_NAME_OCTETS = 64  # what is longer is no misspelt name, and costs time to compare


def read_toml(path: str) -> dict[str, tuple[object, Place]]:
    """Read a file.

    Args:
        path: The file.

    Returns:
        From each field that is set, such as ``signing.key_table``, to its value and place.

    Raises:
        SettingsError: It cannot be read, is no TOML, has unknown keys, or a value cannot be.
    """
    text = _text(path)
    found: dict[str, tuple[object, Place]] = {}
    for field, section, key, value in _entries(text, path):
        place = Place(path, _line(text, section, key))
        if field in found:
            raise _error(f"{section}.{key}: it is written with - and with _; keep one", place)
        try:
            found[field] = READERS[field].from_toml(value, place), place
        except ValueError as exc:
            raise _error(f"{section}.{key}: {exc}", place) from None
    return found


def raw_values(path: str, fields: tuple[str, ...]) -> list[str]:
    """Return what a file says about fields, as text.

    Args:
        path: The file.
        fields: Fields such as ``signing.key_table``.

    Raises:
        SettingsError: As `read_toml` does.
    """
    read_toml(path)
    return [
        _shown_value(value) for field, _, _, value in _entries(_text(path), path) if field in fields
    ]


def _text(path: str) -> str:
    octets = read_octets(path)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise SettingsError(
            "there are octets that are not UTF-8, which TOML wants; write the file anew as UTF-8",
            file=path,
            line=octets.count(b"\n", 0, exc.start) + 1,
        ) from None


def _entries(text: str, path: str) -> Iterator[tuple[str, str, str, object]]:
    """Yield each field with the section, the key and the value as written."""
    try:
        document = tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise SettingsError("arrays stand too deep in each other", file=path) from None
    except ValueError as exc:  # of tomllib, or a number of thousands of digits
        where = _WHERE.search(str(exc))
        last = text.count("\n") + 1
        raise SettingsError(
            f"this is not TOML: {_WHERE.sub('', str(exc))}",
            file=path,
            line=int(where[1] or last) if where else None,
        ) from None
    for section, table in document.items():
        if section not in GROUPS or not isinstance(table, dict):
            raise _error(_about_section(section), Place(path, _line(text, None, section)))
        for key, value in table.items():
            field = f"{section}.{key.replace('-', '_')}"
            if field not in READERS:
                raise _error(_about_key(section, key), Place(path, _line(text, section, key)))
            yield field, section, key, value


def _about_section(name: str) -> str:
    if name in GROUPS:
        return f"{name} is a section; write [{name}], and its keys below"
    holders = _holders(name)
    if holders:
        return f"{shown(name)} belongs below [{holders[0].partition('.')[0]}]"
    near = difflib.get_close_matches(name[:_NAME_OCTETS], GROUPS, cutoff=0.5)
    cure = f"did you mean [{near[0]}]?" if near else f"there are {', '.join(GROUPS)}"
    return f"there is no section {shown(name)}; {cure}"


def _about_key(section: str, key: str) -> str:
    holders = _holders(key)
    if holders:
        return f"there is no key {shown(key)} in [{section}]; write {' and '.join(holders)}"
    names = [field.name for field in fields(getattr(Settings(), section))]
    near = difflib.get_close_matches(key.replace("-", "_").lower()[:_NAME_OCTETS], names)
    cure = f"did you mean {' or '.join(near)}?" if near else "take the line out"
    return f"there is no key {shown(key)} in [{section}]; {cure}"


def _holders(name: str) -> tuple[str, ...]:
    """Return the fields that an option of that name fills, or that are called so elsewhere."""
    option = find_option(name)
    if option is not None:
        return option.fields
    key = name.replace("-", "_")
    return tuple(field for field in READERS if field.endswith(f".{key}"))


def _line(text: str, section: str | None, key: str) -> int | None:
    """Search for the line of a key, or of a section if `section` is None."""
    current = None
    for number, line in enumerate(text.split("\n"), 1):
        if match := _SECTION.match(line):
            current = match[1]
            if section is None and current == key:
                return number
        elif match := _ASSIGNMENT.match(line):
            inside = match["section"] or current
            if match["key"] == key and inside == section:
                return number
    return None


def _shown_value(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _error(problem: str, place: Place) -> SettingsError:
    return SettingsError(problem, file=place.file, line=place.line)
