"""Loads the data sets that settings name; relative paths count from BaseDirectory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dkimcore.tables import DataSet, HostSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.settings.model import Settings, Source

__all__ = ["Sources", "place"]


class Sources:
    """Loads data sets.

    Args:
        settings: Where BaseDirectory and the lines of options stand.

    Attributes:
        base: BaseDirectory, or None.
        where: From the name of an option to its file and line.
    """

    __slots__ = ("base", "where")

    def __init__(self, settings: Settings) -> None:
        self.base = settings.process.base_directory
        self.where = settings.origin

    def data_set(
        self,
        source: Source | None,
        *,
        ignore_case: bool = True,
        fold: Callable[[str], str] = str,
    ) -> DataSet | None:
        """Read a data set; None if the option is not set.

        Args:
            source: What the option says.
            ignore_case: As for `DataSet.load`.
            fold: As for `DataSet.load`.

        Raises:
            TableError: As `DataSet.load`.
        """
        if source is None:
            return None
        return DataSet.load(
            source.text,
            ignore_case=ignore_case,
            fold=fold,
            base=self.base,
            file=source.file,
            line=source.line,
        )

    def hosts(self, source: Source | None) -> HostSet | None:
        """Read a set of hosts; None if the option is not set.

        Raises:
            TableError: As `HostSet.load`.
        """
        if source is None:
            return None
        return HostSet.load(source.text, base=self.base, file=source.file, line=source.line)

    def path(self, text: str) -> str:
        """Return a path as it counts from BaseDirectory."""
        return os.path.join(self.base or "", text)


def place(file: str | None, line: int | None) -> str:
    """Say where something stands, such as ``/etc/opendkim.conf:7``."""
    if file is None:
        return "the default"
    return file if line is None else f"{file}:{line}"
