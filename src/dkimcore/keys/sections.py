"""Where key backends are and how to log in there: the file that `DkimcoreKeyBackends` names.

A TOML file with one section ``[store]`` about all keys and a section ``[backend.NAME]`` for each
backend.  It holds no secrets, only the names of files that do.  What the keys of a section mean
is left to the backend that its ``type`` names.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dkimcore.errors import ConfigError, KeyUriError, SettingsError
from dkimcore.keys.tomlplaces import MAX_DEPTH, everything_in, places
from dkimcore.keys.uri import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BackendSection", "RecordMode", "Sections", "StoreSettings"]

_TYPES = ("aws", "pkcs11", "vault")  # ours; others may have any but a misspelling of these
_COMMON = ("type", "threads", "queue", "attempts", "connect_timeout", "read_timeout")
_FILE_OCTETS = 1_048_576  # a thousand backends have a tenth of it
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FILES = ("-file", "-env", "-source")
_WITH_SECRET = re.compile(r"//[^/?#\s:]*+:[^/?#\s@]*+@|PRIVATE KEY")
_TOO_DEEP = f"tables or arrays stand more than {MAX_DEPTH} deep; write it flatter"
_SHOWN = 64  # characters of a name that a message quotes


class RecordMode(StrEnum):
    """What follows where a key does not fit the key record in the DNS."""

    WARN = "warn"
    REFUSE = "refuse"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """How a `KeyStore` treats its keys: the section ``[store]``.

    Attributes:
        deadline: Seconds that all signatures of a message, or opening a key, may take.
        refresh: Seconds after which a fetched key is fetched again, 10 % more or less.
        stale: Seconds that a fetched key may be used while its backend does not answer.
        negative: Seconds that a failure to open a key is remembered; one that may pass is
            remembered for a second at most.
        record_check: Whether a key has to fit the key record in the DNS before its selector
            is first used; None: warn for keys kept elsewhere, ignore for those in files.
    """

    # Twice connecting and reading (1 s + 1.5 s) is more than a sender should wait.
    deadline: float = 3.0
    refresh: float = 300.0
    stale: float = 86_400.0
    negative: float = 15.0
    record_check: RecordMode | None = None


_STORE_RANGES = {
    "deadline": (0.1, 60.0),
    "refresh": (1.0, 86_400.0),
    "stale": (0.0, 2_592_000.0),
    "negative": (0.0, 3600.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSection:
    """What is said about one backend.

    Attributes:
        name: Its name; ``default`` where nothing is said.
        kind: Its type, such as ``vault``.
        values: What is said, as TOML has it.
        file: The file; None where nothing is said.
        line: Where it begins.
        lines: From a key to its line.
    """

    name: str
    kind: str
    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    file: str | None = None
    line: int | None = None
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)

    def allow(self, *names: str) -> None:
        """Refuse every key but these and those of all backends.

        Args:
            names: The keys that the backend knows.

        Raises:
            ConfigError: There is another one.
        """
        for key in self.values:
            if key not in names and key not in _COMMON:
                known = ", ".join(sorted((*names, *_COMMON)))
                raise self.error(f"{self.kind} has no such key; it knows: {known}", key=key)

    def text(self, key: str, default: str | None = None) -> str | None:
        """Return a text.

        Raises:
            ConfigError: It is something else, empty, or has a NUL, which no path can have.
        """
        value = self.values.get(key, default)
        if isinstance(value, str) and "\0" in value:
            raise self.error("a NUL stands in it; take that out", key=key)
        if value is None or (isinstance(value, str) and value):
            return value
        raise self.error('write a text, such as "..."', key=key)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; one text alone is a list of one.

        Raises:
            ConfigError: It is something else.
        """
        value = self.values.get(key, [])
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) and item for item in items):
            return tuple(items)
        raise self.error('write a list of texts, such as ["..."]', key=key)

    def flag(self, key: str, default: bool) -> bool:  # noqa: FBT001 - as `text`
        """Return true or false.

        Raises:
            ConfigError: It is something else.
        """
        value = self.values.get(key, default)
        if isinstance(value, bool):
            return value
        raise self.error("write true or false", key=key)

    def number(self, key: str, default: float, *, minimum: float, maximum: float) -> float:
        """Return a number, such as seconds.

        Raises:
            ConfigError: It is something else, or out of range.
        """
        value = self.values.get(key, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # Compared first: an integer may be too large to become a float.
        if is_number and minimum <= value <= maximum:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        raise self.error(f"write a number from {minimum:g} to {maximum:g}", key=key)

    def integer(self, key: str, default: int, *, minimum: int, maximum: int) -> int:
        """Return a whole number.

        Raises:
            ConfigError: It is something else, or out of range.
        """
        value = self.values.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum:
            return value
        raise self.error(f"write a whole number from {minimum} to {maximum}", key=key)

    def path(self, key: str) -> str | None:
        """Return the path of a file; a relative one counts from the folder of the settings.

        Raises:
            ConfigError: It is no text.
        """
        text = self.text(key)
        if text is None:
            return None
        folder = os.path.dirname(self.file) if self.file is not None else ""
        return os.path.join(folder, os.path.expanduser(text))

    def error(self, problem: str, *, key: str | None = None) -> ConfigError:
        """Return an error that names the place.

        Args:
            problem: The cause and the cure.
            key: The key at fault.
        """
        what = self.kind if self.kind.startswith("[") else f"backend {self.name}"
        if key is not None:
            what = f"{what}: {key[:_SHOWN]}"
        line = self.line if key is None else self.lines.get(key, self.line)
        return ConfigError(f"{what}: {problem}", file=self.file, line=line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """What is said about key backends.

    Attributes:
        store: How the keys are treated.
        backends: The sections, by name.
        file: Where it was read.
    """

    store: StoreSettings = StoreSettings()
    backends: Mapping[str, BackendSection] = field(default_factory=lambda: MappingProxyType({}))
    file: str | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sections:
        """Read a file.

        Raises:
            ConfigError: It cannot be read, is no TOML, holds a secret or something unknown.
        """
        return _Reading(os.fspath(path)).sections()

    def get(self, kind: str, name: str | None = None) -> BackendSection:
        """Return the section of a backend.

        Args:
            kind: Its type.
            name: Its name; None takes the only one of this type, or an empty one if there is
                none.

        Raises:
            KeyUriError: There is no such section, it is of another type, or there are several.
        """
        if name is not None:
            section = self.backends.get(name)
            if section is None:
                known = ", ".join(sorted(self.backends)) or "none"
                where = "no file of key backends is set" if self.file is None else self.file
                raise KeyUriError(
                    f"there is no section [backend.{name}] ({where}; known: {known}); write one, "
                    "or take backend= out of the URI"
                )
            if section.kind != kind:
                raise KeyUriError(
                    f"backend {name} is of type {section.kind}, and this key needs one of type "
                    f"{kind}",
                    file=section.file,
                    line=section.line,
                )
            return section
        found = [section for section in self.backends.values() if section.kind == kind]
        if len(found) > 1:
            names = " or ".join(f"backend={section.name}" for section in found)
            raise KeyUriError(f"there are {len(found)} backends of type {kind}; add {names}")
        return found[0] if found else BackendSection(name="default", kind=kind, file=self.file)


class _Reading:
    """Reads one file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._text = self._read()
        self._places: dict[tuple[str, ...], dict[str, int]] = {}  # of each section's keys

    def sections(self) -> Sections:
        for place, line in places(self._text).items():
            # Before `tomllib`, which takes 40 GB for a key of 100000 parts.
            if len(place) > MAX_DEPTH:
                raise self._error(_TOO_DEEP, line)
            self._places.setdefault(place[:-1], {})[place[-1]] = line
        document = self._document()
        unknown = set(document) - {"store", "backend"}
        if unknown:
            name = sorted(unknown)[0]
            raise self._error(
                f"there is no section [{name[:_SHOWN]}]; there are [store] and [backend.NAME]",
                self._line(name),
            )
        store, backends = document.get("store", {}), document.get("backend", {})
        for name, values in (("store", store), ("backend", backends)):
            if not isinstance(values, dict):
                problem = "write [store] and [backend.NAME] as sections"
                raise self._error(problem, self._line(name))
        read = {name: self._backend(name, values) for name, values in backends.items()}
        return Sections(store=self._store(store), backends=MappingProxyType(read), file=self._path)

    def _read(self) -> str:
        try:
            with open(self._path, "rb") as file:
                octets = file.read(_FILE_OCTETS + 1)
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            problem = f"the file of key backends cannot be read: {reason}; mend its path or mode"
            raise ConfigError(problem, file=self._path) from None
        if len(octets) > _FILE_OCTETS:
            raise ConfigError(f"it has more than {_FILE_OCTETS} octets", file=self._path)
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError("it is not UTF-8, which TOML wants", file=self._path) from None

    def _document(self) -> dict[str, Any]:
        where = None
        try:
            return tomllib.loads(self._text)
        except RecursionError:
            problem = _TOO_DEEP
        except tomllib.TOMLDecodeError as exc:
            # Its text may quote a line, which may be a secret in the wrong place.
            where = re.search(r"at line ([0-9]+)", str(exc))
            problem = "this is not TOML; mend or quote what stands there"
        except ValueError:
            problem = "a number has too many digits; write a smaller one, or quote it"
        raise self._error(problem, int(where[1]) if where else None)

    def _store(self, values: dict[str, object]) -> StoreSettings:
        lines = self._lines("store")
        reader = BackendSection(
            name="store", kind="[store]", values=values, file=self._path, lines=lines
        )
        for key in values:
            if key not in _STORE_RANGES and key != "record_check":
                known = ", ".join((*_STORE_RANGES, "record_check"))
                raise self._error(
                    f"[store] has no key {key[:_SHOWN]}; it knows: {known}", lines.get(key)
                )
        check = reader.text("record_check")
        if check is not None and check not in list(RecordMode):
            raise self._error("record_check is warn, refuse or ignore", lines.get("record_check"))
        defaults = StoreSettings()
        numbers = {
            key: reader.number(key, getattr(defaults, key), minimum=least, maximum=most)
            for key, (least, most) in _STORE_RANGES.items()
        }
        return StoreSettings(record_check=None if check is None else RecordMode(check), **numbers)

    def _backend(self, name: str, values: object) -> BackendSection:
        line = self._line("backend", name)
        if not _NAME.fullmatch(name):
            raise self._error("a backend's name has letters, digits, '_', '.' and '-'", line)
        if not isinstance(values, dict):
            raise self._error(f"write [backend.{name}] as a section", line)
        lines = self._lines("backend", name)
        kind = values.get("type")
        if not isinstance(kind, str) or not kind:
            raise self._error(
                f'backend {name} needs a type: "vault", "aws", "pkcs11" or another', line
            )
        near = difflib.get_close_matches(kind.lower()[:64], _TYPES, cutoff=0.6)
        if near and kind not in _TYPES:
            raise self._error(
                f"backend {name}: there is no type {kind[:64]!r}; did you mean {near[0]!r}?",
                lines.get("type", line),
            )
        for key, value in values.items():
            problem = _fault(key, value, kind)
            if problem is not None:
                raise self._error(f"backend {name}: {problem}", lines.get(key, line))
        return BackendSection(
            name=name,
            kind=kind,
            values=MappingProxyType(values),
            file=self._path,
            line=line,
            lines=MappingProxyType(lines),
        )

    def _lines(self, *section: str) -> dict[str, int]:
        return self._places.get(section, {})

    def _line(self, *name: str) -> int | None:
        return self._lines(*name[:-1]).get(name[-1])

    def _error(self, problem: str, line: int | None) -> SettingsError:
        return SettingsError(problem, file=self._path, line=line)


def _fault(key: str, value: object, kind: str) -> str | None:
    """Say why a value cannot stand here: it is or holds a secret, or is too deep; None: it can."""
    for name, each, is_item, depth in everything_in(key, value):
        shown = name[:_SHOWN]
        if not is_item and _is_secret(name, kind):
            return (
                f"{shown} would be a secret, and this file holds none; put it into a file of mode "
                f"0600 and write {shown}_file"
            )
        if isinstance(each, str) and _WITH_SECRET.search(each):
            return (
                f"a secret stands in {shown}, and this file holds none: leave user:password@ or "
                "the private key away, and put it into a file of mode 0600"
            )
        if depth > MAX_DEPTH:
            return _TOO_DEEP
    return None


def _is_secret(key: str, kind: str) -> bool:
    name = key.strip().lower().replace("_", "-")
    # A token of PKCS#11 is a device, and its label no secret.
    is_named = is_secret_name(name) and not (name == "token" and kind == "pkcs11")
    return is_named and not name.endswith(_FILES)
