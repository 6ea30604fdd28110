"""The worker processes, as their supervisor sees them: started, drained, ended, dead."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from dkimcore_milter.failure import StartFailure, internal_error_line
from dkimcore_milter.meter import SUPERVISOR
from dkimcore_milter.readable import readable
from dkimcore_milter.signals import blocked
from dkimcore_milter.worker import CLOSING_SECONDS, DRAIN, READY, RELIEF, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dkimcore_milter.meter import Board
    from dkimcore_milter.worker import Generation

__all__ = ["Crew", "Death"]

_END_SECONDS = 0.8
"""How long workers get to end; for mail they themselves take 0.7 s at most."""

_START_SECONDS = 10.0
"""How long workers get to say that they serve; they take some hundredths of a second."""

_DRAIN_SECONDS = 0.5
"""How long workers get to say that they take no more connections."""

_DRAINING_PER_WORKER = 4
_DRAINING_AT_LEAST = 16
"""How many workers may be draining: four reloads while no connection of before has ended.  Each
holds memory and a descriptor; connections that outlast four configurations are idle or hostile."""


class _State(Enum):
    """What a worker does.

    Attributes:
        SERVING: It takes connections.
        DRAINING: It was told to end with its last connection.
        RELIEVED: The same, because it had grown too much.
        ENDING: It was told to end.
    """

    SERVING = 1
    DRAINING = 2
    RELIEVED = 3
    ENDING = 4


@dataclass(eq=False, slots=True, kw_only=True)
class _Member:
    """A worker.

    Attributes:
        pid: Its process id.
        control: The connection to it.
        row: Its row of the board.
        patience: How many seconds it gets to end.
        hired_at: When it was started, by the monotonic clock.
        state: What it does, as far as we know.
        mute: Whether its end of the connection is closed.
    """

    pid: int
    row: int
    control: socket.socket
    patience: float
    hired_at: float = field(default_factory=time.monotonic)
    state: _State = _State.SERVING
    mute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The end of a worker that nobody asked for.

    Attributes:
        pid: What its process id was.
        exit_code: Its exit status, or minus the signal that killed it.
        lived: How long it lived, in seconds.
        draining: Whether it was about to end anyway, and needs no successor.
    """

    pid: int
    exit_code: int
    lived: float
    draining: bool

    def __str__(self) -> str:
        if self.exit_code < 0:
            return f"worker {self.pid} terminated with signal {-self.exit_code}"
        return f"worker {self.pid} exited with status {self.exit_code}"


