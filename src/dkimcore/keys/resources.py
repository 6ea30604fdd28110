"""What the keys of a store share: connections, logins, threads.  Each process has its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from dkimcore.errors import StateError
from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Resources"]

_T = TypeVar("_T")

_CLOSED = "the KeyStore is closed"


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
        self._closed = False
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Let everything be made anew but what starts anew by itself (`Renewable`).

        What else the parent holds is neither used nor closed.
        """
        self._abandoned.append(self._made)
        self._made = {
            name: each for name, each in self._made.items() if hasattr(each, "after_fork")
        }
        self._makers: dict[Hashable, _Maker] = {}
        self._lock = threading.Lock()

    def get(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """Return the object of a name, making it if this process has none.

        Args:
            name: Its name; the kind of the object stands first, as in ``("vault", "eu")``.
            make: Makes it; what it raises is raised, and the next one tries again.  It may
                ask for objects of other names.

        Raises:
            StateError: `make` asks for the object that it makes, or all is closed.
        """
        found = self._made.get(name)
        if found is not None:
            return cast("_T", found)
        with self._lock:
            if self._closed:
                raise StateError(_CLOSED)
            maker = self._makers.setdefault(name, _Maker())
        if maker.thread == threading.get_ident():
            raise StateError(f"what makes {name!r} asks for it")
        with maker.lock:
            found = self._made.get(name)
            if found is None:
                maker.thread = threading.get_ident()
                try:
                    found = make()
                finally:
                    maker.thread = None
                self._keep(name, found)
        return cast("_T", found)

    def _keep(self, name: Hashable, made: object) -> None:
        with self._lock:
            if not self._closed:
                self._made[name] = made
                return
        _close(made)
        raise StateError(_CLOSED)

    def made(self, kind: type[_T]) -> list[_T]:
        """Return the objects of a kind that this process has made so far.

        Args:
            kind: Their class.
        """
        return [each for each in tuple(self._made.values()) if isinstance(each, kind)]

    def close(self) -> list[Exception]:
        """Close everything that can be closed, the last one that was made first.

        Returns:
            What went wrong.
        """
        with self._lock:
            self._closed = True
            made, self._made = list(self._made.values()), {}
        self.housekeeping.close()
        errors = [error for error in map(_close, reversed(made)) if error is not None]
        self.expiry.close()
        return errors


@dataclass(slots=True)
class _Maker:
    """Lets one thread at a time make an object."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    thread: int | None = None


def _close(made: object) -> Exception | None:
    close = getattr(made, "close", None)
    try:
        if callable(close):
            close()
    except Exception as exc:  # noqa: BLE001 - the others are closed
        return exc
    return None
