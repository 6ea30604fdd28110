"""The process that starts, watches, reloads and ends the workers; it never serves mail.

The order of a start is OpenDKIM's (reference 6.11): tables and the single key are opened as
the starting user; then user and group are looked up, the root directory is changed, the
process leaves the terminal, the pid file is written, privileges are dropped, and the socket is
made as the unprivileged user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from dkimcore.settings.model import Settings
from dkimcore_milter.logline import LogSink

__all__ = ["LogMaker", "run"]

LogMaker: TypeAlias = Callable[[Settings], LogSink]
"""Makes a sink for the calling process: called once before anything else, again after leaving
the terminal, after each reload, and in each worker.  A sink made earlier is just dropped."""


def run(
    settings: Settings,
    *,
    load: Callable[[], Settings],
    make_log: LogMaker,
    program: str = "dkimcore-milter",
    version: str = "",
    arguments: Sequence[str] = (),
) -> int:
    """Serves mail until SIGTERM or SIGINT, and returns the exit status.

    With `Process.background` the calling process returns 0 as soon as the socket is open,
    or the status of the failure; the filter goes on in another session.  What went wrong is
    said on standard error while there is a terminal, and in the log.

    SIGHUP and SIGUSR1 call `load` again; a bad result is logged and the old settings stay.

    Args:
        settings: What to start with; flags are already in it.
        load: Reads the settings again, flags included, for a reload.  May raise ConfigError.
        make_log: Makes the log of a process.
        program: What to call ourselves on standard error.
        version: Our version, for the line that says that we start.
        arguments: The command's arguments, for the same line.

    Returns:
        0: ended by a signal, or left to run in the background.
        65: the user or the group is not known.
        69: the socket is in use or cannot be opened, a worker died, or died too often.
        70: libmilter failed.
        71: a system call failed: fork, chroot.
        77: not permitted: to become the user, to open the socket.
        78: there is no socket in the settings, or it cannot be understood.

    Raises:
        ConfigError: A table or a data set is wrong; before anything else was done.
        KeyBackendError: The single key cannot be used; before anything else was done.
    """
    raise OSError(f"{program} cannot serve yet")
