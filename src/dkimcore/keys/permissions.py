"""Read a file that holds a secret, if nobody else can read or replace it.

Follows the rule of OpenDKIM's RequireSafeKeys and leaves out what its users stumble over:

* The file and each directory on its real path belong to root or to the user we run as, or
  will run as.  For root, who can read every file anyway, any owner will do.
* Other users may neither read nor write the file, nor write a directory.
* The group may read the file, and write a directory, if it is dedicated: its members are,
  besides the owner and us, system accounts only (uid below 1000), such as ``postfix`` in the
  group ``opendkim``.  The group may not write the file.
* A sticky directory such as /tmp may be writable, for it protects what it holds.
* Below a directory that only its owner can enter nothing else matters.

What is judged is the file that was opened, not one that a name led to earlier.  ACLs count
as far as the mode shows them.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shlex
import stat
from typing import NoReturn

from dkimcore.errors import KeyBackendError, KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable

__all__ = ["MAX_FILE_OCTETS", "private_file_danger", "read_private_file"]

MAX_FILE_OCTETS = 65_536  # the PEM of a 16 384-bit RSA key takes 13 000
_FIRST_PERSON = 1000  # UID_MIN of login.defs in Debian, Fedora and SUSE


def read_private_file(
    path: str, *, uri: str, check_permissions: bool = True, uid: int | None = None
) -> bytes:
    """Return the octets of a file.

    Args:
        path: Its path; "~" stands for the home directory.
        uri: What errors call it.
        check_permissions: Refuse the file unless it is safe, as described above.
        uid: The user for whom it is to be safe; None means the one we run as.

    Raises:
        KeyNotFound: A component of the path does not exist.
        KeyDenied: We may not read it, or others can read or replace it.  The message
            names the component, its mode and owner, and the command that mends it.
        KeyUnusable: It is no regular file, or has more than `MAX_FILE_OCTETS`.
        KeyUnavailable: The system could not read it now.
    """
    real = os.path.realpath(os.path.expanduser(path))
    try:
        # O_NONBLOCK: opening a FIFO would wait for its writer.
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as exc:
        _explain(exc, real, uri)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyUnusable(f"{real} is not a regular file", uri=uri)
        if status.st_size > MAX_FILE_OCTETS:
            raise KeyUnusable(f"{real} has more than {MAX_FILE_OCTETS} octets", uri=uri)
        us = os.geteuid() if uid is None else uid
        problem = _danger(real, status, us) if check_permissions else None
        if problem:
            raise KeyDenied(problem, uri=uri)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_FILE_OCTETS)
    except OSError as exc:
        _explain(exc, real, uri)
    finally:
        os.close(descriptor)


def private_file_danger(path: str, *, uid: int) -> str | None:
    """Say who else could read or replace a file, or None.

    Args:
        path: Its path; "~" stands for the home directory.
        uid: The user that is to read it.

    Raises:
        OSError: A component of the path cannot be looked at.
    """
    real = os.path.realpath(os.path.expanduser(path))
    return _danger(real, os.stat(real), uid)


def _explain(exc: OSError, real: str, uri: str) -> NoReturn:
    """Raise what an operator can act on: which component, and what to do about it."""
    error: KeyBackendError
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        missing = next((part for part in _components(real) if not os.path.exists(part)), real)
        error = KeyNotFound(f"{missing} does not exist; make a key or correct the path", uri=uri)
    elif exc.errno in (errno.EACCES, errno.EPERM):
        error = KeyDenied(_closed_component(real), uri=uri)
    elif exc.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        error = KeyUnusable(f"the path cannot be followed: {exc.strerror}", uri=uri)
    else:
        error = KeyUnavailable(f"{real} cannot be read: {exc.strerror}", uri=uri)
    raise error from exc


def _closed_component(real: str) -> str:
    us = _user_name(os.geteuid())
    for part in _components(real):
        if os.path.isdir(part) and not os.access(part, os.X_OK, effective_ids=True):
            return (
                f"{_described(part, os.stat(part))} does not let the user {us} in; give it to "
                f"a group of that user and run: chmod g+x {shlex.quote(part)}"
            )
    return (
        f"{_described(real, os.stat(real))} cannot be read by the user {us}; run: "
        f"chown root:{_group_name(os.getegid())} {shlex.quote(real)} && "
        f"chmod 0640 {shlex.quote(real)}"
    )


def _components(real: str) -> list[str]:
    """Return every directory from "/" down, then the file."""
    parts = [real]
    while parts[-1] != "/":
        parts.append(os.path.dirname(parts[-1]))
    return parts[::-1]


def _danger(real: str, status: os.stat_result, us: int) -> str | None:
    """Say who else could read or replace an opened file, or None."""
    *directories, file = _components(real)
    for directory in directories:
        found = os.stat(directory)
        problem = _directory_danger(directory, found, us)
        if problem or not found.st_mode & 0o011:
            return problem
    return _owner_danger(file, status, us) or _file_danger(file, status, us)


def _owner_danger(path: str, status: os.stat_result, us: int) -> str | None:
    if us == 0 or status.st_uid in (0, us):
        return None
    return (
        f"{_described(path, status)} belongs to neither root nor the user {_user_name(us)}, so "
        f"its owner can change it; run: chown {_user_name(us)} {shlex.quote(path)}"
    )


def _directory_danger(path: str, status: os.stat_result, us: int) -> str | None:
    problem = _owner_danger(path, status, us)
    if problem or status.st_mode & stat.S_ISVTX:
        return problem
    if status.st_mode & stat.S_IWOTH:
        return (
            f"{_described(path, status)} lets every user replace the key; run: "
            f"chmod o-w {shlex.quote(path)}"
        )
    person = _person_in_group(status, us) if status.st_mode & stat.S_IWGRP else None
    if person:
        return (
            f"{_described(path, status)} lets the group {_group_name(status.st_gid)}, of which "
            f"{person} is a member, replace the key; run: chmod g-w {shlex.quote(path)}"
        )
    return None


def _file_danger(path: str, status: os.stat_result, us: int) -> str | None:
    mode = status.st_mode
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return (
            f"{_described(path, status)} can be read or written by every user; run: "
            f"chmod o-rw {shlex.quote(path)}"
        )
    if mode & stat.S_IWGRP:
        return (
            f"{_described(path, status)} can be written by its group; run: "
            f"chmod g-w {shlex.quote(path)}"
        )
    person = _person_in_group(status, us) if mode & stat.S_IRGRP else None
    if person:
        return (
            f"{_described(path, status)} can be read by the group "
            f"{_group_name(status.st_gid)}, of which {person} is a member; run: "
            f"chmod g-r {shlex.quote(path)}, or give it to a group of its own with chgrp"
        )
    return None


def _person_in_group(status: os.stat_result, us: int) -> str | None:
    """Name a member who is neither the owner, nor us, nor a system account."""
    allowed = {status.st_uid, us}
    try:
        names = set(grp.getgrgid(status.st_gid).gr_mem)
    except KeyError:  # a number without a name, as in containers
        names = set()
    for user in pwd.getpwall():
        member = user.pw_name in names or user.pw_gid == status.st_gid
        if member and user.pw_uid >= _FIRST_PERSON and user.pw_uid not in allowed:
            return user.pw_name
    return None


def _described(path: str, status: os.stat_result) -> str:
    mode = stat.S_IMODE(status.st_mode)
    owner = f"{_user_name(status.st_uid)}:{_group_name(status.st_gid)}"
    return f"{path} (mode {mode:04o}, {owner})"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
