"""The start of the filter, up to an open socket: each step in OpenDKIM's order, and its undoing.

What can be wrong is found as early as possible: the settings' own errors before anything was
done, the rest while there is still a terminal to say it on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.errors import SettingsError
from dkimcore.keys.coredumps import protect_memory
from dkimcore.settings.model import LogFormat, Settings
from dkimcore_milter import privileges, sockets
from dkimcore_milter.background import Background
from dkimcore_milter.engine import Engine
from dkimcore_milter.failure import StartFailure
from dkimcore_milter.imports import BELOW_ROOT, import_all
from dkimcore_milter.logline import Level, LogLine, LogSink
from dkimcore_milter.meter import Board
from dkimcore_milter.metricssocket import MetricsSocket
from dkimcore_milter.pidfile import PidFile
from dkimcore_milter.readiness import Readiness
from dkimcore_milter.worker import Generation

if TYPE_CHECKING:
    import socket

    from dkimcore_milter.privileges import Account
    from dkimcore_milter.sockets import FileIdentity, Listen

__all__ = ["Launch", "LogMaker", "load_engine"]

LogMaker: TypeAlias = Callable[[Settings], LogSink]
"""Makes the log of a process and its children: called once before anything else is done, and
after each reload unless the root directory was changed."""


def load_engine(settings: Settings, log: LogSink) -> Engine:
    """Load the tables and open the single key, if it is a file.

    Args:
        settings: The settings.
        log: Takes lines about keys that are kept elsewhere.

    Raises:
        ConfigError: A table or a data set is wrong.
        KeyBackendError: The key cannot be used.
        StartFailure: There is no such user as UserID names.
    """
    uid = privileges.future_uid(settings.process.user)
    engine = Engine.load(settings, uid=uid, log=log)
    engine.preload()
    return engine


class Launch:
    """A start.

    Args:
        settings: What to start with.
        make_log: Makes the log.
        program: What to call ourselves.

    Attributes:
        readiness: The service manager.
        metrics: The socket of DkimcoreMetrics, once it listens.
    """

    def __init__(self, settings: Settings, *, make_log: LogMaker, program: str) -> None:
        self._settings = settings
        self._process = settings.process
        self._make_log = make_log
        self._program = program
        self._background = Background()
        self._pid_file: PidFile | None = None
        self._listen: Listen | None = None
        self._metrics: MetricsSocket | None = None
        self._identity: FileIdentity | None = None
        self._log: LogSink | None = None
        self.readiness = Readiness()
        self.metrics: socket.socket | None = None

    def begin(self) -> tuple[Generation | None, int]:
        """Do everything up to an open socket.

        Returns:
            What the workers serve with; None in a process whose child goes on in the
            background, with its exit status.

        Raises:
            ConfigError: As `run`.
            KeyBackendError: As `run`.
            StartFailure: As `run`.
        """
        listen = self._parse_socket()
        self._metrics = MetricsSocket.read(self._settings)
        self._log = log = self._make_log(self._settings)
        engine = load_engine(self._settings, log)
        self._base_directory()
        account = None
        if self._process.user is not None:
            account = privileges.find_account(self._process.user)
            privileges.check_permitted(account)
        if self._process.user is not None or self._process.root_directory is not None:
            import_all()
        if self._process.root_directory is not None:
            self._warn_of_root(engine)
            privileges.change_root(self._process.root_directory)
        if self._process.background:
            status = self._background.fork()
            if status is not None:
                return None, status
        try:
            listener = self._establish(listen, account)
        except StartFailure as exc:
            self._complain(str(exc), "failed")
            self.end()
            raise
        generation = Generation(
            engine=engine, log=log, listener=listener, inet=listen.is_inet, board=Board()
        )
        return generation, os.EX_OK

    def make_log_again(self, settings: Settings) -> LogSink | None:
        """Make the log of reloaded settings; None where syslog's socket is out of reach."""
        return None if self._process.root_directory is not None else self._make_log(settings)

    def leave_terminal(self) -> None:
        """Leave the terminal, if that was asked for."""
        keeps = self._settings.logging.format is LogFormat.JSON
        self._background.leave_terminal(keep_output=keeps)

    def ready(self) -> None:
        """Say that mail is served."""
        self._background.ready()
        self.readiness.ready("serving")

    def end(self) -> None:
        """Remove the socket's file and the pid file."""
        if self._listen is not None:
            sockets.remove(self._listen, self._identity)
        if self._metrics is not None:
            self._metrics.remove()
        problem = self._pid_file.remove() if self._pid_file is not None else None
        if problem is not None:
            self._complain(f"can't remove {self._process.pid_file}: {problem}", "pid-file")

    def _parse_socket(self) -> Listen:
        text = self._process.socket
        file, line = dict(self._settings.origins).get("socket", (None, None))
        if text is None:
            raise SettingsError("there is no Socket: add Socket local:/path or inet:8891@localhost")
        return sockets.parse_socket(text, file=file, line=line)

    def _base_directory(self) -> None:
        """Make it what relative paths of other programs and files count from."""
        directory = self._process.base_directory
        if directory is None or not os.path.isabs(directory):
            return  # a relative one counts from where we are, also at a reload
        try:
            os.chdir(directory)
        except OSError as exc:
            raise StartFailure(
                f"BaseDirectory {directory}: {exc.strerror}: make it", status=os.EX_OSERR
            ) from exc

    def _warn_of_root(self, engine: Engine) -> None:
        """Say what keys that are kept elsewhere miss below ChangeRootDirectory."""
        schemes = ", ".join(sorted(engine.keys.schemes))
        if schemes:
            text = f"ChangeRootDirectory: keys of {schemes} need their files below it: "
            self._complain(text + BELOW_ROOT, "root-directory", level=Level.WARNING)

    def _establish(self, listen: Listen, account: Account | None) -> int:
        self._write_pid_file()
        if account is not None:
            privileges.become(account)
        protect_memory(core_dumps=self._process.core_dumps)
        privileges.raise_descriptor_limit()
        self._listen = resolved = listen.resolve()
        sockets.clear(resolved)
        with sockets.socket_umask(self._process.umask):
            listener = sockets.open_listener(resolved)
        self._identity = sockets.identify(resolved)
        if self._metrics is not None:
            self.metrics = self._metrics.open()
        return listener.detach()

    def _write_pid_file(self) -> None:
        path = self._process.pid_file
        if path is None:
            return
        self._pid_file = PidFile(path)
        problem = self._pid_file.write(os.getpid())
        if problem is not None:  # OpenDKIM goes on, too
            self._complain(f"can't write pid to {path}: {problem}", "pid-file")

    def _complain(self, text: str, event: str, *, level: Level = Level.ERR) -> None:
        if self._log is not None:
            self._log(LogLine(level=level, text=text, event=event))
