"""Answers GET /metrics and GET /healthz, and nothing else, over HTTP (DkimcoreMetrics).

Nobody can hold it up: a request has `REQUEST_SECONDS` and `REQUEST_OCTETS`, answers have as
long, and only so many are served at once.  What is answered is `dkimcore_milter.collector`'s.
"""

from __future__ import annotations

import io
import json
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.exposition import choose_encoder

from dkimcore_milter.collector import BoardCollector, health

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore_milter.meter import Board

__all__ = ["REQUEST_OCTETS", "REQUEST_SECONDS", "ScrapeServer"]

REQUEST_SECONDS = 5.0
"""How long a request may take to come, and an answer to go; Prometheus waits 10 s for both."""

REQUEST_OCTETS = 8192
"""How long a request may be; Prometheus sends about 300 octets."""

_Taken: TypeAlias = "socket.socket | tuple[bytes, socket.socket]"

_AT_ONCE = 8
_PAUSE = 0.1


class _Request(io.RawIOBase):
    """A request as it comes in: its whole time and size are limited, not each read's."""

    def __init__(self, connection: socket.socket, *, seconds: float) -> None:
        self._connection = connection
        self._end = time.monotonic() + seconds
        self._left = REQUEST_OCTETS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        room = memoryview(buffer)[: self._left]  # type: ignore[arg-type]
        if not room:
            return 0
        self._connection.settimeout(max(self._end - time.monotonic(), 0.001))
        count = self._connection.recv_into(room)
        self._left -= count
        return count


class _Handler(BaseHTTPRequestHandler):
    server: ScrapeServer
    server_version = "dkimcore-milter"
    sys_version = ""
    timeout = REQUEST_SECONDS
    protocol_version = "HTTP/1.0"  # a connection for each request

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        request = _Request(self.connection, seconds=self.server.seconds)
        self.rfile = io.BufferedReader(request)

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept") or "")
            self._answer(200, encode(self.server.collector), content_type)
        elif path == "/healthz":
            state = health(self.server.board, now=time.monotonic())
            status = 200 if state["status"] == "ok" and self.server.is_supervised() else 503
            self._answer(status, json.dumps(state).encode() + b"\n", "application/json")
        else:
            self.send_error(404)

    def log_message(self, *_args: object) -> None:
        """Say nothing: the log is for mail."""

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.connection.settimeout(self.server.seconds)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


class ScrapeServer(socketserver.ThreadingMixIn, HTTPServer):
    """Serves on a socket that listens already.

    Args:
        listener: The socket.
        board: Where the processes count.
        is_supervised: Whether the supervisor lives.
        seconds: How long a request may take to come, and an answer to go.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        listener: socket.socket,
        *,
        board: Board,
        is_supervised: Callable[[], bool],
        seconds: float = REQUEST_SECONDS,
    ) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.board = board
        self.collector = BoardCollector(board)
        self.is_supervised = is_supervised
        self.seconds = seconds
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Take a connection."""
        try:
            return self.socket.accept()[0], ("", 0)
        except OSError:
            time.sleep(_PAUSE)  # no descriptors: the listener stays readable
            raise

    def process_request(self, request: _Taken, client_address: object) -> None:
        """Serve a connection in a thread; one too many is closed at once."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: _Taken, client_address: object) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: _Taken, client_address: object) -> None:
        """Say nothing: a client that is slow or gone is none of the log's business."""
