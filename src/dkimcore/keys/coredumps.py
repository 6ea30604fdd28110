"""Keeps private keys in the process that holds them: no core dumps, and no tracing.

For programs of our own, at their start; a process of others is not ours to change.
"""

from __future__ import annotations

import ctypes
import resource
import sys

__all__ = ["protect_memory"]

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def protect_memory(*, core_dumps: bool) -> None:
    """Keep keys out of core dumps and from other processes of our user.

    Args:
        core_dumps: Allow both all the same (EnableCoredumps).
    """
    if not core_dumps:
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        # Of no effect where a sandbox forbids it; the limit above remains.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, int(core_dumps), 0, 0, 0)
