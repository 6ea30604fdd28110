"""Where the milter listens (OpenDKIM's Socket option, flag -p), and the file of a unix socket.

Understands what OpenDKIM does, ``inet:port[@host]``, ``inet6:port[@host]``, ``local:path``,
``unix:path`` and a bare path, and says what is wrong and how to cure it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.errors import SettingsError
from dkimcore_milter.failure import StartFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "FileIdentity",
    "Listen",
    "clear",
    "identify",
    "open_listener",
    "parse_socket",
    "remove",
    "socket_umask",
]

FileIdentity: TypeAlias = tuple[int, int]
"""Device and inode."""

_SYNTAX = "write local:/path/of/the/socket or inet:8891@localhost"
# As many as the system lets wait (net.core.somaxconn): one too many at a unix socket fails at
# once, with EAGAIN, where at a TCP socket it tries again.
_BACKLOG = 2**31 - 1
_MAX_PATH_OCTETS = 107  # sun_path of Linux has 108, one of them for the final NUL


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """An address to listen on.

    Attributes:
        family: ``unix``, ``inet`` or ``inet6``.
        path: The file of a unix socket; "" for the others.
        port: The port; 0 for a unix socket.
        host: A name or an address, without brackets; None means all addresses.
    """

    family: str
    path: str = ""
    port: int = 0
    host: str | None = None

    def __str__(self) -> str:
        if self.family == "unix":
            return f"local:{self.path}"
        return f"{self.family}:{self.port}" + (f"@{self.host}" if self.host else "")

    @property
    def is_inet(self) -> bool:
        """Whether it is a TCP socket."""
        return self.family != "unix"

    def resolve(self) -> Listen:
        """Return it with an address instead of a host's name.

        Raises:
            StartFailure: The name has no address of this family.
        """
        if self.host is None:
            return self
        family = socket.AF_INET if self.family == "inet" else socket.AF_INET6
        try:
            found = socket.getaddrinfo(
                self.host, self.port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except (OSError, UnicodeError) as exc:
            version = "IPv4" if family == socket.AF_INET else "IPv6"
            raise StartFailure(
                f"the socket {self}: no {version} address for {self.host} ({exc}): "
                "write an address of this host, or leave @host out to listen on all",
                status=os.EX_UNAVAILABLE,
            ) from exc
        return Listen(family=self.family, port=self.port, host=str(found[0][4][0]))


def parse_socket(text: str, *, file: str | None = None, line: int | None = None) -> Listen:
    """Read a value of the Socket option.

    Args:
        text: Such as ``inet:8891@localhost``.
        file: The settings file, for errors.
        line: Its line.

    Raises:
        SettingsError: It is malformed, or names a port that no service has.
    """
    try:
        return _parse(text.strip())
    except ValueError as exc:
        raise SettingsError(f'Socket "{text}": {exc}', file=file, line=line) from exc


def _parse(text: str) -> Listen:
    kind, colon, rest = text.partition(":")
    if not colon:
        if text.isdigit():
            raise ValueError(f"a port needs its kind: write inet:{text}@localhost")
        return _parse_path(text)
    if kind == "" or "/" in kind:
        return _parse_path(text.removeprefix(":"))
    match kind.lower():
        case "local" | "unix":
            return _parse_path(rest)
        case "inet" | "inet6" as family:
            return _parse_inet(rest, family=family)
    raise ValueError(f'"{kind}" is no kind of socket: {_SYNTAX}')


def _parse_path(path: str) -> Listen:
    if not path:
        raise ValueError(f"the path is missing: {_SYNTAX}")
    if "\0" in path:
        raise ValueError("a path holds no NUL")
    if len(os.fsencode(path)) > _MAX_PATH_OCTETS:
        raise ValueError(
            f"the path is longer than {_MAX_PATH_OCTETS} octets, which the system cannot bind: "
            "choose a shorter one"
        )
    return Listen(family="unix", path=path)


def _parse_inet(text: str, *, family: str) -> Listen:
    port, at, host = text.partition("@")
    if at and not host.strip("[]"):
        raise ValueError(f"the host behind @ is missing: write {family}:{port}@localhost")
    if host.startswith("[") != host.endswith("]"):
        raise ValueError("one bracket of the host is missing")
    if host.startswith("["):
        host = host[1:-1]
    if family == "inet" and ":" in host:
        raise ValueError(f"{host} is an IPv6 address: write inet6:{port}@{host}")
    return Listen(family=family, port=_parse_port(port), host=host or None)


def _parse_port(text: str) -> int:
    if text.isascii() and text.isdigit():
        port = int(text) if len(text) <= 5 else 65536
        if not 1 <= port <= 65535:
            raise ValueError(f"port {text} is not between 1 and 65535")
        return port
    if not text:
        raise ValueError(f"the port is missing: {_SYNTAX}")
    try:
        return socket.getservbyname(text, "tcp")
    except OSError:
        raise ValueError(
            f'"{text}" is no TCP service of /etc/services: write the port\'s number'
        ) from None


def clear(listen: Listen) -> None:
    """Remove the file that an ended filter left behind.

    OpenDKIM deletes whatever is at the path; we delete sockets only.

    Raises:
        StartFailure: A filter answers there, or what is there is no socket.
    """
    if listen.is_inet:
        return
    try:
        found = os.lstat(listen.path)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise _failed(listen, exc) from exc
    if not stat.S_ISSOCK(found.st_mode):
        raise StartFailure(
            f"the socket {listen}: there is something that is no socket: "
            "move it away, or choose another path",
            status=os.EX_UNAVAILABLE,
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)  # a full queue answers EAGAIN: somebody listens
        try:
            probe.connect(listen.path)
        except ConnectionRefusedError:
            _unlink(listen)
        except FileNotFoundError:
            pass  # it went away meanwhile
        except BlockingIOError as exc:
            raise _in_use(listen) from exc
        except OSError as exc:
            raise _failed(listen, exc) from exc
        else:
            raise _in_use(listen)


def _unlink(listen: Listen) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(listen.path)
    except OSError as exc:
        raise _failed(listen, exc) from exc


def open_listener(listen: Listen) -> socket.socket:
    """Open the listening socket, for this process and its later children.

    Args:
        listen: As `Listen.resolve` returned it; a unix socket's path was cleared.

    Returns:
        It blocks; of processes that share it that may not be.

    Raises:
        StartFailure: It cannot be opened (status 69).
    """
    address: tuple[str, int] | str
    if listen.is_inet:
        family = socket.AF_INET if listen.family == "inet" else socket.AF_INET6
        address = (listen.host or "", listen.port)
    else:
        family, address = socket.AF_UNIX, listen.path
    made = None
    try:
        made = socket.socket(family)
        if listen.is_inet:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Linux hands it on to accepted sockets: our answers never wait for an
            # acknowledgement, which takes 40 ms.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.bind(address)
        made.listen(_BACKLOG)  # with SO_REUSEADDR only this sees another listener
    except OSError as exc:
        if made is not None:
            made.close()
        raise (_in_use(listen) if exc.errno == errno.EADDRINUSE else _failed(listen, exc)) from exc
    return made


def _in_use(listen: Listen) -> StartFailure:
    return StartFailure(
        f"can't open the socket {listen}: Address already in use: end the filter that listens "
        "there, or choose another socket",
        status=os.EX_UNAVAILABLE,
    )


def _failed(listen: Listen, exc: OSError) -> StartFailure:
    why = exc.strerror or str(exc)
    cure = ""
    if exc.errno == errno.ENOENT:
        cure = f": make the directory {os.path.dirname(listen.path) or '.'}"
    elif exc.errno in (errno.EACCES, errno.EPERM):
        cure = (
            ": a port below 1024 needs root"
            if listen.is_inet
            else f": let {os.path.dirname(listen.path) or '.'} belong to the user of UserID"
        )
    elif exc.errno == errno.EADDRNOTAVAIL:
        cure = ": the host is none of this machine's addresses"
    return StartFailure(f"can't open the socket {listen}: {why}{cure}", status=os.EX_UNAVAILABLE)


@contextlib.contextmanager
def socket_umask(mask: int | None) -> Iterator[None]:
    """Set the umask while a socket is made (UMask); None leaves it as it is."""
    if mask is None:
        yield
        return
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def identify(listen: Listen) -> FileIdentity | None:
    """Return which file a unix socket is, for `remove`; None for others."""
    if listen.is_inet:
        return None
    try:
        found = os.lstat(listen.path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(listen: Listen, identity: FileIdentity | None) -> None:
    """Remove the file of a unix socket at a clean end, if it is still ours."""
    if identity is not None and identify(listen) == identity:
        with contextlib.suppress(OSError):
            os.unlink(listen.path)
