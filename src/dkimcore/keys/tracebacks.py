"""What an exception carries along: frames, whose local variables may hold a token or a key.

Tools that report errors print local variables.  So what leaves a backend keeps its text, its
cause and the place where it was raised, and no frames of the backend.
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["chain", "drop_frames", "fresh_copy", "place_of"]

_E = TypeVar("_E", bound=BaseException)


def chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield an exception, all that led to it, and the parts of groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def place_of(exc: BaseException) -> str | None:
    """Return where an exception was raised: file, line and function."""
    trace = exc.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{code.co_filename}, line {trace.tb_lineno}, in {code.co_name}"


def drop_frames(exc: BaseException) -> None:
    """Take the frames from an exception and from what led to it.

    What our caller was handling before he called us is his, and keeps them.

    Args:
        exc: An exception that was caught.
    """
    ours = frozenset(map(id, _callers(sys._getframe())))
    for each in chain(exc):
        trace = each.__traceback__
        if each is exc or (trace is not None and id(trace.tb_frame) not in ours):
            each.__traceback__ = None


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def fresh_copy(error: _E) -> _E:
    """Return an exception to be raised in place of one that several threads may raise.

    One object would collect the frames of all of them, and keep what these hold in memory.

    Args:
        error: It; its cause stays its cause.
    """
    try:
        made = copy.copy(error)
    except Exception:  # noqa: BLE001 - a foreign subclass may want other arguments than it keeps
        return error.with_traceback(None)
    made.__cause__ = error.__cause__
    made.__suppress_context__ = error.__suppress_context__
    return made
