"""The signing table: which keys sign for an author (OpenDKIM's SigningTable).

Rows are looked up in OpenDKIM's order.  A ``refile:`` asks each pattern about the whole
address, in the order of the file.  All other types look for these keys, one after another:

1. ``user@host``
2. ``host``
3. for each parent domain, the nearest first: ``user@.parent``, then ``.parent``
4. ``user@*``
5. ``*``

Where all matches are wanted, a key that stands in several rows gives all of them, in their
order; OpenDKIM sees the first only.  ``.example.com`` stands for subdomains only.  Nothing
depends on the case of letters, and domains compare by their A-labels.  What a key name means
is left to `keytable`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.protocol.names import to_a_labels
from dkimcore.tables.dataset import DataSet, Row, split_fields
from dkimcore.tables.finding import Finding
from dkimcore.tables.location import DataSetType

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.tables.keytable import KeyTable

__all__ = ["SigningRow", "SigningTable", "fold_address"]

_UNLIKE_DOMAIN = re.compile(r"[%:;,=<>\"'/]")
_ACTIVE = re.compile(r"[\[(){}?|\\]")  # what makes more of a pattern than "*" does
_LABEL = re.compile(r"[^.@]*[^\x00-\x7f.@][^.@]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRow:
    """A row that applies to an author.

    Attributes:
        pattern: The key or pattern that matched, as written.
        key_name: The name to look up in the key table; "%" stands for the author's domain;
            empty if the row has no value.
        signer: The AUID to write, in which "%" stands for the author's domain; None for none.
        file: Where the row stands.
        line: Its line.
    """

    pattern: str
    key_name: str
    signer: str | None = None
    file: str | None = None
    line: int | None = None


class SigningTable:
    """A signing table.  Safe to share between threads.

    Args:
        data_set: Its rows, read with `SigningTable.load`'s rules.
    """

    __slots__ = ("_data_set",)

    def __init__(self, data_set: DataSet) -> None:
        self._data_set = data_set

    @classmethod
    def load(
        cls,
        text: str,
        *,
        base: str | os.PathLike[str] | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> SigningTable:
        """Read a signing table.

        Args:
            text: A data set, such as ``refile:/etc/opendkim/SigningTable``.
            base: The directory that relative paths count from; the current one if None.
            file: Where the option stands.
            line: Its line.

        Raises:
            TableError: As `DataSet.load`.  A row that is wrong in itself raises only when
                it is used (`plan`), so that other authors' mail goes on; `check` finds it.
        """
        return cls(DataSet.load(text, fold=fold_address, base=base, file=file, line=line))

    def __len__(self) -> int:
        return len(self._data_set)

    def match(self, author: Mailbox, *, all_matches: bool = False) -> tuple[SigningRow, ...]:
        """Return the rows that apply, in order; none means that this mail is not ours to sign.

        Args:
            author: The author's address.
            all_matches: All rows (OpenDKIM's MultipleSignatures), not only the first.
        """
        found: list[SigningRow] = []
        for row in self._rows(author):
            found.append(_signing_row(row))
            if not all_matches:
                break
        return tuple(found)

    def check(
        self, key_table: KeyTable | None = None, *, all_matches: bool = False
    ) -> tuple[Finding, ...]:
        """Look at every row.

        Args:
            key_table: The key table; without it names of keys are not checked.
            all_matches: As for `match`: further rows of a key are no mistake then.
        """
        findings = list(self._data_set.check(all_rows=all_matches))
        patterns = self._data_set.type is DataSetType.REFILE
        if not len(self._data_set):
            row_text = "*@example.com KEY" if patterns else "example.com KEY"
            empty = f"the signing table has no row, so nothing is signed; write '{row_text}'"
            findings.append(Finding(problem=empty, file=self._data_set.file))
        for row in self._data_set.rows():
            fault = _fault(row, key_table)
            problem = fault or _doubt(row.key, patterns=patterns)
            if problem is not None:
                findings.append(
                    Finding(
                        problem=problem, file=row.file, line=row.line, is_error=fault is not None
                    )
                )
        return tuple(sorted(findings, key=lambda finding: finding.line or 0))

    def _rows(self, author: Mailbox) -> Iterator[Row]:
        address = author.address
        if self._data_set.type is DataSetType.REFILE:
            yield from self._data_set.find_all(address)
            return
        user = address[: -len(author.domain)]  # with its "@"
        for key in _keys(user, author.domain):
            yield from self._data_set.find_all(key)


def _keys(user: str, host: str) -> Iterator[str]:
    yield user + host
    yield host
    dot = host.find(".", 1)
    while dot > 0:
        yield user + host[dot:]
        yield host[dot:]
        dot = host.find(".", dot + 1)
    yield user + "*"
    yield "*"


def _signing_row(row: Row) -> SigningRow:
    key_name, *signer = split_fields(row.value or "", 2)
    return SigningRow(
        pattern=row.key,
        key_name=key_name,
        signer=signer[0] if signer else None,
        file=row.file,
        line=row.line,
    )


def fold_address(key: str) -> str:
    """Write the non-ASCII labels of an address's, or a pattern's, domain as A-labels."""
    if key.isascii():
        return key
    user, at, domain = key.rpartition("@")
    return user + at + _LABEL.sub(_a_label, domain)


def _a_label(match: re.Match[str]) -> str:
    try:
        return to_a_labels(match[0])
    except ValueError:
        return match[0]


def _fault(row: Row, key_table: KeyTable | None) -> str | None:
    """Say why mail would be refused because of a row."""
    found = _signing_row(row)
    if not found.key_name:
        return f"{row.key!r} names no key; write the name of a key behind it"
    if found.signer is not None and "@" not in found.signer:
        return f"the signer {found.signer!r} has no '@'; write it as @example.com or @%"
    if key_table is not None and found.key_name != "%" and not key_table.has(found.key_name):
        return (
            f"the signing table references unknown key {found.key_name!r}; add a row for it to "
            "the key table, or mend the name"
        )
    return None


def _doubt(key: str, *, patterns: bool) -> str | None:
    """Say why a row does not do what its writer may have meant."""
    domain = key.rpartition("@")[2]
    if not fold_address(domain).isascii():
        return f"{key!r} never matches: a label of its domain has no A-label form; write that"
    odd = None if _ACTIVE.search(key) else _UNLIKE_DOMAIN.search(domain)
    if odd is not None:
        cure = "write the domain, or * for all" if odd[0] == "%" else "take it out"
        return f"{key!r} never matches, for no domain has a {odd[0]!r}; {cure}"
    if key.startswith("@"):
        return f"{key!r} never matches, for no address begins so; write " + (
            f"*{key}" if patterns else key[1:]
        )
    if patterns:
        if "@" not in key and "*" not in key:
            return f"{key!r} never matches, for a pattern is about user@host; write *@{key}"
        if domain.startswith("."):
            return (
                f"{key!r} never matches, for no domain begins with a dot; write "
                f"{key[: -len(domain)]}*{domain} for its subdomains"
            )
        if re.search(r"\\[.+*]", key):
            return f"{key!r}: '.' and '+' need no backslash, and with one match something else"
    elif "*" in key and key != "*" and not key.endswith("@*"):
        return f"{key!r} has no wildcards here; " + (
            f"write {key[2:]}" if key.startswith("*@") else "use refile: or .example.com"
        )
    return None
