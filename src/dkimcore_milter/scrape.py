"""Answers GET /metrics and GET /healthz, and nothing else, over HTTP (DkimcoreMetrics).

A request has `REQUEST_SECONDS` and `REQUEST_OCTETS`, its answer `ANSWER_SECONDS`, and only
`AT_ONCE` connections are served at once.  Who says nothing keeps nobody out: when there are so
many, the oldest that has not sent its whole request makes room for the next.  What is answered
is `dkimcore_milter.collector`'s.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import socketserver
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, TypeAlias, cast

from prometheus_client.exposition import choose_encoder

from dkimcore_milter.collector import BoardCollector, health

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore_milter.meter import Board

__all__ = ["ANSWER_SECONDS", "AT_ONCE", "REQUEST_OCTETS", "REQUEST_SECONDS", "ScrapeServer"]

REQUEST_SECONDS = 1.0
"""How long a request may take to come; those of Prometheus and of probes come at once."""

ANSWER_SECONDS = 5.0
"""How long an answer may take to go; Prometheus waits 10 s."""

REQUEST_OCTETS = 8192
"""How long a request may be; Prometheus sends about 300 octets."""

AT_ONCE = 32
"""How many connections are served at once."""

_Taken: TypeAlias = "socket.socket | tuple[bytes, socket.socket]"

_PAUSE = 0.1

# Whoever sends a request sends it with the connection.  Where clients that say nothing come
# back at once, this leaves a request time to be read, and the process some rest.
_GRACE_SECONDS = 0.05


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
    protocol_version = "HTTP/1.0"  # a connection for each request

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        request = _Request(self.connection, seconds=self.server.seconds)
        self.rfile = io.BufferedReader(request)

    def do_GET(self) -> None:
        """Answer."""
        self.server.has_asked(self.connection)
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept") or "")
            self._answer(200, encode(self.server.collector), content_type)
        elif path == "/healthz":
            state = health(self.server.board, now=time.monotonic())
            status = 200 if state["status"] == "ok" and self.server.is_supervised() else 503
            self._answer(status, json.dumps(state).encode() + b"\n", "application/json")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def send_error(self, code: int, _message: object = None, _explain: object = None) -> None:
        """Answer with a text of ours alone: the texts given repeat what the client wrote."""
        self._answer(code, f"{HTTPStatus(code).phrase}\n".encode(), "text/plain")

    def log_message(self, *_args: object) -> None:
        """Say nothing: the log is for mail."""

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.connection.settimeout(ANSWER_SECONDS)
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
        seconds: How long a request may take to come.
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
        self._changed = threading.Condition()
        self._served: dict[_Taken, float] = {}  # and since when, the oldest first
        self._asked: set[_Taken] = set()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Take a connection."""
        try:
            return self.socket.accept()[0], ("", 0)
        except OSError:
            time.sleep(_PAUSE)  # no descriptors: the listener stays readable
            raise

    def process_request(self, request: _Taken, client_address: object) -> None:
        """Serve a connection in a thread, as soon as there is room."""
        with self._changed:
            while len(self._served) >= AT_ONCE:
                self._make_room()
            self._served[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._forget(request)
            raise

    def process_request_thread(self, request: _Taken, client_address: object) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def has_asked(self, request: _Taken) -> None:
        """Learn that a whole request came."""
        with self._changed:
            self._asked.add(request)

    def handle_error(self, request: _Taken, client_address: object) -> None:
        """Say nothing: a client that is slow or gone is none of the log's business."""

    def _make_room(self) -> None:
        """End the oldest connection that has no request yet, or the oldest; wait for a change."""
        silent = (request for request in self._served if request not in self._asked)
        oldest = next(silent, next(iter(self._served)))
        rest = self._served[oldest] + _GRACE_SECONDS - time.monotonic()
        if rest > 0:
            self._changed.wait(rest)
            return
        with contextlib.suppress(OSError):  # the client was faster
            cast("socket.socket", oldest).shutdown(socket.SHUT_RDWR)
        self._changed.wait(_GRACE_SECONDS)

    def _forget(self, request: _Taken) -> None:
        with self._changed:
            del self._served[request]
            self._asked.discard(request)
            self._changed.notify()
