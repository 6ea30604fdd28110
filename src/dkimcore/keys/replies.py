"""HTTP connections that wait for a whole reply no longer than for its first octet.

A timeout of a socket counts from one octet to the next, so a server that sends one now and then
holds a thread for as long as it likes.  Here the read timeout is the time from the end of the
request to the end of the reply.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket

__all__ = ["POOLS"]


class _Raw(io.RawIOBase):
    """Reads a socket until a deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._raw = cast("io.RawIOBase", sock.makefile("rb", buffering=0))
        self._timeout = sock.gettimeout()
        self._deadline = None if self._timeout is None else time.monotonic() + self._timeout

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """Read what there is, waiting until the deadline for it."""
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """End reading; the socket belongs to the connection."""
        self._raw.close()
        super().close()


class _Reply(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **keywords: Any) -> None:
        super().__init__(sock, *args, **keywords)
        buffered = self.fp
        self.fp = io.BufferedReader(_Raw(sock))
        buffered.close()


class _Connection(HTTPConnection):
    response_class = _Reply


class _SecureConnection(HTTPSConnection):
    response_class = _Reply


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS = {"http": _Pool, "https": _SecurePool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""
