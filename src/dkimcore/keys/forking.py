"""What a child process must not share with its parent: connections, sessions, locks, threads.

An object that holds such things registers here and gets a call in each child.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Renewable", "renew_after_fork"]


class Renewable(Protocol):
    """Starts anew in a child process."""

    def after_fork(self) -> None:
        """Forget the parent's locks, threads and connections, without closing them."""


_RENEWABLES: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_after_fork(renewable: Renewable) -> None:
    """Let an object start anew in every child that is forked from now on.

    Args:
        renewable: The object; it is held weakly.
    """
    _RENEWABLES.add(renewable)


def _renew_all() -> None:
    for renewable in tuple(_RENEWABLES):
        renewable.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
