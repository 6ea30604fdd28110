"""Runs the milter with every logger at DEBUG: ``python -m tests.security.loud LOG SYSLOG ...``.

What loggers hear goes to the file LOG, from each of its processes; lines for syslog go to the
socket SYSLOG.  The rest is the milter's command line.
"""

from __future__ import annotations

import logging
import os
import sys

from dkimcore_milter import logsink
from dkimcore_milter.command import main
from tests.security.canaries import Listener


class FileListener(Listener):
    """Appends what it hears to a file, which several processes share."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        super().emit(record)
        os.write(self._file, "\n".join(self.heard).encode("utf-8", "backslashreplace") + b"\n")
        self.heard.clear()


if __name__ == "__main__":
    log, syslog, *arguments = sys.argv[1:]
    logging.root.setLevel(logging.DEBUG)
    logging.root.addHandler(FileListener(log))
    assert logsink.make_log.__kwdefaults__ is not None
    logsink.make_log.__kwdefaults__["address"] = syslog  # where a test listens, not /dev/log
    sys.argv[1:] = arguments
    sys.exit(main())
