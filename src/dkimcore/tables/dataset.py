"""OpenDKIM's data sets: ordered rows of a key and perhaps a value, with their lines.

``file:``, ``refile:`` and ``csl:`` are read as OpenDKIM reads them: "#" begins a comment
anywhere, the key ends at the first white space, the first row of a key wins
(`DataSet.find_all` gives the others, too).  Lines may be of any length.  A row of a
``refile:`` that begins with white space is ignored, as OpenDKIM ignores it, and reported.
What the rows mean is left to the tables.
"""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, NamedTuple

from dkimcore.errors import TableError
from dkimcore.tables.ere import EreError
from dkimcore.tables.finding import Finding
from dkimcore.tables.location import DataSetType, Location
from dkimcore.tables.pattern import PatternIndex, compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore.tables.pattern import Pattern

__all__ = ["DataSet", "Row", "split_fields"]

_MAX_SHADOWED = 100  # rows to report; a table that holds more was made by a broken script
_Item = tuple[str, str | None, int]  # key, value, line or 0


class Row(NamedTuple):
    """One row.

    Attributes:
        key: As written.
        value: What stands behind it, or None.
        file: The file; that of the option for a ``csl:``.
        line: The line there, or None.
    """

    key: str
    value: str | None
    file: str | None
    line: int | None

    @property
    def choices(self) -> tuple[str, ...]:
        """The value divided at "|", as a MacroList wants it; () if there is none."""
        return () if self.value is None else tuple(self.value.split("|"))

    def __repr__(self) -> str:
        return f"<Row {self.key!r} in {self.file}:{self.line}>"  # a value may be a private key


def split_fields(value: str, count: int) -> tuple[str, ...]:
    """Divide a value at its first colons into at most `count` fields; the last takes the rest."""
    return tuple(value.split(":", count - 1))


