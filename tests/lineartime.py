"""Whether work grows with its input and no faster.

Work is measured as processor time, the least of several runs. Nothing is said about seconds: each
input grows until it takes long enough to be compared. It is doubled twice, and must take less than
nine times as long, where a quadratic step shows as sixteen: one doubling alone may leave a
processor's cache, which costs up to half as much again.

What else runs takes cores and caches away, so that tests which ask have the mark `alone`.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["cost", "is_linear"]

_T = TypeVar("_T")

_ENOUGH = 0.01  # seconds: far above the clock's grain and a scheduler's tick
_LARGEST = 1 << 19


def cost(
    work: Callable[[_T], object],
    argument: _T,
    *,
    times: int = 4,
    clock: Callable[[], float] = time.thread_time,
) -> float:
    """The least processor time of several runs, in seconds.

    Args:
        work: What is run.
        argument: Its input.
        times: How often.
        clock: As of `is_linear`.
    """
    least = float("inf")
    for _ in range(times):
        started = clock()
        work(argument)
        least = min(least, clock() - started)
    return least


def is_linear(
    make: Callable[[int], _T],
    work: Callable[[_T], object],
    *,
    clock: Callable[[], float] = time.thread_time,
) -> bool:
    """Whether the growth is that of a line; a busy machine gets three attempts.

    Args:
        make: Makes an input of a size.
        work: Works on it.
        clock: The processor time, in seconds: this thread's, or where other threads do the work
            the process's.
    """
    gc.collect()
    gc.disable()
    try:
        return any(_growth(make, work, clock) < 9 for _ in range(3))
    finally:
        gc.enable()


def _growth(
    make: Callable[[int], _T], work: Callable[[_T], object], clock: Callable[[], float]
) -> float:
    """How many times longer four times the input takes; 0 where even a huge one takes no time."""
    size = 64
    while cost(work, make(size), times=1, clock=clock) < _ENOUGH:
        size *= 2
        if size > _LARGEST:
            return 0.0
    small, large = make(size), make(4 * size)
    return cost(work, large, clock=clock) / cost(work, small, clock=clock)
