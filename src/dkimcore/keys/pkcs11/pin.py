"""Where a token's PIN comes from, and which PINs were refused.

A PIN is read when it is needed and kept nowhere.  One that a token refused is not tried again in
this process: real tokens lock after a few tries.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyUnavailable
from dkimcore.keys.permissions import read_private_file
from dkimcore.keys.turns import until_locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PinSource", "fail", "is_refused", "refuse", "rest", "succeed", "wiped"]

# A vendor's "user:password" is the longest kind; tokens themselves stop at 255 and less.
_MAX_OCTETS = 1024
_TO_LOCK = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK

_CURE = (
    "write pin_file = into its section, ?pin-source=file:/path into the URI, or set "
    "DKIMCORE_PIN_FILE"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinSource:
    """Where the PIN is: in a file, an environment variable, or with the caller of the store.

    Attributes:
        file: The path of a file whose first line it is.
        variable: The name of an environment variable.
        secret: Asked for ``pin`` where neither is given.
        check_permissions: Refuse a file that other users can read or replace.
        uid: The user for whom the file is to be safe.
    """

    file: str | None = None
    variable: str | None = None
    secret: Callable[[str], str | None] = field(repr=False, compare=False)
    check_permissions: bool = True
    uid: int | None = None

    @property
    def where(self) -> str:
        """The place, for people."""
        if self.file is not None:
            return f"the PIN in {self.file}"
        if self.variable is not None:
            return f"the PIN in the environment variable {self.variable}"
        return "the PIN that was given as the secret pin"

    def read(self, *, uri: str) -> bytearray:
        """Return the PIN, which the caller wipes.

        Args:
            uri: What errors name.

        Raises:
            KeyDenied: There is none, or it cannot be one; its file can be read by others.
            KeyNotFound: Its file is absent.
            KeyUnusable: Its file is no regular file, or too long.
            KeyUnavailable: The system could not read its file now.
        """
        pin = self._read(uri)
        length = 0 if pin is None else len(pin)
        if pin is not None and 0 < length <= _MAX_OCTETS:
            return pin
        wiped(pin)
        pin = None
        if length:
            raise KeyDenied(f"{self.where} is longer than {_MAX_OCTETS} octets", uri=uri)
        if self.file is None and self.variable is None:
            raise KeyDenied(f"the token wants a PIN, and none was given; {_CURE}", uri=uri)
        raise KeyDenied(f"{self.where} is empty or not there; write it there", uri=uri)

    @contextlib.contextmanager
    def turn(self, deadline: float, *, uri: str) -> Iterator[None]:
        """Be the only one on this machine that tries the PIN in this file.

        For processes that are not forked of one: those take turns in `turns`.  A file that only
        we can read cannot be held by others.

        Args:
            deadline: Until when to wait for one's turn.
            uri: What errors name.

        Raises:
            KeyUnavailable: It did not come.
        """
        try:
            descriptor = None if self.file is None else os.open(self.file, _TO_LOCK)
        except OSError:
            descriptor = None  # reading it says why
        if descriptor is None:
            yield
            return
        try:
            if not until_locked(lambda: _locked(descriptor), deadline):
                raise KeyUnavailable(
                    f"another process that logs in with {self.where} does not come to an end",
                    uri=uri,
                )
            try:
                yield
            finally:
                # Closing would not do: a child that was forked meanwhile has it open too.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _read(self, uri: str) -> bytearray | None:
        if self.file is not None:
            octets = read_private_file(
                self.file, uri=uri, check_permissions=self.check_permissions, uid=self.uid
            )
            return bytearray(octets.partition(b"\n")[0].rstrip(b"\r"))
        text = self.secret("pin") if self.variable is None else os.environ.get(self.variable)
        try:
            # What is not UTF-8 comes so from the environment, and from files.
            return None if text is None else bytearray(text, "utf-8", "surrogateescape")
        except UnicodeEncodeError:
            text = None
        raise KeyDenied(f"{self.where} has half a character in it", uri=uri)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def wiped(pin: bytearray | None) -> None:
    """Overwrite a PIN with zeros."""
    if pin is not None:
        pin[:] = bytes(len(pin))


# What is kept is no PIN that works: a keyed hash of one that does not.
_KEY = secrets.token_bytes(32)
_REFUSED: set[bytes] = set()
# Whose login failed for a reason that may be the PIN: until when it rests, and for how long.
_RESTING: dict[bytes, tuple[float, float]] = {}
_SHORTEST_REST, _LONGEST_REST = 5.0, 60.0  # seconds


def _mark(token: str, pin: bytearray) -> bytes:
    hasher = hashlib.blake2b(key=_KEY)
    for part in (token.encode("utf-8", "surrogateescape"), pin):
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)
    return hasher.digest()


def refuse(token: str, pin: bytearray) -> None:
    """Remember that a token refused a PIN; a child process remembers it too.

    Args:
        token: The name of the token.
        pin: The PIN.
    """
    _REFUSED.add(_mark(token, pin))


def is_refused(token: str, pin: bytearray) -> bool:
    """Whether a token refused this PIN before.

    Args:
        token: The token.
        pin: The PIN.
    """
    return _mark(token, pin) in _REFUSED


def fail(token: str, pin: bytearray) -> None:
    """Remember that a login failed, maybe for its PIN; it rests twice as long each time.

    Args:
        token: The token.
        pin: The PIN.
    """
    mark = _mark(token, pin)
    _, pause = _RESTING.get(mark, (0.0, _SHORTEST_REST / 2))
    pause = min(pause * 2, _LONGEST_REST)
    _RESTING[mark] = time.monotonic() + pause, pause


def succeed(token: str, pin: bytearray) -> None:
    """Forget such failures.

    Args:
        token: The token.
        pin: The PIN.
    """
    _RESTING.pop(_mark(token, pin), None)


def rest(token: str, pin: bytearray) -> float:
    """Return for how many seconds a PIN is not tried; 0: it may be.

    Args:
        token: The token.
        pin: The PIN.
    """
    until, _ = _RESTING.get(_mark(token, pin), (0.0, 0.0))
    return max(0.0, until - time.monotonic())
