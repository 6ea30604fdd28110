"""Which name servers are asked, and whether their AD bit is believed.

Given ones, or those of the system's ``resolv.conf``, which is read again when it
changes, as glibc does since 2.26: a mail server runs longer than a DHCP lease.
Asking them is left to `dkimcore.resolvers.exchange`.

A stub resolver may use the AD bit only of a name server that it trusts, over a path that
it trusts (RFC 4035 section 4.9.3); RFC 6840 section 5.8 has the same for what consumes it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GivenNameServers", "NameServers", "SystemNameServers"]

DNS_PORT = 53
# A loopback address, yet Docker's server there only forwards, over whatever network there is.
_FORWARDERS = frozenset({"127.0.0.11"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NameServers:
    """The name servers to ask, in order.

    Attributes:
        addresses: IP address and port of each.
        trusted: Whether their AD bit is believed.
        problem: For people: why there is none.
    """

    addresses: tuple[tuple[str, int], ...] = ()
    trusted: bool = False
    problem: str = ""


class GivenNameServers:
    """Name servers that the caller names.

    Args:
        servers: IP addresses, with or without a port.
        trust_ad: Whether to believe the AD bit; None means if all are on loopback.

    Raises:
        SettingsError: One is not an IP address with a port, or there is none.
    """

    def __init__(self, servers: Sequence[str | tuple[str, int]], *, trust_ad: bool | None) -> None:
        if not servers:
            raise SettingsError("no name server is given: leave them out to use the system's")
        addresses = tuple(map(_given, servers))
        self._servers = NameServers(
            addresses=addresses, trusted=_all_local(addresses) if trust_ad is None else trust_ad
        )

    def current(self) -> NameServers:
        """The name servers to ask."""
        return self._servers


class SystemNameServers:
    """The name servers of a ``resolv.conf``, as it is now.

    Its search list is never used: key queries have absolute names.  Of its options only
    ``trust-ad`` counts.

    Args:
        path: The file.
        trust_ad: Whether to believe the AD bit; None means with ``options trust-ad``, or if
            all name servers are on loopback, as OpenBSD's libc does.
    """

    def __init__(self, path: str, *, trust_ad: bool | None) -> None:
        self._path = path
        self._trust_ad = trust_ad
        # One reference, replaced as a whole: threads see the old or the new.
        self._known: tuple[tuple[int, int, int], NameServers] | None = None

    def current(self) -> NameServers:
        """The name servers to ask; none, with the reason, when the file does not say."""
        try:
            status = os.stat(self._path)
            stamp = status.st_mtime_ns, status.st_ino, status.st_size
            known = self._known
            if known is None or known[0] != stamp:
                known = self._known = stamp, self._read()
        except OSError as error:
            return NameServers(
                problem=f"{self._path} cannot be read ({error.strerror or error}): "
                "name a server there, or give nameservers"
            )
        return known[1]

    def _read(self) -> NameServers:
        with open(self._path, encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
        # One that is not an address is skipped, as libc does.
        addresses = tuple(
            (words[1], DNS_PORT)
            for words in lines
            if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1])
        )
        if not addresses:
            return NameServers(
                problem=f"{self._path} names no name server: add a 'nameserver' line to it"
            )
        trusted = self._trust_ad
        if trusted is None:
            options = {word for words in lines if words[:1] == ["options"] for word in words[1:]}
            trusted = "trust-ad" in options or _all_local(addresses)
        return NameServers(addresses=addresses, trusted=trusted)


def _given(server: str | tuple[str, int]) -> tuple[str, int]:
    host, port = (server, DNS_PORT) if isinstance(server, str) else server
    if not _is_address(host):
        raise SettingsError(f"name server {host!r} is not an IP address: write one, not a name")
    if not 0 < port < 65536:
        raise SettingsError(f"name server {host} has port {port}: write one from 1 to 65535")
    return host, port


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _all_local(addresses: tuple[tuple[str, int], ...]) -> bool:
    return all(host not in _FORWARDERS and ip_address(host).is_loopback for host, _ in addresses)
