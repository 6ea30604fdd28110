"""Children of a test, which coverage does not follow."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["child_doing", "fork", "succeeded"]


def fork() -> int:
    """As `os.fork`; the child is not traced.

    Coverage has a lock, which another thread of the parent may hold in that moment: a child that
    is traced waits for it for ever.
    """
    tracing = sys.gettrace()
    sys.settrace(None)
    child = os.fork()
    if child:
        sys.settrace(tracing)
    else:
        threading.settrace(None)  # type: ignore[arg-type]
    return child


def child_doing(work: Callable[[], object]) -> int:
    """Forks a child that does one thing and ends.

    Args:
        work: What; it fails if it raises, or returns false.

    Returns:
        The child's process id.
    """
    child = fork()
    if child == 0:
        status = 1
        try:
            status = 1 if work() is False else 0
        finally:
            os._exit(status)
    return child


def succeeded(child: int) -> bool:
    """Waits for the end of a child, and says whether it did what it was to do."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
