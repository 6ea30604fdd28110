"""What the keys of a store share: connections, logins, threads.  Each process has its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar, cast

from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Resources"]

_T = TypeVar("_T")


class Resources:
    """Objects by name, each made once in a process.  Safe to share between threads.

    Attributes:
        housekeeping: For what may wait for others: renewals, refreshes.
        expiry: For what is quick: ends of patience.
    """

    def __init__(self) -> None:
        self.housekeeping = Schedule("dkimcore-keys")
        self.expiry = Schedule("dkimcore-expiry")
        self._abandoned: list[object] = []
        self._made: dict[Hashable, object] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Let everything be made anew; what the parent holds is neither used nor closed."""
        self._abandoned.append(self._made)
        self._made = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()
        self._closed = False

    def get(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """Return the object of a name, making it if this process has none.

        Args:
            name: Its name; the kind of the object stands first, as in ``("vault", "eu")``.
            make: Makes it; what it raises is raised, and the next one tries again.
        """
        found = self._made.get(name)
        if found is not None:
            return cast("_T", found)
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            found = self._made.get(name)
            if found is None:
                found = self._made[name] = make()
        return cast("_T", found)

    def close(self) -> list[Exception]:
        """Close everything that can be closed, the last one that was made first.

        Returns:
            What went wrong.
        """
        self.housekeeping.close()
        self.expiry.close()
        errors: list[Exception] = []
        with self._lock:
            made, self._made = list(self._made.values()), {}
        for each in reversed(made):
            close = getattr(each, "close", None)
            try:
                if callable(close):
                    close()
            except Exception as exc:  # noqa: BLE001 - the others are closed
                errors.append(exc)
        return errors
