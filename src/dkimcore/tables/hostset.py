"""Sets of hosts: InternalHosts, ExternalIgnoreList, PeerList (as OpenDKIM reads them).

A host name is looked up itself, then as each ``.parent``, the nearest first; ``!`` in front
of an entry ends the search without a match.  An address is looked up itself, then in the
networks that hold it, the longest prefix first, ``!`` before the positive form.  A client is
in the set if its name or its address is: a ``!`` for a name says nothing about the address.

Beyond OpenDKIM ``10/8``, ``10.1.2.3/8`` and ``10.0.0.0/255.0.0.0`` are the networks that
they mean, and an unknown address is in no set.  A ``refile:`` is asked for the same names,
addresses and networks, written as text; what is no pattern there counts as in a ``file:``.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.protocol.names import fold_domain
from dkimcore.tables.dataset import DataSet
from dkimcore.tables.finding import Finding
from dkimcore.tables.location import DataSetType

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from dkimcore.tables.dataset import Row

__all__ = ["HostSet"]

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Levels of networks: (IP version, prefix length, 1 for an entry that is a mere address, which
# OpenDKIM asks for before the same address with /32 or /128).
_Level: TypeAlias = tuple[int, int, int]

# Clients whose rows are remembered: few send most of the mail, and each message asks up to
# three sets.  A look-up takes 5 us; a name of the DNS and an IPv6 address have 300 characters.
_CLIENTS = 1024
_LONGEST_CLIENT = 300


class HostSet:
    """A set of hosts.  Lookups take the same time whatever its size.  Safe to share.

    Args:
        data_set: Its rows.
    """

    __slots__ = (
        *("_data_set", "_findings", "_known", "_levels"),
        *("_meant", "_names", "_networks"),
    )

    def __init__(self, data_set: DataSet) -> None:
        self._known = lru_cache(_CLIENTS)(self._find)
        self._data_set = data_set
        self._findings = list(data_set.check())
        # The number of the row that decides: of several for one name, one with "!".
        self._names: dict[str, int] = {}
        self._networks: dict[_Level, dict[int, int]] = {}
        # For patterns: from an address or network as it is looked up to a row that means it.
        self._meant: dict[str, int] = {}
        add = self._add_pattern if data_set.type is DataSetType.REFILE else self._add
        for number, row in enumerate(data_set.rows()):
            add(row, number)
        self._levels = sorted(self._networks, reverse=True)

    @classmethod
    def load(
        cls,
        text: str,
        *,
        base: str | os.PathLike[str] | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> HostSet:
        """Read a set of hosts.

        Args:
            text: A data set, such as ``/etc/opendkim/TrustedHosts`` or ``127.0.0.1,::1``.
            base: The directory that relative paths count from; the current one if None.
            file: Where the option stands.
            line: Its line.

        Raises:
            TableError: As `DataSet.load`.
        """
        return cls(DataSet.load(text, fold=fold_domain, base=base, file=file, line=line))

    def __len__(self) -> int:
        return len(self._data_set)

    def matches(self, host: str | None, address: str | None) -> bool:
        """Whether a client is in the set, by its name or by its address.

        Args:
            host: Its name; None, or a text in brackets, if it has none.
            address: Its IP address as text; None if it is unknown or not an IP client.
        """
        return self.find(host, address) is not None

    def find(self, host: str | None, address: str | None) -> Row | None:
        """Return the row by which a client is in the set; takes what `matches` does."""
        host, address = host or "", address or ""
        if len(host) + len(address) > _LONGEST_CLIENT:
            return self._find(host, address)
        return self._known(host, address)

    def _find(self, host: str, address: str) -> Row | None:
        for row in (self._find_name(host), self._find_address(address)):
            if row is not None and not row.key.startswith("!"):
                return row
        return None

    def _find_name(self, host: str) -> Row | None:
        host = fold_domain(host).lower()
        if not host or host.startswith("["):
            return None
        patterns = self._data_set.type is DataSetType.REFILE
        for name in _name_and_parents(host):
            if patterns:
                row = self._by_pattern(name)
                if row is not None:
                    return row
            elif (number := self._names.get(name)) is not None:
                return self._data_set.row(number)
        return None

    def _find_address(self, text: str) -> Row | None:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return None
        if self._data_set.type is DataSetType.REFILE:
            rows = map(self._by_pattern, _address_forms(address))
            return next((row for row in rows if row is not None), None)
        bits, value = address.max_prefixlen, int(address)
        for level in self._levels:
            if level[0] != address.version:
                continue
            unused = bits - level[1]
            number = self._networks[level].get(value >> unused << unused)
            if number is not None:
                return self._data_set.row(number)
        return None

    def check(self) -> tuple[Finding, ...]:
        """Return what is doubtful about the entries."""
        return tuple(self._findings)

    def _by_pattern(self, text: str) -> Row | None:
        # A pattern matches "!host" too if it begins with "*", which is not meant: only one
        # that has the "!" itself is a negation.
        for row in self._data_set.find_all("!" + text):
            if row.key.startswith("!"):
                return row
        if (number := self._meant.get("!" + text)) is not None:
            return self._data_set.row(number)
        found = self._data_set.find(text)
        if found is None and (number := self._meant.get(text)) is not None:
            return self._data_set.row(number)
        return found

    def _decides(self, known: int | None, number: int) -> int:
        """Say which of two rows for one name decides."""
        if known is None:
            return number
        new, old = self._data_set.row(number).key, self._data_set.row(known).key
        return number if new.startswith("!") and not old.startswith("!") else known

    def _add(self, row: Row, number: int) -> None:
        entry = row.key.removeprefix("!")
        network = _network(entry)
        if network is None:
            name = fold_domain(entry).lower()
            self._names[name] = self._decides(self._names.get(name), number)
            if "*" in name or "/" in name or _is_part_of_address(name):
                self._doubt_never(row)
            return
        mere = int("/" not in entry)
        level = (network.version, network.prefixlen, mere)
        networks = self._networks.setdefault(level, {})
        value = int(network.network_address)
        networks[value] = self._decides(networks.get(value), number)
        written = entry.replace("[", "").replace("]", "").lower()
        if not mere and written != str(network):
            self._doubt_meant(row, str(network))

    def _add_pattern(self, row: Row, number: int) -> None:
        entry = row.key.removeprefix("!")
        network = _network(entry)
        if network is None:
            if "*" not in entry and ("/" in entry or _is_part_of_address(entry)):
                self._doubt_never(row)
            return
        meant = str(network) if "/" in entry else str(network.network_address)
        if entry.lower() != meant:
            self._meant.setdefault(row.key[: -len(entry)] + meant, number)
            self._doubt_meant(row, meant)

    def _doubt_never(self, row: Row) -> None:
        self._doubt(
            row,
            f"{row.key!r} never matches; write .example.com for the hosts of a domain, "
            "192.0.2.0/24 for a network",
        )

    def _doubt_meant(self, row: Row, meant: str) -> None:
        patterns = self._data_set.type is DataSetType.REFILE
        self._doubt(
            row,
            f"{row.key!r} is taken for {meant}, which OpenDKIM does not; write that"
            + (", or use the file without refile:" if patterns else ""),
        )

    def _doubt(self, row: Row, problem: str) -> None:
        self._findings.append(Finding(problem=problem, file=row.file, line=row.line))


def _network(entry: str) -> _Network | None:
    """Read an address or a network, also ``[address]/n`` and ``10/8``; None for a name."""
    address, slash, mask = entry.partition("/")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if slash and ":" not in address:
        address += ".0" * (3 - address.count("."))
    try:
        return ipaddress.ip_network(address + slash + mask, strict=False)
    except ValueError:
        return None


def _is_part_of_address(entry: str) -> bool:
    """Whether it is no host name, for its last label is a number, and no address either."""
    return entry.rstrip(".").rpartition(".")[2].isdigit()


def _name_and_parents(host: str) -> Iterator[str]:
    yield host
    dot = host.find(".")
    while dot >= 0:
        yield host[dot:]
        dot = host.find(".", dot + 1)


def _address_forms(address: _Address) -> Iterator[str]:
    # By the version: ip_network() would take a small number for IPv4.
    kind = ipaddress.IPv4Network if address.version == 4 else ipaddress.IPv6Network
    yield str(address)
    yield f"[{address}]"
    for length in range(address.max_prefixlen, -1, -1):
        network = kind((int(address), length), strict=False)
        yield str(network)
        yield f"[{network.network_address}]/{length}"
