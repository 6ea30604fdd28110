"""Turns that threads take one after another, and processes that were forked of one.

Their locks are in memory that nobody else can open, and not in the file system, where another
user could hold them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING
from zlib import crc32

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.forking import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["TURNS", "Turns", "until_locked"]

_PAUSE = 0.01  # seconds between looks; what is done in a turn takes longer


class Turns:
    """One turn at a time for each name."""

    def __init__(self) -> None:
        self._memory: int | None = None
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Let go of the parent's turns, which the system does not hand on either."""
        self._changed = threading.Condition()
        self._taken: set[int] = set()

    def share(self) -> None:
        """Let children that are forked from now on take turns with each other.

        Without such memory (other systems than Linux, no descriptors left) threads alone do.
        """
        if self._memory is None and hasattr(os, "memfd_create"):
            with contextlib.suppress(OSError):
                self._memory = os.memfd_create("dkimcore-turns")

    @contextlib.contextmanager
    def taken(self, name: str, deadline: float, *, uri: str) -> Iterator[None]:
        """Be the only one whose turn it is.

        Args:
            name: What it is for; two names may share one.
            deadline: Until when to wait for it, on the clock of `time.monotonic`.
            uri: What errors name.

        Raises:
            KeyUnavailable: It did not come.
        """
        self.share()
        place = crc32(name.encode("utf-8", "surrogateescape")) >> 1
        # Record locks are the process's, so that its threads have to agree first.
        with self._changed:
            free = self._changed.wait_for(
                lambda: place not in self._taken, max(0.0, deadline - time.monotonic())
            )
            if free:
                self._taken.add(place)
        if not free:
            raise _late(uri)
        try:
            with self._recorded(place, deadline, uri):
                yield
        finally:
            with self._changed:
                self._taken.discard(place)
                self._changed.notify_all()

    @contextlib.contextmanager
    def offered(self, name: str, seconds: float) -> Iterator[None]:
        """Be the only one where that can be had soon, and one of several otherwise.

        Args:
            name: What it is for; two names may share one.
            seconds: How long to wait for it.
        """
        with contextlib.ExitStack() as turn:
            with contextlib.suppress(KeyUnavailable):
                turn.enter_context(self.taken(name, time.monotonic() + seconds, uri=name))
            yield

    @contextlib.contextmanager
    def _recorded(self, place: int, deadline: float, uri: str) -> Iterator[None]:
        memory = self._memory
        if memory is None:
            yield
            return
        if not until_locked(lambda: _locked(memory, place), deadline):
            raise _late(uri)
        try:
            yield
        finally:
            fcntl.lockf(memory, fcntl.LOCK_UN, 1, place)


def until_locked(lock: Callable[[], bool], deadline: float) -> bool:
    """Try to get a lock of a file again and again: the system's own waiting has no end.

    Args:
        lock: Tries once, and says whether it has it.
        deadline: Until when, on the clock of `time.monotonic`.

    Returns:
        Whether it was got.
    """
    while not lock():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _locked(memory: int, place: int) -> bool:
    try:
        fcntl.lockf(memory, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except (BlockingIOError, PermissionError):  # POSIX leaves it to the system which one
        return False
    except OSError:
        return True  # a system without such locks, or with too many of them
    return True


def _late(uri: str) -> KeyUnavailable:
    return KeyUnavailable("another login to the token does not come to an end", uri=uri)


TURNS = Turns()