class DataSet:
    """A data set that was read.  Safe to share between threads.

    Attributes:
        type: Its type.
        file: The file that it was read from; that of the option for a ``csl:``.
    """

    __slots__ = (
        *("_findings", "_fold", "_further", "_ignore_case", "_index"),
        *("_keys", "_lines", "_patterns", "_values", "file", "type"),
    )

    def __init__(
        self, location: Location, *, file: str | None, ignore_case: bool, fold: Callable[[str], str]
    ) -> None:
        self.type = location.type
        self.file = file
        self._findings: tuple[Finding, ...] = ()
        self._ignore_case = ignore_case
        self._fold = fold
        self._keys: list[str] = []
        self._values: list[str | None] = []
        self._lines = array("L")
        self._index: dict[str, int] = {}
        self._further: dict[int, list[int]] = {}  # from a key's first row to the others
        self._patterns = PatternIndex(())

    @classmethod
    def load(
        cls,
        text: str,
        *,
        ignore_case: bool = True,
        fold: Callable[[str], str] = str,
        base: str | os.PathLike[str] | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> DataSet:
        """Read a data set.

        Args:
            text: What the option says, such as ``refile:/etc/opendkim/SigningTable``.
            ignore_case: Whether keys compare without regard to case.  OpenDKIM does so for
                all options but KeyTable, MTA and MacroList.
            fold: Applied to keys, patterns and what is looked up, for names beyond ASCII.
            base: The directory that relative paths count from; the current one if None.
            file: Where the option stands.
            line: Its line.

        Raises:
            TableError: The type is not offered, the file cannot be read, or a pattern is
                none that can be matched.
        """
        location = Location.parse(text, base=base, file=file, line=line)
        findings: list[Finding] = []
        if location.type is DataSetType.CSL:
            data_set = cls(location, file=file, ignore_case=ignore_case, fold=fold)
            data_set._fill(_read_list(location.rest, line or 0))
        else:
            data_set = cls(location, file=location.rest, ignore_case=ignore_case, fold=fold)
            try:
                data_set._fill(_read_file(location, findings))
            except OSError as exc:
                raise TableError(
                    f"the data set {location.rest} cannot be read: {exc.strerror or exc}; make "
                    "it readable for the user that this program runs as, or mend the path",
                    file=file or location.rest,
                    line=line,
                ) from None
        if location.type is DataSetType.REFILE:
            data_set._patterns = PatternIndex(map(data_set._compile, range(len(data_set))))
        else:
            data_set._build_index()
        data_set._findings = tuple(findings)
        return data_set

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, text: str) -> Row | None:
        """Return the first row whose key, or pattern, matches."""
        return next(self.find_all(text), None)

    def find_all(self, text: str) -> Iterator[Row]:
        """Yield all rows whose key, or pattern, matches, in their order."""
        text = self._folded(text)
        if self.type is DataSetType.REFILE:
            return map(self.row, self._patterns.find(text))
        number = self._index.get(text)
        if number is None:
            return iter(())
        return map(self.row, (number, *self._further.get(number, ())))

    def row(self, number: int) -> Row:
        """Return a row by its place, counted from 0."""
        line = self._lines[number] or None
        return Row(self._keys[number], self._values[number], self.file, line)

    def rows(self) -> Iterator[Row]:
        """Yield all rows in their order."""
        return map(self.row, range(len(self._keys)))

    def names(self) -> tuple[str, ...]:
        """Return the keys, for options that are a list.

        Raises:
            TableError: It consists of patterns.
        """
        if self.type is DataSetType.REFILE:
            raise TableError(
                "a refile: holds patterns where a list of names is wanted; use file:",
                file=self.file,
            )
        return tuple(self._keys)

    def check(self, *, all_rows: bool = False) -> tuple[Finding, ...]:
        """Return what was noticed while it was read, and the rows that do nothing.

        Args:
            all_rows: Whether all rows of a key count where it is used, not only the first.
        """
        return (*self._findings, *self._repeats(all_rows=all_rows))

    def _fill(self, items: Iterator[_Item]) -> None:
        known: dict[str | None, str | None] = {}  # a million rows often name a few values
        for key, value, line in items:
            self._keys.append(key)
            self._values.append(known.setdefault(value, value))
            self._lines.append(line)

    def _folded(self, text: str) -> str:
        text = self._fold(text)
        return text.lower() if self._ignore_case else text

    def _build_index(self) -> None:
        for number, key in enumerate(self._keys):
            folded = self._folded(key)
            first = self._index.setdefault(key if folded == key else folded, number)
            if first != number:
                self._further.setdefault(first, []).append(number)

    def _repeats(self, *, all_rows: bool) -> Iterator[Finding]:
        known = "already, and the first row of a key wins"
        if all_rows:
            known = "with the same value, so that this row does the same again"
        unused = sorted(
            (number, first)
            for first, further in self._further.items()
            for number in further
            if not all_rows or self._values[number] == self._values[first]
        )
        for number, first in unused[:_MAX_SHADOWED]:
            yield Finding(
                problem=f"{self._keys[number]!r} stands in line {self._lines[first]} {known}; "
                "take one of them out",
                file=self.file,
                line=self._lines[number] or None,
            )
        if len(unused) > _MAX_SHADOWED:
            yield Finding(
                problem=f"{len(unused)} rows are not used, for their keys stand further up already",
                file=self.file,
            )

    def _compile(self, number: int) -> Pattern:
        key = self._keys[number]
        try:
            return compile_pattern(self._fold(key), ignore_case=self._ignore_case)
        except EreError as exc:
            raise TableError(
                f"the pattern {key!r} cannot be used: {exc}",
                file=self.file,
                line=self._lines[number],
            ) from None


def _read_file(location: Location, findings: list[Finding]) -> Iterator[_Item]:
    patterns = location.type is DataSetType.REFILE
    with open(location.rest, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # some editors' byte order mark
            if b"#" in line:
                line = line.partition(b"#")[0]
            parts = line.split(None, 1)
            if not parts:
                continue
            if patterns and line[:1].isspace():
                problem = "a row of a refile: that begins with white space is ignored, as by "
                problem += "OpenDKIM; move it to the first column"
                findings.append(Finding(problem=problem, file=location.rest, line=number))
                continue
            value = _text(parts[1].rstrip()) if len(parts) > 1 else None
            yield _text(parts[0]), value, number


def _read_list(text: str, line: int) -> Iterator[_Item]:
    for item in text.split(","):
        key, equals, value = item.partition("=")
        if item.strip():
            yield key.strip(), value.strip() if equals else None, line


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
