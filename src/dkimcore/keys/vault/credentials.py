"""What one logs in with, from files: tokens, secret_ids, tokens of Kubernetes.

Which file and what for is `logins`'s.  They are read anew each time, for agents and
orchestrators replace them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable
from dkimcore.keys.permissions import read_private_file
from dkimcore.keys.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CredentialFile", "Stamp", "checked_credential", "stamps"]

Stamp = tuple[int, int, int] | None
"""What changes when a file is replaced; None: there is none."""

# They go into a header or into JSON.  A batch token has 200 characters and more, a token of
# Kubernetes 1000; servers take headers of some KiB.
_CREDENTIAL = re.compile(r"[!-~]{1,16384}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFile:
    """A file that holds one credential.

    Attributes:
        path: Where it is.
        key: What the section calls it, such as ``token_file``.
        is_checked: Whether it must be safe from other users.
        uid: To whom it may belong, besides root; None: to us.
        is_awaited: Whether somebody else writes it in a while, so that its absence may pass.
    """

    path: str
    key: str
    is_checked: bool = True
    uid: int | None = None
    is_awaited: bool = False

    def read(self, *, uri: str) -> Secret:
        """Return what it holds.

        Args:
            uri: What errors name.

        Raises:
            KeyDenied: It is not there, we may not read it, others can, or it holds something
                else.
            KeyUnavailable: It is not there yet.
        """
        try:
            octets = read_private_file(
                self.path, uri=uri, check_permissions=self.is_checked, uid=self.uid
            )
        except KeyNotFound:
            octets = None
        if octets is None:
            problem = f"{self.key} {self.path} does not exist"
            if self.is_awaited:
                raise KeyUnavailable(
                    f"{problem}; see whether the agent that writes it runs", uri=uri
                )
            raise KeyDenied(f"{problem}; write it, or correct {self.key}", uri=uri)
        text = octets.decode("utf-8", "replace").strip()
        return checked_credential(text, what=f"{self.key} {self.path}", uri=uri)


def checked_credential(text: str, *, what: str, uri: str) -> Secret:
    """Return a credential that can be sent.

    Args:
        text: It.
        what: What errors call it.
        uri: What errors name.

    Raises:
        KeyDenied: It holds something that none has.
    """
    if not _CREDENTIAL.fullmatch(text):
        raise KeyDenied(
            f"{what} holds no credential: one is a line of 1 to 16384 ASCII characters without "
            "spaces",
            uri=uri,
        )
    return Secret(text)


def stamps(files: Iterable[CredentialFile]) -> tuple[Stamp, ...]:
    """Return what changes when one of some files is replaced."""
    return tuple(_stamp(file.path) for file in files)


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
