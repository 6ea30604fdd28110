"""Who the milter is: the user and group of UserID, the root directory, core dumps, limits.

What OpenDKIM does in the same order (reference 6.11); that a start as another user than root
cannot become somebody else is said at once.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import resource
from dataclasses import dataclass

from dkimcore_milter.failure import StartFailure

__all__ = [
    "MAX_DESCRIPTORS",
    "Account",
    "become",
    "change_root",
    "check_permitted",
    "find_account",
    "future_uid",
    "raise_descriptor_limit",
]

MAX_DESCRIPTORS = 65536
"""More open files than a milter can use; some containers have limits of a billion, and what
closes "all" descriptors then takes minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom to become.

    Attributes:
        name: The user's name.
        uid: Its number.
        gid: The group: the one that was named, else the user's own.
    """

    name: str
    uid: int
    gid: int


def find_account(text: str) -> Account:
    """Look ``user[:group]`` up (UserID); names or numbers.

    Raises:
        StartFailure: There is no such user or group (status 65).
    """
    user, colon, group = text.partition(":")
    try:
        entry = _find_user(user)
        gid = _find_group(group).gr_gid if colon else entry.pw_gid
    except LookupError as exc:
        raise StartFailure(
            f'UserID "{text}": {exc.args[0]}: create it, or name another', status=os.EX_DATAERR
        ) from exc
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=gid)


def _find_user(text: str) -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(text)
    if text.isascii() and text.isdigit():
        with contextlib.suppress(KeyError, OverflowError):
            return pwd.getpwuid(int(text))
    raise LookupError(f'there is no user "{text}"')


def _find_group(text: str) -> grp.struct_group:
    with contextlib.suppress(KeyError):
        return grp.getgrnam(text)
    if text.isascii() and text.isdigit():
        with contextlib.suppress(KeyError, OverflowError):
            return grp.getgrgid(int(text))
    raise LookupError(f'there is no group "{text}"')


def check_permitted(account: Account) -> None:
    """See that we can become a user, before anything is done.

    Raises:
        StartFailure: We are neither that user nor root (status 77).
    """
    if os.geteuid() != 0 and not _is_current(account):
        raise StartFailure(
            f"can't become user {account.name} (UserID): only root can: start the filter as "
            "root, or as that user",
            status=os.EX_NOPERM,
        )


def future_uid(user: str | None) -> int | None:
    """Return the user that root is going to become (UserID); None if we stay who we are.

    Raises:
        StartFailure: There is no such user or group (status 65).
    """
    return None if user is None or os.geteuid() != 0 else find_account(user).uid


def become(account: Account) -> None:
    """Become a user for good, with all its groups; nothing happens if we are that user.

    Raises:
        StartFailure: The system refused (status 77).
    """
    if os.geteuid() != 0 and _is_current(account):
        return
    try:
        os.initgroups(account.name, account.gid)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError as exc:
        raise StartFailure(
            f"can't become user {account.name} (UserID): {exc.strerror}", status=os.EX_NOPERM
        ) from exc


def _is_current(account: Account) -> bool:
    return (os.getuid(), os.getgid()) == (account.uid, account.gid)


def change_root(directory: str) -> None:
    """Make a directory the root directory (ChangeRootDirectory).

    Raises:
        StartFailure: The system refused (status 71).
    """
    try:
        os.chdir(directory)
        os.chroot(directory)
        os.chdir("/")
    except OSError as exc:
        cure = "" if os.geteuid() == 0 else ": only root can"
        raise StartFailure(
            f"can't change the root directory to {directory}: {exc.strerror}{cure}",
            status=os.EX_OSERR,
        ) from exc


def raise_descriptor_limit() -> None:
    """Allow as many open files as the hard limit does, at most `MAX_DESCRIPTORS`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
