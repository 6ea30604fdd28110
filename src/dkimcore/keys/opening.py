"""Keys that are being opened: who opens one, who waits for it, how many at once."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.errors import DkimError
    from dkimcore.keys.stored import StoredKey

__all__ = ["Openers", "Opening"]

_LINGER = 10.0
"""Programs open keys and then fork.  A thread that ends takes a lock of OpenSSL's
(OPENSSL_thread_stop), and a child that was made in that moment can start no thread that uses
OpenSSL: seen in one of a hundred forks right after a key was opened."""


@dataclass(slots=True)
class Opening:
    """A key that one thread is opening and others may wait for."""

    done: threading.Event = field(default_factory=threading.Event)
    key: StoredKey | None = None
    error: DkimError | None = None


class Openers:
    """Threads that open keys: a few at once, and none after a while without anything to open.

    Args:
        most: How many.
        linger: Seconds that one stays for the next key.
    """

    __slots__ = ("_condition", "_idle", "_linger", "_most", "_threads", "_waiting")

    def __init__(self, most: int, *, linger: float = _LINGER) -> None:
        self._most = most
        self._linger = linger
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what the parent is opening."""
        self._condition = threading.Condition()
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._idle = 0

    def begin(self, work: Callable[[], None]) -> bool:
        """Open a key as soon as a thread is free.

        Args:
            work: Opens it.

        Returns:
            Whether that will happen: not if the system has no thread for it.
        """
        with self._condition:
            if self._idle <= len(self._waiting) and self._threads < self._most:
                thread = threading.Thread(target=self._run, daemon=True, name="opens keys")
                try:
                    thread.start()
                except RuntimeError:
                    if self._threads == 0:
                        return False
                else:
                    self._threads += 1
            self._waiting.append(work)
            self._condition.notify()
            return True

    def _run(self) -> None:
        while (work := self._next()) is not None:
            # What is no Exception would end this thread, which is nobody's.
            with contextlib.suppress(BaseException):
                work()
            del work  # while it waits, it keeps nothing alive

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next key; None: none came."""
        with self._condition:
            self._idle += 1
            self._condition.wait_for(lambda: self._waiting, self._linger)
            self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None
