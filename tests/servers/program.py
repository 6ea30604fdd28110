"""One run of a real program: as an unprivileged user, with a log, ended by its process id.

What every harness of a server shares.  Where the tests run as root, the program runs as
``nobody``; a run of the tests that is killed takes its programs with it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from tests.servers import find_program
from tests.servers.closing import Closing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

__all__ = ["Program", "open_folder", "owner", "runs_for_nobody", "unprivileged"]

NOBODY = "nobody"
PATIENCE = 30.0  # seconds for a program to start; each takes about one
STOPPING = 10.0  # seconds from SIGTERM to SIGKILL
PAUSE = 0.01  # seconds between two questions whether a program is ready
ELF = b"\x7fELF"
SETPRIV = "setpriv"
# A run of the tests that is killed would leave the program: this pipe closes with the run.
GUARD = 'read -r _; kill -9 "$1"'


class Owner(TypedDict, total=False):
    """What `subprocess.Popen` takes to run a program as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


def owner() -> Owner:
    """Who programs run as: ``nobody`` where we are root, and ourselves elsewhere."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(NOBODY)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def open_folder(prefix: str) -> Path:
    """Makes a temporary folder that `owner` can use, and nobody else but root.

    pytest's own folders will not do: another user cannot enter them.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    who = owner()
    if who:
        os.chown(folder, who["user"], who["group"])
    return folder


def runs_for_nobody(command: Sequence[str]) -> bool:
    """Whether `owner` can run a program: its folders may be closed to other users."""
    try:
        ran = subprocess.run(
            command, capture_output=True, check=False, timeout=PATIENCE, cwd="/", **owner()
        )
    except OSError:
        return False
    return ran.returncode == 0


def unprivileged(command: Sequence[str], trial: Sequence[str]) -> list[str]:
    """Makes a command that `owner` can run, though the program is in a folder closed to it.

    Args:
        command: The program and its arguments.
        trial: The same program, doing nothing, to find out.

    Returns:
        The command; where need be, behind setpriv(1), which leaves ``nobody`` one right of
        root: to read what it may not (Python's library under /root, for instance).

    Raises:
        RuntimeError: There is no way; the text says what must be readable.
    """
    if not owner() or runs_for_nobody(trial):
        return list(command)
    right = "-all,+dac_read_search"
    entry = pwd.getpwnam(NOBODY)
    setpriv = [
        find_program(SETPRIV) or SETPRIV,
        f"--reuid={entry.pw_uid}",
        f"--regid={entry.pw_gid}",
        "--clear-groups",
        f"--inh-caps={right}",
        f"--ambient-caps={right}",
        f"--bounding-set={right}",
        "--no-new-privs",
    ]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        tried = subprocess.run(
            [*setpriv, *trial], capture_output=True, check=False, timeout=PATIENCE, cwd="/"
        )
        if tried.returncode == 0:
            return [*setpriv, *command]
    raise RuntimeError(
        f"{command[0]} cannot be run as the user {NOBODY}: make its folder and that of its "
        "interpreter readable for all, or run the tests as another user than root"
    )


class Program(Closing):
    """A program that runs until it is closed.

    Args:
        command: The program and its arguments.  An executable in a folder that is closed to
            other users can still be run; a script cannot: see `unprivileged`.
        folder: Where it runs, and where its log (``output``) is appended to.
        environment: All that it finds in its environment.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._log = folder / "output"
        with contextlib.ExitStack() as files:
            output = files.enter_context(self._log.open("ab"))
            executable, handed = str(command[0]), []
            if _by_number(command[0]):
                # Opened by us, so that the folders above it need not let `owner` in.
                number = os.open(command[0], os.O_RDONLY)
                files.callback(os.close, number)
                executable, handed = f"/proc/self/fd/{number}", [number]
            self._process = subprocess.Popen(
                command,
                executable=executable,
                pass_fds=handed,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **(Owner() if Path(command[0]).name == SETPRIV else owner()),
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def log(self) -> str:
        """All that it has printed, in this and in earlier runs in its folder."""
        return self._log.read_text("utf-8", "replace")

    def memory(self) -> int:
        """Its resident memory in octets."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"process {self.pid} has no memory: it has ended")

    def becomes(self, ready: Callable[[], bool]) -> bool:
        """Asks until the answer is yes; False when the program has ended or is too slow."""
        end = time.monotonic() + PATIENCE
        while self.running and time.monotonic() < end:
            if ready():
                return True
            time.sleep(PAUSE)
        return False

    def stop(self, *, kill: bool = False) -> None:
        """Ends it and waits until it is gone; again is harmless.

        Args:
            kill: Whether it has no chance to end in good order.
        """
        if self.running:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self._process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._guard.poll() is None:
            self._guard.kill()
            self._guard.communicate()

    def close(self) -> None:
        """Ends it; again is harmless."""
        self.stop()


def _by_number(path: str) -> bool:
    """Whether a path must be opened by us: somebody else runs it, and it is no script."""
    if not owner() or Path(path).name == SETPRIV:
        return False
    with Path(path).open("rb") as file:
        return file.read(len(ELF)) == ELF
