"""HTTP connections that send a request at once, and wait for the whole reply no longer than for
its first octet.

`http.client` sends header and body one after the other.  Each system call costs as much as all
else that is done for a request (75 us), and wakes the server once more than is of use.

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


class _AtOnce(HTTPConnection):
    _parts: list[bytes] | None = None

    def request(self, *args: Any, **keywords: Any) -> None:
        """Send a request; its body is octets, as all of ours."""
        parts = self._parts = []
        try:
            super().request(*args, **keywords)
        finally:
            self._parts = None
        super().send(b"".join(parts))

    def send(self, data: Any) -> None:
        """Send octets, or keep them until the request is complete."""
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)


class _Connection(_AtOnce):
    response_class = _Reply


class _SecureConnection(_AtOnce, HTTPSConnection):
    response_class = _Reply


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS = {"http": _Pool, "https": _SecurePool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""
