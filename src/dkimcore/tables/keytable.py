"""The key table: what a key name stands for (OpenDKIM's KeyTable).

A value is ``domain:selector:key`` and perhaps ``:algorithm``.  The key is the path of a file,
a key URI such as ``vault:transit/mail``, or the key itself in base64 or PEM.  URIs are opaque
here; opening keys is left to `dkimcore.keys`.

The key takes the rest of the value, colons included, except for a last field that is the
name of an algorithm.  A file whose name ends so is written as a URI with an option:
``file:/path/to:rsa-sha256?check=quick``.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from dkimcore.errors import SettingsError, TableError
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.names import DomainName, Selector
from dkimcore.tables.dataset import DataSet, split_fields
from dkimcore.tables.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore.tables.dataset import Row

__all__ = ["KeyRow", "KeyTable"]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:.")
_LOCAL = ("/", "./", "../", "file:")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----([A-Za-z0-9+/=\s]+)-----END \1-----")
_Name = TypeVar("_Name")
_NAMES = {str(algorithm): algorithm for algorithm in Algorithm}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """What a key name stands for.

    Attributes:
        name: The key name.
        domain: The signing domain; None stands for the author's ("%").
        selector: The selector.
        key_uri: The key's URI; ``inline:`` if the row holds the key.
        inline_key: The key itself, as `KeyStore.add` needs it decoded; never printed.
        algorithm: What the row says the key's algorithm is; None says nothing.
        per_domain: Whether "%" in the URI stands for the signing domain in A-labels: only in
            absolute paths, as in OpenDKIM, for elsewhere "%" has other meanings.
        file: Where the row stands.
        line: Its line.
    """

    name: str
    domain: DomainName | None
    selector: Selector
    key_uri: str
    inline_key: bytes | None = field(default=None, repr=False)
    algorithm: Algorithm | None = None
    per_domain: bool = False
    file: str | None = None
    line: int | None = None

    def uri_for(self, domain: DomainName) -> str:
        """Return the key's URI; "%" in it becomes the signing domain if `per_domain`."""
        return self.key_uri.replace("%", domain.ascii) if self.per_domain else self.key_uri


