"""Key records from a mapping or a file: for offline tools and for tests.

No DNS is asked.  What the files look like is `dkimcore.resolvers.zonefile`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers.owner import fold_name
from dkimcore.resolvers.zonefile import read_records

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import Self

__all__ = ["AsyncStaticResolver", "StaticResolver"]


class StaticResolver:
    """Answers key queries from memory; every other name has no record.

    Safe to share between threads: it never changes.

    Example::

        resolver = StaticResolver({"s1._domainkey.example.com": "v=DKIM1; p=..."})
    """

    def __init__(self, records: Mapping[str, bytes | str | Sequence[bytes] | TxtAnswer]) -> None:
        """Take the records.

        Args:
            records: By name, in any case, with or without the final dot: one record, several,
                or a whole answer, which may be a failure.

        Raises:
            ConfigError: A name is there twice, spelt differently.
        """
        self._answers: dict[str, TxtAnswer] = {}
        for name, record in records.items():
            if fold_name(name) in self._answers:
                raise ConfigError(f"{name} is there twice: give its records as one list")
            self._answers[fold_name(name)] = _answer(record)

    @classmethod
    def from_file(cls, *paths: str | os.PathLike[str], origin: str | None = None) -> Self:
        """Read the records from files.

        Args:
            paths: TestPublicKeys files of OpenDKIM, opendkim-genkey's ``SEL.txt``, zone files.
                A name that is in several has the records of all.
            origin: The domain that relative names of a zone file belong to.

        Raises:
            ConfigError: One cannot be read or is not such a file; names file and line.
        """
        records: dict[str, tuple[bytes, ...]] = {}
        for path in paths:
            for name, found in read_records(path, origin=origin).items():
                records[name] = records.get(name, ()) + found
        return cls(records)

    @property
    def aio(self) -> AsyncStaticResolver:
        """The same records for asyncio."""
        return AsyncStaticResolver(self)

    def lookup_txt(self, name: str) -> TxtAnswer:
        """Give the records at a name; never raises."""
        return self._answers.get(fold_name(name), _NOTHING)

    def peek_txt(self, name: str) -> TxtAnswer:
        """Give the records at a name: all are at hand."""
        return self.lookup_txt(name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._answers)} names>"


class AsyncStaticResolver:
    """A `StaticResolver` for asyncio.

    Args:
        resolver: Where the records are.
    """

    def __init__(self, resolver: StaticResolver) -> None:
        self._resolver = resolver

    async def lookup_txt(self, name: str) -> TxtAnswer:
        """Give the records at a name; never raises."""
        return self._resolver.lookup_txt(name)


_NOTHING = TxtAnswer(TxtStatus.NO_RECORD, detail="not among the given records")


def _answer(record: bytes | str | Sequence[bytes] | TxtAnswer) -> TxtAnswer:
    if isinstance(record, TxtAnswer):
        return record
    if isinstance(record, str):
        record = record.encode()
    records = (record,) if isinstance(record, bytes) else tuple(record)
    return TxtAnswer(TxtStatus.FOUND, records) if records else _NOTHING
