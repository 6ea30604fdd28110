"""A delay in front of real servers: octets pass, and answers come later.

``python -m benchmarks.remote_keys.relay`` reads what it is to do from standard input, prints where
it listens, and ends when standard input does.  It knows nothing of HTTP, and so costs little.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from dataclasses import asdict, dataclass

from benchmarks.remote_keys.standin import run_precisely, until_end_of_input
from tests.servers.nsd import HOST

__all__ = ["RelayOrders", "main"]

_BACKLOG = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOrders:
    """What it is to do.

    Attributes:
        routes: Ports on loopback to connect to, and seconds; there is a port for each.
    """

    routes: list[tuple[int, float]]

    def encode(self) -> bytes:
        """One line for its standard input."""
        return json.dumps(asdict(self)).encode() + b"\n"


class _Behind(asyncio.Protocol):
    """The connection to the server: what comes is passed on later."""

    def __init__(self, client: asyncio.Transport, latency: float) -> None:
        self._client = client
        self._latency = latency
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        if self._latency:
            # Equal delays stay in order, for the loop runs timers by their time.
            self._loop.call_later(self._latency, self._client.write, data)
        else:
            self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class _Front(asyncio.Protocol):
    """The client's connection: what comes is passed on at once."""

    def __init__(self, port: int, latency: float) -> None:
        self._port, self._latency = port, latency
        self._waiting: list[bytes] = []
        self._behind: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._task = asyncio.get_running_loop().create_task(self._connect(transport))

    async def _connect(self, client: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            behind, _ = await loop.create_connection(
                lambda: _Behind(client, self._latency), HOST, self._port
            )
        except OSError:
            client.abort()
            return
        behind.write(b"".join(self._waiting))
        self._behind = behind
        if self._lost:
            behind.close()

    def data_received(self, data: bytes) -> None:
        if self._behind is None:
            self._waiting.append(data)
        else:
            self._behind.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._behind is not None:
            self._behind.close()


async def _serve(orders: RelayOrders) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(
            lambda port=port, latency=latency: _Front(port, latency),  # type: ignore[misc]
            HOST,
            0,
            backlog=_BACKLOG,
        )
        for port, latency in orders.routes
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    gc.freeze()
    await until_end_of_input()


def main() -> int:
    """Passes octets on until standard input ends."""
    orders = RelayOrders(**json.loads(sys.stdin.buffer.readline()))
    run_precisely(_serve(orders))
    return 0


if __name__ == "__main__":
    sys.exit(main())
