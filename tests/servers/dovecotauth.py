"""An authentication server for Postfix: Dovecot's protocol, so that SASL is real there.

It knows the mechanism PLAIN (RFC 4616) and a table of users.  Postfix's smtpd asks it over
a unix socket (``smtpd_sasl_type = dovecot``) and, when it says OK, tells milters
``{auth_type}``, ``{auth_authen}`` and the rest.
"""

from __future__ import annotations

import base64
import binascii
import socketserver
import threading
from typing import TYPE_CHECKING

from tests.servers.closing import Closing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

__all__ = ["DovecotAuth"]

GREETING = (
    "VERSION\t1\t1",
    "MECH\tPLAIN\tplaintext",
    "SPID\t1",
    "CUID\t1",
    "COOKIE\t00000000000000000000000000000000",
    "DONE",
)


class _Conversation(socketserver.StreamRequestHandler):
    """One smtpd process; it stays connected and may ask many times."""

    server: _Server

    def handle(self) -> None:
        self._say(*GREETING)
        for line in self.rfile:
            words = line.decode("utf-8", "replace").rstrip("\n").split("\t")
            if words[0] == "AUTH":
                self._authenticate(words[1], words[2:])
            elif words[0] == "CONT":
                self._judge(words[1], words[2])

    def _authenticate(self, request: str, parameters: list[str]) -> None:
        # resp= is always the last one, as its value may hold anything.
        last = parameters[-1]
        if last.startswith("resp="):
            self._judge(request, last.removeprefix("resp="))
        else:
            self._say(f"CONT\t{request}\t")

    def _judge(self, request: str, response: str) -> None:
        try:
            _, user, password = base64.b64decode(response, validate=True).decode().split("\0")
        except (binascii.Error, ValueError):
            self._say(f"FAIL\t{request}\treason=Invalid base64 data")
            return
        known = self.server.users.get(user) == password
        self._say(f"OK\t{request}\tuser={user}" if known else f"FAIL\t{request}\tuser={user}")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\n" for line in lines).encode())


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False  # smtpd keeps its connection for as long as it lives

    def __init__(self, path: Path, users: Mapping[str, str]) -> None:
        self.users = users
        super().__init__(str(path), _Conversation)


class DovecotAuth(Closing):
    """Answers on a unix socket while its ``with`` block lasts.

    Args:
        path: Where the socket goes; anybody may connect to it.
        users: User to password.
    """

    def __init__(self, path: Path, users: Mapping[str, str]) -> None:
        self._server = _Server(path, users)
        path.chmod(0o666)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
