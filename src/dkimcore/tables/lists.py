"""Lists of header field names from data sets (SignHeaders, OmitHeaders, OverSignHeaders)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkimcore.tables.dataset import DataSet

__all__ = ["field_names"]


def field_names(data_set: DataSet, default: Iterable[str]) -> tuple[str, ...]:
    """Return the field names that a data set lists, in lower case.

    An entry ``*`` makes it a change of the built-in list: ``-name`` takes a name away and
    ``+name`` adds one; other entries say nothing then.

    Args:
        data_set: The list.
        default: The built-in list, in lower case.

    Raises:
        TableError: The data set is a ``refile:``, which cannot be listed.
    """
    entries = [key.lower() for key in data_set.names()]
    if "*" not in entries:
        return tuple(dict.fromkeys(entries))
    names = dict.fromkeys(default)
    for entry in entries:
        if entry.startswith("+"):
            names[entry[1:]] = None
        elif entry.startswith("-"):
            names.pop(entry[1:], None)
    return tuple(names)
