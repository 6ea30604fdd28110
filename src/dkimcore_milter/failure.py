"""Why the milter cannot start or go on, with its exit status.

Exit statuses are those of sysexits.h, as OpenDKIM uses them.  What is wrong in a settings file
is a `ConfigError` instead, and means 78.
"""

from __future__ import annotations

from dkimcore.errors import DkimError

__all__ = ["StartFailure"]


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
