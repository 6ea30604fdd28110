"""What a child process must not share with its parent: connections, sessions, locks, threads.

An object that holds such things registers here and gets a call in each child.
"""

from __future__ import annotations

import itertools
import os
import weakref
from typing import Protocol

__all__ = ["Renewable", "renew_after_fork"]


class Renewable(Protocol):
    """Starts anew in a child process."""

    def after_fork(self) -> None:
        """Forget the parent's locks, threads and connections, without closing them."""


_NUMBERS = itertools.count()
# By age: what is made of other objects comes after them, and may use them again.
_RENEWABLES: weakref.WeakValueDictionary[int, Renewable] = weakref.WeakValueDictionary()


def renew_after_fork(renewable: Renewable) -> None:
    """Let an object start anew in every child that is forked from now on.

    Objects start anew in the order in which they were registered.

    Args:
        renewable: The object; it is held weakly.
    """
    _RENEWABLES[next(_NUMBERS)] = renewable


def _renew_all() -> None:
    errors = []
    for renewable in list(_RENEWABLES.values()):
        try:
            renewable.after_fork()
        except Exception as exc:  # noqa: BLE001 - the others must not keep the parent's locks
            errors.append(exc)
    if errors:
        raise errors[0]  # Python tells it, and the child goes on


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
