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


@dataclass(slots=True)
class Opening:
    """A key that one thread is opening and others may wait for."""

    done: threading.Event = field(default_factory=threading.Event)
    key: StoredKey | None = None
    error: DkimError | None = None


class Openers:
    """Threads that open keys: a few at once, and none while there is nothing to open.

    Args:
        most: How many.
    """

    __slots__ = ("_lock", "_most", "_threads", "_waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what the parent is opening."""
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads = 0

    def begin(self, work: Callable[[], None]) -> bool:
        """Open a key as soon as a thread is free.

        Args:
            work: Opens it.

        Returns:
            Whether that will happen: not if the system has no thread for it.
        """
        with self._lock:
            if self._threads < self._most:
                thread = threading.Thread(target=self._run, daemon=True, name="opens keys")
                try:
                    thread.start()
                except RuntimeError:
                    if self._threads == 0:
                        return False
                else:
                    self._threads += 1
            self._waiting.append(work)
            return True

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                work = self._waiting.popleft()
            # What is no Exception would end this thread, which is nobody's.
            with contextlib.suppress(BaseException):
                work()
