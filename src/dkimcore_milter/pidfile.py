"""The file that holds the filter's process id (PidFile)."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile

__all__ = ["PidFile"]


class PidFile:
    """A pid file, from its writing to its removal.

    Args:
        path: Where it is.
    """

    def __init__(self, path: str) -> None:
        # As it is seen from "/" later on: the caller may change its directory.
        self.path = os.path.abspath(path)
        self._pid: int | None = None

    def write(self, pid: int) -> str | None:
        """Write it in one step, so that nobody reads half a number.

        Returns:
            Why it could not be written, which is no reason not to serve mail; else None.
        """
        content = f"{pid}\n".encode()
        try:
            kind = _kind(self.path)
            if kind is not None and stat.S_ISDIR(kind):
                return os.strerror(errno.EISDIR)
            if kind is not None and not stat.S_ISREG(kind):
                # PidFile /dev/null: root would put a file in the place of the device.
                _write_into(self.path, content)
                return None
            _replace(self.path, content)
        except OSError as exc:
            return exc.strerror or str(exc)
        self._pid = pid
        return None

    def remove(self) -> str | None:
        """Remove it, if it was written here and nobody has written it since.

        Returns:
            Why it could not be removed; else None.
        """
        if self._pid is None:
            return None
        pid, self._pid = self._pid, None
        try:
            with open(self.path, "rb") as file:
                if file.read(64) != f"{pid}\n".encode():
                    return None
            os.unlink(self.path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            return exc.strerror or str(exc)
        return None


def _kind(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _write_into(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "wb", buffering=0) as file:
        file.write(content)


def _replace(path: str, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".pid-")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)  # service managers and monitors read it
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
