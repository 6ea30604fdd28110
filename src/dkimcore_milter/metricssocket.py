"""The socket where the metrics are served (DkimcoreMetrics): read, opened, removed.

It is written as the Socket option is, and opened by the supervisor as the unprivileged user;
who serves there is `dkimcore_milter.exporter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore_milter import sockets
from dkimcore_milter.exporter import check_installed
from dkimcore_milter.failure import StartFailure

if TYPE_CHECKING:
    import socket
    from typing import Self

    from dkimcore.settings.model import Settings
    from dkimcore_milter.sockets import FileIdentity, Listen

__all__ = ["MetricsSocket"]


class MetricsSocket:
    """The socket of DkimcoreMetrics.

    Args:
        listen: Where.
        umask: The umask while it is made; None keeps the inherited one.
    """

    def __init__(self, listen: Listen, *, umask: int | None) -> None:
        self.listen = listen
        self._umask = umask
        self._identity: FileIdentity | None = None

    @classmethod
    def read(cls, settings: Settings) -> Self | None:
        """Return the socket that the settings name; None if there is none.

        Raises:
            SettingsError: It cannot be understood, or what serves it is not installed.
        """
        text = settings.process.metrics
        if text is None:
            return None
        file, line = settings.origin("DkimcoreMetrics")
        try:
            listen = sockets.parse_socket(text, file=file, line=line)
        except SettingsError as exc:
            what = exc.problem.removeprefix("Socket ")
            raise SettingsError(f"DkimcoreMetrics {what}", file=file, line=line) from exc
        problem = check_installed()
        if problem is not None:
            raise SettingsError(problem, file=file, line=line)
        return cls(listen, umask=settings.process.umask)

    def open(self) -> socket.socket:
        """Make it, and listen.

        Raises:
            StartFailure: That is not possible.
        """
        try:
            self.listen = listen = self.listen.resolve()
            sockets.clear(listen)
            with sockets.socket_umask(self._umask):
                listener = sockets.open_listener(listen)
        except StartFailure as exc:
            raise StartFailure(f"DkimcoreMetrics: {exc.problem}", status=exc.status) from exc
        self._identity = sockets.identify(listen)
        return listener

    def remove(self) -> None:
        """Remove the file of a unix socket at a clean end, if it is still ours."""
        sockets.remove(self.listen, self._identity)
