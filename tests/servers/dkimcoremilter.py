"""Our milter as a process, with its log lines."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import TYPE_CHECKING

from tests.servers.filterprocess import DidNotStart, FilterProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["DidNotStart", "DkimcoreMilter", "LogEntry"]

LogEntry = dict[str, object]
"""A line of the log, as JSON gives it."""


class DkimcoreMilter(FilterProcess):
    """``python -m dkimcore_milter`` in the foreground; its log goes to standard output.

    Example::

        with DkimcoreMilter("Mode v") as milter:
            deliver(milter.address, message)
            milter.wait_for("verified")
    """

    def __init__(
        self,
        conf: str,
        *,
        files: Mapping[str, str | bytes] | None = None,
        socket_name: str | None = None,
        flags: Sequence[str] = (),
        modes: Mapping[str, int] | None = None,
        workers: int | None = 1,
    ) -> None:
        """Takes its configuration; see `FilterProcess`.

        Args:
            conf: opendkim.conf, without the socket and the form of the log.
            files: More files.
            socket_name: Where it listens.
            flags: More flags.
            modes: Modes of files that are not to have 0600.
            workers: Worker processes; None leaves it to `conf`.
        """
        ours = "DkimcoreLogFormat json\n"
        if workers is not None:
            ours += f"DkimcoreWorkers {workers}\n"
        super().__init__(
            f"{conf}\n{ours}",
            files=files,
            socket_name=socket_name,
            flags=flags,
            modes=modes,
        )
        self._manager: socket.socket | None = None

    def environment(self) -> Mapping[str, str]:
        """Lets it say when its workers serve, as it tells systemd."""
        if "NOTIFY_SOCKET" in os.environ:  # the test listens itself
            return {}
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.settimeout(0)
        self._manager.bind(str(self.folder / "notify"))
        (self.folder / "notify").chmod(0o666)
        return {"NOTIFY_SOCKET": str(self.folder / "notify")}

    def _serves(self) -> bool:
        """Whether its workers serve: its socket takes connections a little earlier."""
        if self._manager is None:
            return super()._serves()
        try:
            is_ready = b"READY=1" in self._manager.recv(4096)
        except BlockingIOError:
            return False
        if is_ready:
            self._forget_manager()
        return is_ready

    def _forget_manager(self) -> None:
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def close(self) -> None:
        """Ends it and removes its folder; again is harmless."""
        super().close()
        self._forget_manager()

    def command(self, conf: Path, socket_name: str) -> Sequence[str]:
        """Returns our command line."""
        module = [sys.executable, "-m", "dkimcore_milter"]
        return [*module, "-f", "-x", str(conf), "-p", socket_name, *self.flags]

    def log(self) -> list[LogEntry]:
        """Returns the log so far; lines that are no JSON object are left out."""
        entries = []
        for line in self._read("stdout").split("\n")[:-1]:  # the last one may be half written
            if line.startswith("{"):
                entries.append(json.loads(line))
        return entries

    def wait_for(self, text: str, *, timeout: float = 10.0) -> LogEntry:
        """Waits for a line of the log that has this text anywhere.

        Args:
            text: What to look for.
            timeout: Seconds.

        Raises:
            AssertionError: It did not come.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for entry in self.log():
                if text in json.dumps(entry, ensure_ascii=False):
                    return entry
            time.sleep(0.01)  # a file says nothing when it grows
        raise AssertionError(f"{text!r} is not in the log:\n{self._read('stdout')}{self.output()}")
