"""Children of a test, which coverage does not follow."""

from __future__ import annotations

import os
import sys
import threading

__all__ = ["fork"]


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
