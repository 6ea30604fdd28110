"""Where a data set is: its type, chosen by OpenDKIM's rules from the text of an option."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from enum import StrEnum

from dkimcore.errors import TableError

__all__ = ["DataSetType", "Location"]


class DataSetType(StrEnum):
    """The types of data set that are offered."""

    FILE = "file"
    REFILE = "refile"
    CSL = "csl"


# Those that OpenDKIM has and we not yet, with what to do instead.
_NOT_OFFERED = {
    "db": "write its rows to a text file (db_dump -p shows them) and use file:",
    "mdb": "write its rows to a text file (mdb_dump -p shows them) and use file:",
    "dsn": "write the table to a file from a scheduled query, use file:, and reload",
    "ldap": "write the entries to a file from a scheduled ldapsearch, use file:, and reload",
    "lua": "write what the script returns to a file and use file: or refile:",
    "memcache": "write the entries to a file and use file:",
    "socket": "write the entries to a file and use file:",
    "erlang": "write the entries to a file and use file:",
    "repute": "OpenDKIM itself gave reputation up; take the option out",
}
_NOT_OFFERED["ldaps"] = _NOT_OFFERED["ldapi"] = _NOT_OFFERED["ldap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A data set's type, and its path or its items.

    Attributes:
        type: How to read it.
        rest: The path; for `DataSetType.CSL` the items.
    """

    type: DataSetType
    rest: str

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        base: str | os.PathLike[str] | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> Location:
        """Choose the type.

        ``TYPE:`` in front decides unless a "," comes earlier; without it a text that
        begins with "/" is a file, and another one a list.  Beyond OpenDKIM, a single IPv6
        address or network is a list of one.

        Args:
            text: What the option says.
            base: The directory that relative paths count from; the current one if None.
            file: Where the option stands, for errors.
            line: Its line.

        Raises:
            TableError: The type is unknown, or not offered yet.
        """
        text = text.strip()
        name, colon, rest = text.partition(":")
        if not colon or "," in name or _is_ipv6(text):
            if text.endswith(".db") and "," not in text:
                name, rest = "db", text
            elif not text.startswith("/") or "," in name:
                return cls(type=DataSetType.CSL, rest=text)
            else:
                name, rest = "file", text
        name = name.strip().lower()
        if name in _NOT_OFFERED:
            raise TableError(
                f"data sets of type {name}: are not offered yet; {_NOT_OFFERED[name]}",
                file=file,
                line=line,
            )
        try:
            found = DataSetType(name)
        except ValueError:
            raise TableError(
                f"{name!r} is not a type of data set; write file:, refile: or csl: in front",
                file=file,
                line=line,
            ) from None
        rest = rest.strip()
        if found is not DataSetType.CSL:
            if not rest:
                raise TableError(f"{name}: needs a path behind it", file=file, line=line)
            rest = os.path.join(base or "", rest)
        return cls(type=found, rest=rest)


def _is_ipv6(text: str) -> bool:
    try:
        address = text.removeprefix("!").replace("[", "").replace("]", "")
        ipaddress.IPv6Network(address, strict=False)
    except ValueError:
        return False
    return True