class Crew:
    """All workers of a supervisor.

    Args:
        board: Where they count.
        hidden: Names the supervisor's sockets that no worker may hold open.
    """

    def __init__(
        self, board: Board, *, hidden: Callable[[], tuple[socket.socket, ...]] = tuple
    ) -> None:
        self._board = board
        self._hidden = hidden
        self._members: list[_Member] = []

    @property
    def controls(self) -> tuple[socket.socket, ...]:
        """The connections to the workers: what no other process may hold open."""
        return tuple(member.control for member in self._members)

    @property
    def voices(self) -> tuple[socket.socket, ...]:
        """What to wait for besides signals: workers that may ask for relief."""
        return tuple(member.control for member in self._members if not member.mute)

    def relieve(self, generation: Generation) -> int:
        """Let a new worker take the place of each that asks for it (DkimcoreMaximumMemory).

        There are at most as many that were relieved as there are that serve: then the oldest
        ends, or clients that fill one worker after the other would have the memory of all.

        Returns:
            How many were started.

        Raises:
            StartFailure: The system refused (status 71); who asked serves on, and asks again.
        """
        count = 0
        for member in tuple(self._members):
            if _asks(member):
                self.hire(generation)
                _tell_to_drain(member, _State.RELIEVED)
                count += 1
        serving = len(self._who(_State.SERVING))
        relieved = self._who(_State.RELIEVED)
        for member in relieved[: max(0, len(relieved) - serving)]:
            _end(member)
        return count

    def hire(self, generation: Generation) -> None:
        """Start a worker.

        Raises:
            StartFailure: The system refused (status 71).
        """
        row = self._free_row()
        try:
            ours, theirs = socket.socketpair()
        except OSError as exc:
            raise StartFailure(f"socketpair(): {exc.strerror}", status=os.EX_OSERR) from exc
        with theirs, blocked():
            try:
                pid = os.fork()
            except OSError as exc:
                ours.close()
                raise StartFailure(f"fork(): {exc.strerror}", status=os.EX_OSERR) from exc
            if pid == 0:
                # An end that a sibling holds open would hide the death of the supervisor.
                for mine in (ours, *self.controls, *self._hidden()):
                    mine.close()
                _live(generation, theirs, row)
        patience = _END_SECONDS + (CLOSING_SECONDS if generation.logs_in else 0.0)
        self._members.append(_Member(pid=pid, control=ours, row=row, patience=patience))

    def hire_all(self, generation: Generation, *, count: int) -> None:
        """Start so many workers, or none, and wait until they serve.

        Raises:
            StartFailure: The system refused, or one ended before it served (status 71).
        """
        before = len(self._members)
        try:
            for _ in range(count):
                self.hire(generation)
            _demand_ready(self._members[before:])
        except StartFailure:
            for member in self._members[before:]:
                _end(member)
            raise

    def drain(self) -> Callable[[], int]:
        """Prepare to replace all workers there are now.

        Returns:
            A function that tells them to take no more connections and waits until they do
            not; for when their successors were hired.  It ends the oldest if too many are
            draining, and returns how many it ended.
        """
        old = tuple(self._members)
        return lambda: self._drain(old)

    def _drain(self, old: tuple[_Member, ...]) -> int:
        told = [member for member in old if member.state is _State.SERVING]
        for member in told:
            _tell_to_drain(member, _State.DRAINING)
        _hear(DRAIN, [member.control for member in told], seconds=_DRAIN_SECONDS)
        draining = self._who(_State.DRAINING, _State.RELIEVED)
        most = max(_DRAINING_AT_LEAST, _DRAINING_PER_WORKER * len(self._who(_State.SERVING)))
        too_many = draining[: max(0, len(draining) - most)]
        for member in too_many:
            _end(member)
        return len(too_many)

    def _who(self, *states: _State) -> list[_Member]:
        """Return the workers in some states, the oldest first."""
        return [member for member in self._members if member.state in states]

    def reap(self) -> tuple[Death, ...]:
        """Forget the workers that have ended, and return those that should not have."""
        deaths = []
        for member in tuple(self._members):
            pid, wait_status = os.waitpid(member.pid, os.WNOHANG)
            if pid == 0:
                continue
            self._members.remove(member)
            member.control.close()
            self._board.clear_gauges(member.row)
            code = os.waitstatus_to_exitcode(wait_status)
            draining = member.state is not _State.SERVING
            if code != os.EX_OK or not draining:
                lived = time.monotonic() - member.hired_at
                deaths.append(Death(pid=pid, exit_code=code, lived=lived, draining=draining))
        return tuple(deaths)

    def dismiss(self, wait: Callable[[float], object]) -> None:
        """End all workers.

        Args:
            wait: Waits for the news that a worker ended, at most so many seconds.
        """
        begun = time.monotonic()
        for member in self._members:
            _end(member)
        self.reap()
        while self._members:
            left = begun + max(each.patience for each in self._members) - time.monotonic()
            if left <= 0:
                break
            wait(left)
            self.reap()
        for member in self._members:
            os.kill(member.pid, signal.SIGKILL)
            os.waitpid(member.pid, 0)
            member.control.close()
        self._members.clear()

    def _free_row(self) -> int:
        """Take a row for a new worker: two that count in one would overwrite each other.

        Raises:
            StartFailure: There is none (status 71).
        """
        taken = {member.row for member in self._members}
        rows = range(SUPERVISOR + 1, self._board.processes)
        row = next((row for row in rows if row not in taken), None)
        if row is None:
            raise StartFailure(f"{len(taken)} workers are too many", status=os.EX_OSERR)
        self._board.reserve(row)
        return row


def _tell_to_drain(member: _Member, state: _State) -> None:
    """Tell a worker to end with its last connection."""
    member.state = state
    with contextlib.suppress(OSError):  # it died: reap() finds it
        member.control.send(DRAIN)


def _demand_ready(members: Iterable[_Member]) -> None:
    """Wait until workers serve.

    Raises:
        StartFailure: One ended instead (status 71).
    """
    if not _hear(READY, [member.control for member in members], seconds=_START_SECONDS):
        raise StartFailure("a worker ended before it served mail", status=os.EX_OSERR)


def _hear(word: bytes, controls: Iterable[socket.socket], *, seconds: float) -> bool:
    """Wait until workers say a word; one that is slow is left to itself.

    Returns:
        Whether all go on: none has ended instead.
    """
    waiting = set(controls)
    end = time.monotonic() + seconds
    all_live = True
    while waiting and (left := end - time.monotonic()) > 0:
        for control in readable(waiting, left):
            said = _said(control, word)
            all_live = all_live and said is not None
            if said is not False:
                waiting.remove(control)
    return all_live


def _said(control: socket.socket, word: bytes) -> bool | None:
    """Read what a worker says: whether it is this; None: it says nothing any more."""
    try:
        said = control.recv(64)
    except OSError:
        return None
    return word in said if said else None


def _asks(member: _Member) -> bool:
    """Read what a worker says, if anything; whether it asks for relief."""
    try:
        said = member.control.recv(64, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        said = b""
    member.mute = not said
    return RELIEF in said and member.state is _State.SERVING


def _end(member: _Member) -> None:
    """Tell a worker to end now."""
    member.state = _State.ENDING
    # The end of the connection tells it; closing alone is not enough while another process may
    # hold a copy.
    with contextlib.suppress(OSError):
        member.control.shutdown(socket.SHUT_RDWR)


def _live(generation: Generation, control: socket.socket, row: int) -> None:
    """Be a worker; never returns."""
    status = os.EX_SOFTWARE
    try:
        status = work(generation, control, row=row)
    except BaseException as exc:  # noqa: BLE001 - nothing may get back into the supervisor's code
        # The supervisor's line about its death tells what the system refused from a bug.
        status = os.EX_OSERR if isinstance(exc, (OSError, MemoryError)) else os.EX_SOFTWARE
        generation.log(internal_error_line(exc))
    finally:
        # Other threads still run, and what belongs to the supervisor stays as it is.
        os._exit(status)
