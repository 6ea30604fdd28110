"""Leaves the terminal (Background), and lets the caller know how the start went.

The process that was started waits, and ends with status 0 only when mail is served: scripts
and init systems can rely on it.
"""

from __future__ import annotations

import contextlib
import os
import signal

from dkimcore_milter.failure import StartFailure

__all__ = ["Background"]


class Background:
    """The way from a terminal to a session of its own."""

    def __init__(self) -> None:
        # Opened now: a later chroot() may hide it.
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._report: int | None = None

    def fork(self) -> int | None:
        """Go on in another process and session.

        Returns:
            None in the new process.  In the old one the exit status: 0 as soon as the new one
            called `ready`, else what it ended with.

        Raises:
            StartFailure: The system refused (status 71).
        """
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError as exc:
            raise StartFailure(f"fork(): {exc.strerror}", status=os.EX_OSERR) from exc
        if pid == 0:
            os.close(reading)
            os.setsid()
            self._report = writing
            return None
        os.close(writing)
        try:
            with open(reading, "rb") as pipe:
                if pipe.read(1):
                    return os.EX_OK
        except BaseException:  # somebody lost patience: with the whole start
            os.kill(pid, signal.SIGTERM)
            raise
        _, wait_status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(wait_status) or os.EX_SOFTWARE

    def leave_terminal(self, *, keep_output: bool) -> None:
        """Let go of the terminal; before other processes take it over.

        Args:
            keep_output: Whether standard output stays: the log goes there.
        """
        if self._report is not None:
            for descriptor in (0, 2) if keep_output else (0, 1, 2):
                os.dup2(self._null, descriptor)

    def ready(self) -> None:
        """Let the old process end with status 0."""
        if self._report is not None:
            with contextlib.suppress(OSError):
                os.write(self._report, b"\1")
            os.close(self._report)
            self._report = None
