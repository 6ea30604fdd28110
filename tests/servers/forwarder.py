"""The part of the fault proxy that serves: asyncio, connections kept alive on both sides.

One connection of a client has one to the server behind it, so an answer takes no turn behind
another's.  Octets go through unchanged unless a fault changes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.servers.httpoctets import Message, take_message

if TYPE_CHECKING:
    from tests.servers.rules import Rules
    from tests.servers.tls import Certificate

__all__ = ["Forwarder"]

BACKLOG = 1024  # connections; a benchmark opens 128 at once


class Gone(Exception):
    """The server behind cannot be asked."""


@dataclass(slots=True)
class Asking:
    """One request of a client, and the way to the server behind."""

    request: Message
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    behind: Behind

    async def ask(self) -> Message:
        """Asks the real server."""
        return await self.behind.ask(self.request)

    async def until_gone(self) -> None:
        """Waits until the client has closed its connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


class Behind:
    """The connection to the server, opened when there is something to ask."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._where = host, port
        self._tls = tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Message) -> Message:
        """Sends a request and reads the answer.

        Raises:
            Gone: There is none.
        """
        kept = self._streams is not None
        try:
            answer = await self._try(request)
            if answer is None and kept:
                # It was closed while nothing was asked: restarted, or idle for long.
                answer = await self._try(request)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            raise Gone from error
        if answer is None:
            raise Gone
        if not answer.lasting:
            self.close()
        return answer

    async def _try(self, request: Message) -> Message | None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._where, ssl=self._tls)
        reader, writer = self._streams
        try:
            writer.write(request.octets)
            method = request.head.partition(b" ")[0]
            answer = await take_message(reader, answers=method)
        except ConnectionError:
            answer = None
        if answer is None:
            self.close()
        return answer

    def close(self) -> None:
        """Closes it; the next request opens another."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Forwarder:
    """Serves clients on a port, until it is closed; all of it in one event loop.

    Args:
        target: URL of the server behind.
        rules: What goes wrong.
        ca_file: What the server's certificate is checked with.
        certificate: Makes it speak TLS to clients.
    """

    def __init__(
        self, target: str, rules: Rules, *, ca_file: str | None, certificate: Certificate | None
    ) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        self._rules = rules
        outgoing = None
        if parts.scheme == "https":
            outgoing = ssl.create_default_context(cafile=ca_file)
        self._behind = parts.hostname, parts.port or (443 if outgoing else 80), outgoing
        self._incoming: ssl.SSLContext | None = None
        if certificate is not None:
            self._incoming = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._incoming.load_cert_chain(certificate.certificate_file, certificate.key_file)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> int:
        """Starts to listen.

        Returns:
            The port; another one when `port` is 0.
        """
        self._server = await asyncio.start_server(
            self._serve, host, port, ssl=self._incoming, backlog=BACKLOG
        )
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def close(self) -> None:
        """Stops to listen and drops every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._rules.connected()
        behind = Behind(*self._behind)
        try:
            await self._converse(reader, writer, behind)
        except (Gone, OSError, asyncio.IncompleteReadError, ValueError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            behind.close()
            with contextlib.suppress(OSError):
                writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: Behind
    ) -> None:
        lasting = True
        while lasting:
            request = await take_message(reader)
            if request is None:
                return
            fault, latency = self._rules.judge(request)
            try:
                if latency:
                    await asyncio.sleep(latency)
                asking = Asking(request, writer, reader, behind)
                if fault is not None:
                    lasting = await fault.play(asking)
                else:
                    answer = await asking.ask()
                    writer.write(answer.octets)
                    await writer.drain()
                    lasting = answer.lasting
            finally:
                self._rules.finished()
            lasting = lasting and request.lasting
