"""What a user may do with files, judged by their modes, while we may be another user.

For checks that root runs before the filter becomes the user of UserID.  ACLs count as far as
the mode shows them.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from dataclasses import dataclass

__all__ = ["ENTER", "READ", "WRITE", "Visitor"]

READ, WRITE, ENTER = 4, 2, 1
_WORDS = {READ: "read", ENTER: "enter", WRITE | ENTER: "make files in"}
_LETTERS = {READ: "r", ENTER: "x", WRITE | ENTER: "wx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A user with all its groups.

    Attributes:
        name: The user's name.
        uid: Its number.
        gids: Its groups' numbers, its main group first.
    """

    name: str
    uid: int
    gids: tuple[int, ...]

    @classmethod
    def of(cls, name: str, *, uid: int, gid: int) -> Visitor:
        """Return a user with the groups that the system says it has."""
        return cls(name=name, uid=uid, gids=(gid, *os.getgrouplist(name, gid)))

    @classmethod
    def current(cls) -> Visitor:
        """Return who we are."""
        uid, gid = os.geteuid(), os.getegid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return cls(name=name, uid=uid, gids=(gid, *os.getgroups()))

    def problem(self, path: str, want: int) -> str | None:
        """Say why the user cannot use a file or a directory, and what to do; None if it can.

        Args:
            path: Its path.
            want: `READ`, or `WRITE | ENTER` to make files in a directory.
        """
        real = os.path.realpath(os.path.expanduser(path))
        try:
            for directory in _directories(real):
                status = os.stat(directory)
                if not self._may(status, ENTER):
                    return self._refusal(directory, status, ENTER)
            status = os.stat(real)
        except OSError as exc:
            return f"{exc.filename or real}: {exc.strerror or exc}; make it, or mend the path"
        if not self._may(status, want):
            return self._refusal(real, status, want)
        return None

    def _may(self, status: os.stat_result, want: int) -> bool:
        if self.uid == 0:
            return True
        mode = status.st_mode
        if status.st_uid == self.uid:
            mode >>= 6
        elif status.st_gid in self.gids:
            mode >>= 3
        return mode & want == want

    def _refusal(self, path: str, status: os.stat_result, want: int) -> str:
        mode = stat.S_IMODE(status.st_mode)
        owner = f"{_name_of(status.st_uid)}:{_group_of(status.st_gid)}"
        name = shlex.quote(path)
        if status.st_uid == self.uid:
            cure = f"run: chmod u+{_LETTERS[want]} {name}"
        elif want == ENTER:
            cure = f"move what it needs to a place where it may go, or run: chmod o+x {name}"
        else:
            group = _group_of(self.gids[0])
            cure = f"run: chgrp {group} {name} && chmod g+{_LETTERS[want]} {name}"
        return (
            f"the user {self.name} may not {_WORDS[want]} {path} (mode {mode:04o}, {owner}); {cure}"
        )


def _directories(real: str) -> list[str]:
    """Return every directory above a path, from "/" down."""
    found: list[str] = []
    while real != "/":
        real = os.path.dirname(real)
        found.append(real)
    return found[::-1]


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_of(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