class KeyTable:
    """A key table.  Safe to share between threads.

    Args:
        data_set: Its rows, read with `KeyTable.load`'s rules.
        base: The directory that relative paths of keys count from; the current one if None.
    """

    __slots__ = ("_base", "_data_set")

    def __init__(self, data_set: DataSet, *, base: str | os.PathLike[str] | None = None) -> None:
        self._data_set = data_set
        self._base = base

    @classmethod
    def load(
        cls,
        text: str,
        *,
        base: str | os.PathLike[str] | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> KeyTable:
        """Read a key table; names of keys compare with regard to case.

        Args:
            text: A data set, such as ``/etc/opendkim/KeyTable``.
            base: The directory that relative paths count from; the current one if None.
            file: Where the option stands.
            line: Its line.

        Raises:
            TableError: As `DataSet.load`.  A malformed row raises only when it is used, so
                that mail of other domains goes on; `check` finds it.
        """
        data_set = DataSet.load(text, ignore_case=False, base=base, file=file, line=line)
        return cls(data_set, base=base)

    def __len__(self) -> int:
        return len(self._data_set)

    def has(self, key_name: str) -> bool:
        """Whether a row defines a name, well-formed or not."""
        return self._data_set.find(key_name) is not None

    def get(self, key_name: str) -> KeyRow:
        """Return what a key name stands for.

        Raises:
            TableError: No row defines the name, or its row is malformed.
        """
        row = self._data_set.find(key_name)
        if row is None:
            raise TableError(
                f"no row defines the key {key_name!r}; add one as 'NAME DOMAIN:SELECTOR:PATH'",
                file=self._data_set.file,
            )
        return self._parse(row, key_name)

    def rows(self) -> Iterator[KeyRow]:
        """Yield the well-formed rows, for checks of their keys."""
        for row in self._data_set.rows():
            try:
                yield self._parse(row, row.key)
            except TableError:
                continue

    def rows_elsewhere(self) -> Iterator[KeyRow]:
        """Yield the well-formed rows whose keys are neither files nor stand in the row.

        Of a million rows that name files none is parsed.
        """
        for row in self._data_set.rows():
            parts = split_fields(row.value or "", 3)
            if len(parts) < 3 or parts[2].startswith(_LOCAL) or not _URI.match(parts[2]):
                continue
            try:
                yield self._parse(row, row.key)
            except TableError:
                continue

    def check(self) -> tuple[Finding, ...]:
        """Look at every row; whether the keys can be opened is left to the caller."""
        findings = list(self._data_set.check())
        if not len(self._data_set):
            problem = "the key table has no row, so nothing is signed; write 'NAME "
            problem += "example.com:SELECTOR:/path/to/key'"
            findings.append(Finding(problem=problem, file=self._data_set.file))
        for row in self._data_set.rows():
            try:
                self._parse(row, row.key)
            except TableError as exc:
                findings.append(
                    Finding(problem=exc.problem, file=row.file, line=row.line, is_error=True)
                )
        return tuple(sorted(findings, key=lambda finding: finding.line or 0))

    def _parse(self, row: Row, name: str) -> KeyRow:
        try:
            return self._parse_value(row, name)
        except SettingsError as exc:
            problem = f"KeyTable entry for {name!r} corrupt: {exc}"
        raise TableError(problem, file=row.file, line=row.line)

    def _parse_value(self, row: Row, name: str) -> KeyRow:
        fields = split_fields(row.value or "", 3)
        if len(fields) < 3 or not fields[2]:
            raise SettingsError("it should be DOMAIN:SELECTOR:KEY, such as example.com:s1:/path")
        domain, selector, key = fields
        rest, colon, last = key.rpartition(":")
        algorithm = _NAMES.get(last) if colon else None
        if algorithm is not None:
            key = rest
            if algorithm.is_historic:
                raise SettingsError(f"{algorithm} must not be used to sign; write rsa-sha256")
        uri, inline_key = self._key(key, name)
        return KeyRow(
            name=name,
            domain=None if domain == "%" else _parsed(DomainName.parse, domain, "domain name"),
            selector=_parsed(Selector.parse, selector, "selector"),
            key_uri=uri,
            inline_key=inline_key,
            algorithm=algorithm,
            per_domain=key.startswith(("/", "file:/")),
            file=row.file,
            line=row.line,
        )

    def _key(self, key: str, name: str) -> tuple[str, bytes | None]:
        if key.startswith(("/", "./", "../")):
            return "file:" + (key if self._base is None else os.path.join(self._base, key)), None
        inline = _inline_key(key)
        if inline is not None:
            # Of the key, so that after a reload a new key in an old row is not taken for it.
            mark = hashlib.sha256(inline).hexdigest()[:16]
            return f"inline:{quote(name, safe='@*')}/{mark}", inline
        if key.startswith("file:") and self._base is not None and key[5:6] not in ("/", "~"):
            return "file:" + os.path.join(self._base, key[5:]), None
        if not _URI.match(key):
            raise SettingsError(
                "its third field is no path (write /path or ./path), no key URI (file:..., "
                "vault-transit:...) and no private key in base64"
            )
        return key, None


def _parsed(parse: Callable[[str], _Name], text: str, what: str) -> _Name:
    try:
        return parse(text)
    except SettingsError:
        # Without the text: where fields are mixed up it may be the key.
        problem = f"its {what} is none; it should be DOMAIN:SELECTOR:KEY"
    raise SettingsError(problem)


def _inline_key(key: str) -> bytes | None:
    """Return a key that stands in the table, as PEM or base64 of DER; else None."""
    if _BASE64.fullmatch(key):
        return key.encode("ascii")
    match = _PEM.fullmatch(key)  # on one line, for a row is one line
    if match is None:
        return None
    return "".join(match[2].split()).encode("ascii")
