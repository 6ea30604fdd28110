"""Whether the filter could start and run: user, socket, pid file, directories, for ``-n``.

Nothing is opened or changed: a filter that runs keeps its socket.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from dkimcore_milter import privileges
from dkimcore_milter.access import ENTER, WRITE, Visitor
from dkimcore_milter.metricssocket import MetricsSocket
from dkimcore_milter.sockets import parse_socket

if TYPE_CHECKING:
    from dkimcore.settings.model import Settings
    from dkimcore_milter.findings import Findings
    from dkimcore_milter.sockets import Listen

__all__ = ["check_process", "find_visitor"]

_MAKE_FILES = WRITE | ENTER


def find_visitor(settings: Settings, findings: Findings) -> Visitor:
    """Return the user that the filter will run as (UserID); us, if it is not set or unknown."""
    text, place = settings.process.user, settings.origin("UserID")
    if text is None:
        return Visitor.current()
    account = findings.attempt(lambda: privileges.find_account(text), place)
    if account is None:
        return Visitor.current()
    findings.attempt(lambda: privileges.check_permitted(account), place)
    return Visitor.of(account.name, uid=account.uid, gid=account.gid)


def check_process(settings: Settings, visitor: Visitor, findings: Findings) -> None:
    """Look at what the filter needs besides tables and keys.

    Args:
        settings: The settings.
        visitor: The user that it will run as.
        findings: Takes what is found.
    """
    _directories(settings, visitor, findings)
    _pid_file(settings, findings)
    _metrics(settings, visitor, findings)
    place = settings.origin("Socket")
    if settings.process.socket is None:
        findings.warning(
            "there is no Socket: add Socket local:/path or inet:8891@localhost, or start with -p"
        )
        return
    listen = _socket(settings, findings)
    if listen is None:
        return
    if listen.is_inet:
        findings.attempt(listen.resolve, place)
        if listen.port < 1024 and visitor.uid != 0:
            findings.error(
                f"Socket {listen}: the user {visitor.name} cannot open a port below 1024; choose "
                "a higher one",
                place,
            )
        if listen.host is None and settings.hosts.signs:
            # The protocol has no login: who connects says whose mail it is.
            findings.warning(
                f"Socket {listen} lets everybody who reaches this host have mail signed; write "
                f"{listen.family}:{listen.port}@localhost",
                place,
            )
    else:
        _socket_file(settings, listen, visitor, findings)


def _socket(settings: Settings, findings: Findings) -> Listen | None:
    """Read where the filter listens."""
    place, text = settings.origin("Socket"), settings.process.socket
    if text is None:
        return None
    return findings.attempt(lambda: parse_socket(text, file=place[0], line=place[1]), place)


def _socket_file(settings: Settings, listen: Listen, visitor: Visitor, findings: Findings) -> None:
    place, path = settings.origin("Socket"), _rooted(settings, listen.path)
    found = _lstat(path)
    if found is not None and not stat.S_ISSOCK(found.st_mode):
        findings.error(
            f"Socket {listen}: there is something that is no socket; move it away, or choose "
            "another path",
            place,
        )
    directory = os.path.dirname(path) or "."
    if _lstat(directory) is None and os.path.realpath(directory).startswith("/run/"):
        findings.warning(
            f"Socket {listen}: {directory} does not exist; that is right only if what starts the "
            "filter makes it, such as systemd's RuntimeDirectory=",
            place,
        )
    elif (problem := visitor.problem(directory, _MAKE_FILES)) is not None:
        findings.error(f"Socket {listen}: {problem}", place)
    _umask(settings, visitor, findings)


def _metrics(settings: Settings, visitor: Visitor, findings: Findings) -> None:
    place = settings.origin("DkimcoreMetrics")
    made = findings.attempt(lambda: MetricsSocket.read(settings), place)
    if made is None:
        return
    listen = made.listen
    if listen == _socket(settings, findings):
        text = f"DkimcoreMetrics {listen} is the milter's own Socket; choose another one"
        findings.error(text, place)
        return
    if listen.is_inet:
        findings.attempt(listen.resolve, place)
        if listen.host is None:
            findings.warning(
                f"DkimcoreMetrics {listen} lets everybody who reaches this host read the numbers; "
                f"write {listen.family}:{listen.port}@localhost",
                place,
            )
    else:
        directory = os.path.dirname(_rooted(settings, listen.path)) or "."
        if (problem := visitor.problem(directory, _MAKE_FILES)) is not None:
            findings.warning(f"DkimcoreMetrics {listen}: {problem}", place)


def _umask(settings: Settings, visitor: Visitor, findings: Findings) -> None:
    """Connecting to a unix socket needs the right to write to it (unix(7))."""
    mask = settings.process.umask
    if mask is not None and not mask & 0o002:
        findings.warning(
            f"UMask {mask:03o} lets every user of this host connect, and have mail signed; "
            "write UMask 007",
            settings.origin("UMask"),
        )
    elif visitor.name != "postfix" and (mask is None or mask & 0o020):
        what = "without UMask" if mask is None else f"UMask {mask:03o}: as a rule"
        findings.warning(
            f"{what} only the user {visitor.name} may connect to the socket; write UMask 007, and "
            "add Postfix's user to that user's group",
            settings.origin("Socket" if mask is None else "UMask"),
        )


def _pid_file(settings: Settings, findings: Findings) -> None:
    path, place = settings.process.pid_file, settings.origin("PidFile")
    if path is None:
        return
    path = _rooted(settings, path)
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        # The filter starts without it, as with OpenDKIM; widespread guides name a directory.
        findings.warning(f"PidFile {path} is a directory; name a file in it", place)
    elif not os.path.isdir(directory):
        findings.warning(
            f"PidFile {path}: {directory} is no directory; make it, or let what starts the filter "
            "make it",
            place,
        )
    # It is written before UserID counts, so by whoever starts the filter.
    elif (problem := Visitor.current().problem(directory, _MAKE_FILES)) is not None:
        findings.warning(f"PidFile {path}: {problem}", place)


def _directories(settings: Settings, visitor: Visitor, findings: Findings) -> None:
    process = settings.process
    for option, path in (
        ("BaseDirectory", process.base_directory),
        ("ChangeRootDirectory", process.root_directory),
    ):
        if path is not None and not os.path.isdir(path):
            findings.error(f"{option} {path} is no directory; make it", settings.origin(option))
    if process.root_directory is not None and os.geteuid() != 0:
        findings.error(
            "ChangeRootDirectory: only root can change the root directory; start as root",
            settings.origin("ChangeRootDirectory"),
        )
    path = settings.verifying.diagnostic_directory
    problem = None if path is None else visitor.problem(_rooted(settings, path), _MAKE_FILES)
    if problem is not None:
        findings.error(f"DiagnosticDirectory: {problem}", settings.origin("DiagnosticDirectory"))


def _rooted(settings: Settings, path: str) -> str:
    """Return a path as it is seen from here, if it is opened after ChangeRootDirectory."""
    root = settings.process.root_directory
    if root is not None:
        return os.path.join(root, path.lstrip("/"))
    base = settings.process.base_directory
    return os.path.join(base, path) if base is not None and os.path.isabs(base) else path


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
