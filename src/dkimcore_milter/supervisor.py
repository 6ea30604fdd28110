"""The process that starts, watches, reloads and ends the workers; it never serves mail.

The order of a start is OpenDKIM's (reference 6.11): tables and the single key are opened as
the starting user; then user and group are looked up, the root directory is changed, the
process leaves the terminal, the pid file is written, privileges are dropped, and the socket is
made as the unprivileged user.  How a start goes is in `start`; the loop is here.

A reload makes new workers and lets the old ones end with their last connection: new
connections see the new settings, old ones keep theirs, and mail never waits for tables.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError, DkimError
from dkimcore.settings.model import Process
from dkimcore.settings.options import OPTIONS
from dkimcore_milter.crew import Crew
from dkimcore_milter.exporter import Exporter
from dkimcore_milter.failure import StartFailure, describe, internal_error_line
from dkimcore_milter.launch import Launch, LogMaker, load_engine
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.meter import SUPERVISOR, measure
from dkimcore_milter.metrics import Count, Gauge
from dkimcore_milter.restarts import Restarts
from dkimcore_milter.signals import Event, Interrupted, Signals
from dkimcore_milter.worker import Generation

if TYPE_CHECKING:
    import socket

    from dkimcore.settings.model import Settings
    from dkimcore_milter.crew import Death
    from dkimcore_milter.logline import LogSink

__all__ = ["LogMaker", "run"]

_SHORT_LIFE = 1.0
"""A worker that dies sooner, in seconds, gets its successor only after this time."""


def run(
    settings: Settings,
    *,
    load: Callable[[], Settings],
    make_log: LogMaker,
    program: str = "dkimcore-milter",
    version: str = "",
    arguments: Sequence[str] = (),
) -> int:
    """Serve mail until SIGTERM or SIGINT.

    With `Process.background` the calling process returns as soon as mail is served, or the
    start failed; the filter goes on in another session.  Standard error is its own until then.
    To be called in the main thread, with no other thread running.

    SIGHUP and SIGUSR1 call `load` again; a bad result is logged and the old settings stay.

    Args:
        settings: What to start with; flags are already in it.
        load: Reads the settings again, flags included, for a reload.
        make_log: Makes the log.
        program: What to call ourselves.
        version: Our version.
        arguments: The command's arguments, for the log.

    Returns:
        0: ended by a signal, or left to run in the background.
        69: a worker died, or more often than AutoRestart allows.
        70: a bug.
        71: fork() failed.

    Raises:
        ConfigError: The settings name no socket, or one that cannot be understood; a table
            or a data set is wrong.  Nothing else was done yet.
        KeyBackendError: The single key cannot be used.  Nothing else was done yet.
        StartFailure: Anything else went wrong before mail was served; it has the status.
    """
    launch = Launch(settings, make_log=make_log, program=program)
    # Before there is a socket: whoever can connect may also send signals.
    with contextlib.closing(Signals()) as signals:
        try:
            with signals.interruptible():
                generation, status = launch.begin()
        except Interrupted:
            launch.end()
            return os.EX_OK
        if generation is None:
            return status
        name = f"{program} {version}".strip()
        supervisor = _Supervisor(launch, generation, settings, load=load, name=name)
        return supervisor.run(signals, arguments)


class _Supervisor:
    def __init__(
        self,
        launch: Launch,
        generation: Generation,
        settings: Settings,
        *,
        load: Callable[[], Settings],
        name: str,
    ) -> None:
        self._launch = launch
        self._generation = generation
        self._settings = settings
        self._load = load
        self._name = name
        process = settings.process
        self._workers = process.workers or len(os.sched_getaffinity(0))
        self._restarts = Restarts(count=process.auto_restart_count, rate=process.auto_restart_rate)
        board = generation.board
        self._exporter = Exporter(launch.metrics, board) if launch.metrics is not None else None
        self._crew = Crew(board, hidden=self._sockets)
        self._meter = board.meter(SUPERVISOR)
        now = time.time()
        self._meter.set(Gauge.START_TIME, now)
        measure(generation.log, self._meter)
        self._loaded_at(now)
        self._due: list[float] = []  # when successors of dead workers are to be started

    @property
    def _log(self) -> LogSink:
        return self._generation.log

    def run(self, signals: Signals, arguments: Sequence[str]) -> int:
        """Hire workers, announce that mail is served, and watch until the end."""
        status = os.EX_SOFTWARE
        try:
            self._say(f"{self._name} starting (args: {' '.join(arguments)})", "starting")
            self._notices(self._settings)
            self._launch.leave_terminal()
            self._hire_all()
            self._start_exporter()
            self._launch.ready()
            status = self._watch(signals)
        except StartFailure as exc:
            self._say(str(exc), "failed", level=Level.ERR)
            raise
        finally:
            self._launch.readiness.stopping()
            os.close(self._generation.listener)  # or connections would queue up for nobody
            self._crew.dismiss(signals.wait)
            if self._exporter is not None:
                self._exporter.end()
            self._launch.end()
        self._say(f"{self._name} terminating with status {status}, errno = 0", "terminating")
        return status

    def _hire_all(self) -> None:
        self._crew.hire_all(self._generation, count=self._workers)
        self._meter.count(Count.WORKER_STARTS, self._workers)

    def _watch(self, signals: Signals) -> int:
        """Obey signals and replace workers, until something ends the filter."""
        while True:
            try:
                status = self._take_turn(signals)
            except Exception as exc:  # noqa: BLE001 - the workers serve mail, whatever it is
                self._log(internal_error_line(exc))
                time.sleep(_SHORT_LIFE)  # it may come again at once
            else:
                if status is not None:
                    return status

    def _take_turn(self, signals: Signals) -> int | None:
        """Wait for something and do it; return the exit status if it ends the filter."""
        events = signals.wait(self._patience(), also=self._crew.voices)
        if Event.STOP in events:
            return os.EX_OK
        for death in self._crew.reap():
            status = self._mourn(death)
            if status is not None:
                return status
        if Event.RELOAD in events:
            self._reload(signals)
        self._hire_due()
        self._relieve()
        self._mind_exporter()
        self._launch.readiness.ping()
        return None

    def _patience(self) -> float | None:
        """How long to wait for signals before there is something to do without one."""
        waits = [due - time.monotonic() for due in self._due]
        if self._exporter is not None and self._exporter.due is not None:
            waits.append(self._exporter.due - time.monotonic())
        if self._launch.readiness.watchdog is not None:
            waits.append(self._launch.readiness.watchdog)
        return max(0.0, min(waits)) if waits else None

    def _mourn(self, death: Death) -> int | None:
        """Count and log a death; return the exit status if it ends the filter."""
        killed = death.exit_code < 0
        self._meter.count(Count.WORKER_DEATHS_SIGNAL if killed else Count.WORKER_DEATHS_EXIT)
        if death.draining:
            self._say(str(death), "worker-died", level=Level.ERR)
            return None
        if not self._settings.process.auto_restart:
            self._say(str(death), "worker-died", level=Level.ERR)
            return os.EX_UNAVAILABLE
        now = time.monotonic()
        exceeded = self._restarts.allow(now)
        if exceeded is not None:
            self._say(f"{death}; {exceeded}", "worker-died", level=Level.ERR)
            return os.EX_UNAVAILABLE
        self._say(f"{death}, restarting", "worker-died", level=Level.ERR)
        self._due.append(now if death.lived > _SHORT_LIFE else now + _SHORT_LIFE)
        return None

    def _hire_due(self) -> None:
        now = time.monotonic()
        for due in tuple(self._due):
            if due <= now:
                self._due.remove(due)
                try:
                    self._crew.hire(self._generation)
                except StartFailure as exc:
                    text = f"{exc}; no successor for a worker, trying again"
                    self._say(text, "worker-not-started", level=Level.ERR)
                    self._due.append(now + _SHORT_LIFE)
                else:
                    self._meter.count(Count.WORKER_STARTS)
                    self._meter.count(Count.WORKER_RESTARTS)

    def _relieve(self) -> None:
        """Replace the workers that have grown too much."""
        try:
            self._meter.count(Count.WORKER_STARTS, self._crew.relieve(self._generation))
        except StartFailure as exc:
            text = f"{exc}; no successor for a worker, trying again"
            self._say(text, "worker-not-started", level=Level.ERR)

    def _sockets(self) -> tuple[socket.socket, ...]:
        return self._exporter.sockets if self._exporter is not None else ()

    def _mind_exporter(self) -> None:
        """Say so if what serves the metrics died, and start it again; mail goes on without it."""
        end = self._exporter.reap() if self._exporter is not None else None
        if end is not None:
            self._meter.count(Count.EXPORTER_DEATHS)
            self._say(f"{end}, restarting", "exporter-died", level=Level.ERR)
        self._start_exporter()

    def _start_exporter(self) -> None:
        if self._exporter is not None:
            controls = [control.fileno() for control in self._crew.controls]
            self._exporter.start(close=[self._generation.listener, *controls])

    def _reload(self, signals: Signals) -> None:
        """Try new settings; if they are good, let new workers serve with them."""
        readiness = self._launch.readiness
        readiness.reloading()
        try:
            with signals.interruptible():
                loaded = self._loaded()
        except Interrupted:
            return  # the signal is still pending: the loop ends
        good = loaded is not None and self._replace(*loaded)
        self._meter.count(Count.RELOADS_GOOD if good else Count.RELOADS_BAD)
        if good:
            self._loaded_at(time.time())
        else:
            self._meter.set(Gauge.LAST_RELOAD_SUCCESS, 0.0)
        readiness.ready("serving")

    def _loaded_at(self, now: float) -> None:
        self._meter.set(Gauge.LAST_RELOAD_SUCCESS, 1.0)
        self._meter.set(Gauge.LAST_RELOAD_TIME, now)

    def _replace(self, settings: Settings, generation: Generation) -> bool:
        """Let new workers serve with new settings; without them the old ones go on."""
        drain = self._crew.drain()
        try:
            self._crew.hire_all(generation, count=self._workers)
        except StartFailure as exc:
            generation.engine.close()
            text = f"{exc}; the old configuration stays"
            self._say(text, "reload-failed", level=Level.ERR)
            return False
        self._meter.count(Count.WORKER_STARTS, self._workers)
        retired = self._generation
        self._settings, self._generation = settings, generation
        measure(generation.log, self._meter)
        self._due.clear()
        self._tell_cut(drain())
        retired.engine.close()
        self._notices(settings)
        self._say(f"configuration reloaded from {self._source}", "reloaded")
        return True

    def _tell_cut(self, count: int) -> None:
        """Say that workers were ended though they had connections."""
        if count:
            self._meter.count(Count.LIMIT_DRAINING, count)
            text = (
                f"too many workers still have connections of before earlier reloads: the {count} "
                "oldest end now"
            )
            self._say(text, "draining-full", level=Level.WARNING)

    def _loaded(self) -> tuple[Settings, Generation] | None:
        """Load what a reload needs; None, and a line in the log, if something is wrong."""
        try:
            settings = self._load()
            # Who we are and where we listen cannot change while we run (reference 6.11).
            for option in _waiting_for_restart(self._settings, settings):
                text = f"{option} was changed, which takes a restart"
                self._say(text, "option-notice", level=Level.WARNING)
            settings = replace(settings, process=self._settings.process)
            log = self._launch.make_log_again(settings) or self._log
            engine = load_engine(settings, log)
        except ConfigError as exc:
            where = f"{exc.file}: configuration error at line {exc.line or 0}: "
            text = f"{where if exc.file else ''}{exc.problem}"
        except (DkimError, OSError) as exc:
            text = str(exc)
        except Exception as exc:  # noqa: BLE001 - a bug in reading must not end what serves mail
            text = f"internal error: {describe(exc)[0]}"
        else:
            return settings, replace(self._generation, engine=engine, log=log)
        self._say(f"{text}; the old configuration stays", "reload-failed", level=Level.ERR)
        return None

    @property
    def _source(self) -> str:
        return self._settings.files[0] if self._settings.files else "the command line"

    def _notices(self, settings: Settings) -> None:
        for notice in settings.notices:
            self._say(notice, "option-notice", level=Level.WARNING)

    def _say(self, text: str, event: str, *, level: Level = Level.INFO) -> None:
        self._log(LogLine(level=level, text=text, event=event))


def _waiting_for_restart(running: Settings, loaded: Settings) -> list[str]:
    """Name the options of the process itself that are not what it was started with."""
    groups = (running.process, loaded.process)
    changed = {
        f"process.{field.name}"
        for field in fields(Process)
        if len({getattr(group, field.name) for group in groups}) > 1
    }
    return [option.name for option in OPTIONS if changed.intersection(option.fields)]
