"""A milter that runs in the foreground, in a folder of its own, on a unix socket.

`tests.servers.opendkim` and `tests.servers.dkimcoremilter` say which program it is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.closing import Closing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

__all__ = ["DidNotStart", "FilterProcess"]

STARTUP = 20.0  # seconds, for a busy machine; both programs need less than one


class DidNotStart(Exception):
    """The program ended, or did not listen in time.

    Attributes:
        status: Its exit status; None if it still ran.
        output: What it wrote to standard error.
    """

    def __init__(self, status: int | None, output: str) -> None:
        super().__init__(f"status {status}: {output}")
        self.status = status
        self.output = output


class FilterProcess(Closing):
    """A filter that runs while its ``with`` block lasts."""

    def __init__(
        self,
        conf: str,
        *,
        files: Mapping[str, str | bytes] | None = None,
        socket_name: str | None = None,
        flags: Sequence[str] = (),
        modes: Mapping[str, int] | None = None,
    ) -> None:
        """Takes its configuration; it starts with the ``with`` block.

        Args:
            conf: opendkim.conf, without the socket.  ``{folder}`` stands for the folder
                that holds it.
            files: More files for that folder, with mode 0600; ``{folder}`` in text, too.
            socket_name: Where it listens, as in OpenDKIM's Socket option; None: a unix
                socket in the folder.
            flags: More flags for the command line.
            modes: Modes of files that are not to have 0600; "." is the folder.
        """
        self.flags = tuple(flags)
        self._modes = dict(modes or {})
        self._conf = conf
        self._files = dict(files or {})
        self._socket_name = socket_name
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, conf: Path, socket_name: str) -> Sequence[str]:
        """Returns the command line that runs the filter in the foreground."""
        raise RuntimeError("a program is a subclass")

    @property
    def folder(self) -> Path:
        """The folder that holds the configuration."""
        assert self._temporary is not None
        return Path(self._temporary.name)

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._socket_name or f"local:{self.folder}/socket"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def output(self) -> str:
        """Returns what it wrote to standard error."""
        return self._read("stderr")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self.launch()
            self.wait_until_ready()
            undo.pop_all()
        return self

    def launch(self) -> None:
        """Writes the files and starts the program, without waiting for it."""
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._launch()
            undo.pop_all()

    def _launch(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="dkimcore-filter-")
        for name, content in {**self._files, "filter.conf": self._conf}.items():
            path = self.folder / name
            if isinstance(content, str):
                text = content.replace("{folder}", str(self.folder))
                content = text.encode("utf-8", "surrogateescape")
            path.write_bytes(content)
            path.chmod(0o600)
        for name, mode in self._modes.items():
            (self.folder / name).chmod(mode)
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self._process = subprocess.Popen(
                self.command(self.folder / "filter.conf", self.address),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**_ambient(), **self.environment()},
            )

    def environment(self) -> Mapping[str, str]:
        """Returns variables for the program, besides ours."""
        return {}

    def wait_until_ready(self) -> None:
        """Waits until it serves.

        Raises:
            DidNotStart: The program ended, or does not listen in time.
        """
        assert self._process is not None
        end = time.monotonic() + STARTUP
        while time.monotonic() < end:
            if self._serves():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
                break
        raise DidNotStart(self._process.poll(), self.output())

    def ends(self, timeout: float) -> bool:
        """Waits whether the program ends by itself within so many seconds."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self._process.poll() is not None

    def _serves(self) -> bool:
        """Whether the socket takes connections."""
        kind, _, rest = self.address.partition(":")
        try:
            if kind in ("local", "unix"):
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(rest)
            else:
                port, _, host = rest.partition("@")
                socket.create_connection((host.strip("[]"), int(port)), 1).close()
        except OSError:
            return False
        return True

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8", errors="replace")

    def stop(self) -> int:
        """Ends it as an init system does.

        Returns:
            Its exit status.
        """
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def close(self) -> None:
        """Ends it and removes its folder; again is harmless."""
        try:
            if self._process is not None:
                self.stop()
        finally:
            self._process = None
            if self._temporary is not None:
                self._temporary.cleanup()
                self._temporary = None


def _ambient() -> dict[str, str]:
    """Our environment, in which pytest writes the name of each test while threads start filters."""
    found = ((name, os.environ.get(name)) for name in os.environ)
    return {name: value for name, value in found if value is not None}
