"""Values with a form of their own: rates, shares of a body, modes, name servers."""

from __future__ import annotations

import ipaddress
import re

from dkimcore.protocol.canonical import Canonicalization
from dkimcore.settings.values import integer, shown

__all__ = [
    "FACILITIES",
    "canonicalizations",
    "minimum",
    "mode",
    "name_servers",
    "octal_umask",
    "rate",
    "umask",
]

# syslog(3); "security" is the old name of auth.
FACILITIES = {
    **{
        name: name
        for name in [
            *("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news"),
            *("syslog", "user", "uucp", *(f"local{number}" for number in range(8))),
        ]
    },
    "security": "auth",
}

_RATE = re.compile(r"([0-9]{1,9})/([0-9]{1,9})([smhd]?)", re.IGNORECASE | re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_MINIMUM = re.compile(r"([0-9]{1,10})([%+]?)", re.ASCII)
_OCTAL = re.compile("[0-7]{1,12}", re.ASCII)
_PERMISSIONS = 0o777
_ADDRESS_AND_PORT = re.compile(r"(?:\[([^\]]+)\]|([0-9.]+)(?=:))(?::([0-9]{1,5}))?", re.ASCII)


def canonicalizations(text: str) -> tuple[Canonicalization, Canonicalization]:
    """Read ``header/body``; one word alone is the header's, and the body is simple.

    Raises:
        ValueError: A word is neither simple nor relaxed.
    """
    header, _, body = text.lower().partition("/")
    try:
        return Canonicalization(header), Canonicalization(body if "/" in text else "simple")
    except ValueError:
        raise ValueError(
            f"{shown(text)} is unknown; write simple or relaxed for header/body, such as "
            "relaxed/simple"
        ) from None


def mode(text: str) -> tuple[bool, bool]:
    """Read whether to sign (``s``) and whether to verify (``v``).

    Raises:
        ValueError: It holds another letter.
    """
    if set(text) - {"s", "v"}:
        raise ValueError(f"{shown(text)} is unknown; write s, v or sv")
    return "s" in text, "v" in text


def rate(text: str) -> tuple[int, int]:
    """Read a rate such as ``10/1h``: how many, and in how many seconds.

    Raises:
        ValueError: It is none, or its time is 0.
    """
    match = _RATE.fullmatch(text)
    if match is None or not int(match[2]):
        raise ValueError(
            f"{shown(text)} is not a rate; write a number, / and a time with s, m, h or d, "
            "such as 10/1h"
        )
    return int(match[1]), int(match[2]) * _SECONDS[match[3].lower()]


def minimum(text: str) -> str:
    """Check how much of a body must be signed: ``n``, ``n%`` or ``n+``.

    Raises:
        ValueError: It is none, or more than all.
    """
    match = _MINIMUM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{shown(text)} is not an amount; write octets as n, a share as n%, or all but n "
            "octets as n+"
        )
    if match[2] == "%" and int(match[1]) > 100:
        raise ValueError(f"{text} is more than all; write at most 100%")
    return text


def umask(text: str) -> int:
    """Read a umask: octal with a 0 in front.

    Raises:
        ValueError: It is no number, or not from 0 to 0777.
    """
    return _permissions(integer(text), text)


def octal_umask(text: str) -> int:
    """Read a umask that is octal in any case.

    Raises:
        ValueError: It has other than octal digits, or is not from 0 to 0777.
    """
    if not _OCTAL.fullmatch(text):
        raise ValueError(f'{shown(text)} is not a umask; write one such as "007"')
    return _permissions(int(text, 8), text)


def _permissions(number: int, text: str) -> int:
    if not 0 <= number <= _PERMISSIONS:
        raise ValueError(f"{text} is not possible; write a umask from 000 to 0777")
    return number


def name_servers(text: str) -> tuple[str, ...]:
    """Read a list of IP addresses, each alone or with a port.

    A port is ours: without one a resolver on another port, or a test's, cannot be named.

    Raises:
        ValueError: One is none, or there is none.
    """
    servers = tuple(server.strip() for server in text.split(",") if server.strip())
    for server in servers:
        if not _is_name_server(server):
            raise ValueError(
                f"{shown(server)} is not an IP address; write one such as 192.0.2.1, "
                "192.0.2.1:5353 or [2001:db8::1]:5353, not a name"
            )
    if not servers:
        raise ValueError("no address is given; write one, or take the line out")
    return servers


def _is_name_server(text: str) -> bool:
    match = _ADDRESS_AND_PORT.fullmatch(text)
    address, port = (match[1] or match[2], match[3]) if match else (text, None)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return port is None or 0 < int(port) < 65_536
