"""Whether a message comes from where mail is signed (MTA, MacroList, InternalHosts).

One of four rules suffices, asked in OpenDKIM's order: the MTA's own name for the socket
({daemon_name}) is in MTA, a macro of MacroList has a listed value, the client is in
InternalHosts, or it authenticated ({auth_type}).  Which domains are signed for is left to
`choice`.

Beyond OpenDKIM any macro of MacroList that matches is enough, where there the last one that
is defined decides; and a client without a known address is in no set of hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dkimcore_milter.printable import printable
from dkimcore_milter.sources import place

if TYPE_CHECKING:
    from dkimcore.settings.model import Hosts
    from dkimcore.tables import DataSet, HostSet, Row
    from dkimcore_milter.peer import Macros, Peer
    from dkimcore_milter.sources import Sources

__all__ = ["Origin", "OriginRules"]

_EOH_MACROS = ("i", "{daemon_name}", "{auth_type}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whether mail of this origin is signed, and by which rule.

    Attributes:
        allowed: Whether it is.
        reason: The rule that allows it, with file and line, such as ``192.0.2.1 is in
            InternalHosts (/etc/opendkim/TrustedHosts:3)``; empty if none does.
        findings: Why not, one line for each rule, in OpenDKIM's words for LogWhy.
    """

    allowed: bool
    reason: str = ""
    findings: tuple[str, ...] = ()


class OriginRules:
    """The rules of a site.  Safe to share between threads.

    Args:
        hosts: The settings.
        sources: Loads the data sets they name.

    Raises:
        TableError: One cannot be read, or MacroList is a ``refile:``, which cannot be listed.
    """

    __slots__ = ("_internal", "_macros", "_mta")

    def __init__(self, hosts: Hosts, sources: Sources) -> None:
        self._internal = sources.hosts(hosts.internal)
        self._mta: DataSet | None = sources.data_set(hosts.mta, ignore_case=False)
        macros = sources.data_set(hosts.macros, ignore_case=False)
        self._macros: dict[str, list[Row]] | None = None if macros is None else {}
        if macros is not None and self._macros is not None:
            macros.names()  # refuses patterns
            for row in macros.rows():
                self._macros.setdefault(macro_name(row.key), []).append(row)

    def judge(self, peer: Peer, macros: Macros) -> Origin:
        """Say whether mail of a client is signed.

        Args:
            peer: The client.
            macros: Gives the MTA's macros.
        """
        findings: list[str] = []
        reason = (
            self._by_mta(macros, findings)
            or self._by_macro(macros, findings)
            or self._by_host(peer, macros, findings)
        )
        if reason is None:
            return Origin(allowed=False, findings=tuple(findings))
        return _allowed(reason)

    def symbols(self, *extra: str) -> str | None:
        """Return the macros to ask for at the end of the header; None if none is special.

        Args:
            extra: Names of further macros.
        """
        names = [*(self._macros or ()), *extra]
        return " ".join(dict.fromkeys((*_EOH_MACROS, *names))) if names else None

    def _by_mta(self, macros: Macros, findings: list[str]) -> str | None:
        if self._mta is None:
            return None
        name = macros("{daemon_name}")
        row = None if name is None else self._mta.find(name)
        if row is not None:
            return f"the MTA is {row.key}, which is in MTA ({place(row.file, row.line)})"
        host, name = (printable(text or "?") for text in (macros("j"), name))
        findings.append(f"no MTA name match (host={host}, MTA={name})")
        return None

    def _by_macro(self, macros: Macros, findings: list[str]) -> str | None:
        if self._macros is None:
            return None
        for name, rows in self._macros.items():
            value = macros(name)
            if value is None:
                continue
            for row in rows:
                # A row without values asks only whether the macro is defined.
                if row.value is None or value in row.choices:
                    what = "is defined" if row.value is None else f"is {printable(value)}"
                    where = place(row.file, row.line)
                    return f"the macro {name} {what}, as in MacroList ({where})"
        findings.append("no macros match")
        return None

    def _by_host(self, peer: Peer, macros: Macros, findings: list[str]) -> str | None:
        row = find_host(self._internal, peer)
        if row is not None:
            return _internal(peer.address or peer.host or "?", row.file, row.line)
        auth_type = macros("{auth_type}")
        if auth_type:
            return f"the client authenticated ({{auth_type}} is {printable(auth_type)})"
        host, address = (printable(text or "unknown") for text in (peer.host, peer.address))
        findings += (f"{host} [{address}] not internal", "not authenticated")
        return None


# The same few for all of a site's own mail; made anew they took 1.3 us.
@lru_cache(maxsize=256)
def _internal(client: str, file: str | None, line: int | None) -> str:
    return f"{printable(client)} is in InternalHosts ({place(file, line)})"


@lru_cache(maxsize=256)
def _allowed(reason: str) -> Origin:
    return Origin(allowed=True, reason=reason)


def find_host(hosts: HostSet | None, peer: Peer) -> Row | None:
    """Return the row by which a client is in a set of hosts; None without a set."""
    return None if hosts is None else hosts.find(peer.host, peer.address)


def macro_name(text: str) -> str:
    """Return a macro's name as MTAs know it: in braces if it is longer than one letter."""
    name = text.strip().removeprefix("{").removesuffix("}")
    return name if len(name) == 1 else f"{{{name}}}"
