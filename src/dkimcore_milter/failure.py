"""What went wrong: why the milter cannot start, with its exit status, and what nobody expected.

Exit statuses are those of sysexits.h, as OpenDKIM uses them.  What is wrong in a settings file
is a `ConfigError` instead, and means 78.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath

from dkimcore.errors import DkimError
from dkimcore_milter.logline import Level, LogLine

__all__ = ["StartFailure", "describe", "internal_error_line"]


class StartFailure(DkimError):
    """The milter cannot start; the text names the cause and the cure.

    Args:
        problem: One line.
        status: The exit status that it means (sysexits.h).
    """

    def __init__(self, problem: str, *, status: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.status = status


def describe(exc: BaseException) -> tuple[str, str]:
    """Describe an unexpected exception without the values of variables.

    Returns:
        One line: its type, its text and where it was raised; and the whole traceback.
    """
    frames = traceback.extract_tb(exc.__traceback__)
    places = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    text = traceback.format_exception_only(exc)[-1].strip()
    where = f" ({' > '.join(places[-4:])})" if places else ""
    return f"{text}{where}", "".join(traceback.format_exception(exc))


def internal_error_line(exc: BaseException, *, job_id: str | None = None) -> LogLine:
    """Return the line of the log about an unexpected exception.

    Args:
        exc: The exception.
        job_id: The queue id of the message that it came with.
    """
    text, trace = describe(exc)
    return LogLine(
        level=Level.ERR,
        text=f"internal error: {text}",
        event="internal-error",
        job_id=job_id,
        fields={"traceback": trace},
    )
