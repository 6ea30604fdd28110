"""Debian's opendkim with a configuration of ours, to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers import find_program
from tests.servers.filterprocess import DidNotStart, FilterProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["DidNotStart", "OpenDkimServer"]


class OpenDkimServer(FilterProcess):
    """An opendkim in the foreground; its log goes to the machine's syslog, if anywhere.

    Example::

        with OpenDkimServer("Domain example.com\\nSelector s1\\nKeyFile {folder}/k.pem",
                            files={"k.pem": pem}) as server:
            deliver(server.address, message)
    """

    def command(self, conf: Path, socket_name: str) -> Sequence[str]:
        """Returns opendkim's command line."""
        program = find_program("opendkim")
        if program is None:
            raise RuntimeError("opendkim is not installed: sudo apt-get install opendkim")
        return [program, "-f", "-x", str(conf), "-p", socket_name, *self.flags]

    def stop(self) -> int:
        """Kills it: libmilter notices a SIGTERM after up to 5 seconds only."""
        assert self._process is not None
        self._process.kill()
        return self._process.wait()
