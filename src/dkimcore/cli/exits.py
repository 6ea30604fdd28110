"""Exit statuses: those of ``sysexits.h``, and 1 for "not passed".

Every way in which a command can fail has a number that a script can act on, and one line
on standard error; never a traceback.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from dkimcore.errors import (
    ConfigError,
    DkimError,
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    MessageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CommandError", "Exit", "exit_of", "worst"]


class Exit(IntEnum):
    """What the exit status says.

    ======  ====================================================================
    0       passed, signed, in order
    1       a message did not pass, or a key or key record is not in order
    64      the command line is wrong
    65      the input is not a message that can be signed, or not a key record
    66      an input file or key file is not there
    69      something outside answered with a refusal
    70      a bug of dkimcore
    73      an output file cannot be made
    74      reading or writing failed
    75      temporary: the same command may succeed later
    77      permission denied
    78      configuration: a key, a setting or an installation must be changed
    ======  ====================================================================
    """

    OK = 0
    NOT_PASSED = 1
    USAGE = 64
    DATA = 65
    NO_INPUT = 66
    UNAVAILABLE = 69
    SOFTWARE = 70
    CANNOT_CREATE = 73
    IO = 74
    TEMPORARY = 75
    NO_PERMISSION = 77
    CONFIGURATION = 78


class CommandError(Exception):
    """A command cannot go on.

    Args:
        problem: The cause and the cure, on one line.
        status: The exit status.
    """

    def __init__(self, problem: str, *, status: Exit) -> None:
        super().__init__(problem)
        self.status = status


def exit_of(error: DkimError | OSError | CommandError) -> Exit:
    """Return the exit status for an error."""
    if isinstance(error, CommandError):
        return error.status
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return Exit.NO_INPUT
    if isinstance(error, PermissionError | KeyDenied):
        return Exit.NO_PERMISSION
    if isinstance(error, OSError):
        return Exit.IO
    if error.temporary:
        return Exit.TEMPORARY
    if isinstance(error, MessageError):
        return Exit.DATA
    if isinstance(error, KeyNotFound):
        return Exit.NO_INPUT
    if isinstance(error, ConfigError | KeyBackendError):
        return Exit.CONFIGURATION
    return Exit.SOFTWARE


# Which of several exit statuses is reported: a verdict that is final first, what may mend
# itself last.
_LAST = (Exit.TEMPORARY, Exit.OK)


def worst(statuses: Iterable[Exit]) -> Exit:
    """Return the status that speaks for several messages.

    1 if any of them did not pass; otherwise the first error there was; 75 only if nothing
    worse than a temporary error happened; 0 if there was nothing at all.
    """
    found = list(statuses)
    if Exit.NOT_PASSED in found:
        return Exit.NOT_PASSED
    for status in found:
        if status not in _LAST:
            return status
    return Exit.TEMPORARY if Exit.TEMPORARY in found else Exit.OK
