"""A server that costs little CPU time, so that the client is what is measured.

``python -m benchmarks.remote_keys.standin`` reads what it is to do from standard input, prints
where it listens, and ends when standard input does.  Each port has a latency of its own: an
answer leaves so long after its request came, and nothing waits for it meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import json
import selectors
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.remote_keys.standinkeys import Answers
from tests.servers.nsd import HOST

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Orders", "main", "run_precisely", "until_end_of_input"]

_BACKLOG = 512
_END = b"\r\n\r\n"
_LONGEST = 1 << 20  # octets of a request; 64 digests have a hundredth


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What it is to do.

    Attributes:
        keys: Names and keys in PEM.
        latencies: Seconds; there is a port for each.
        work: Seconds that a core would need for one signature of each key; 0: none.
        cores: How many cores it would have for that.
    """

    keys: dict[str, str]
    latencies: list[float]
    work: dict[str, float]
    cores: int

    def encode(self) -> bytes:
        """One line for its standard input."""
        return json.dumps(asdict(self)).encode() + b"\n"


class _Cores:
    """When the cores of a server that worked for its signatures would be free.

    A request is one core's, as in OpenBao, which signs the items of a batch one after another.
    """

    def __init__(self, count: int) -> None:
        self._free = [0.0] * count

    def done(self, now: float, seconds: float) -> float:
        """Returns when a request would be answered that came now and takes so long."""
        first = min(range(len(self._free)), key=self._free.__getitem__)
        self._free[first] = max(now, self._free[first]) + seconds
        return self._free[first]


class _Conversation(asyncio.Protocol):
    """A connection: HTTP/1.1, kept alive, one request after the other."""

    def __init__(self, answers: Answers, cores: _Cores, latency: float) -> None:
        self._answers = answers
        self._cores = cores
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        head, end, body = self._buffer.partition(_END)
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(fields.get("content-length", "0"))
        if length > _LONGEST:
            self._transport.abort()
        if len(body) < length:
            return
        came = self._loop.time()
        self._buffer = body[length:]
        method, path, _ = first.split(" ")
        status, octets, work = self._answers.answer(
            method, path, fields.get("x-amz-target", ""), body[:length]
        )
        if work:
            came = self._cores.done(came, work)
        reply = b"HTTP/1.1 %d .\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        reply = reply % (status, len(octets), octets)
        if work or self._latency:
            self._loop.call_at(came + self._latency, self._transport.write, reply)
        else:
            self._transport.write(reply)


def run_precisely(main: Coroutine[object, object, None]) -> None:
    """Runs a coroutine in a loop whose timers are exact.

    asyncio's own waits for whole milliseconds, as epoll() does, so that an answer would leave up to
    one later than was said.

    Args:
        main: It.
    """
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)


async def until_end_of_input() -> None:
    """Waits until standard input ends: whoever started us is gone, or wants us gone."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.buffer.read)


async def _serve(orders: Orders) -> None:
    answers = Answers({name: pem.encode() for name, pem in orders.keys.items()}, work=orders.work)
    cores = _Cores(orders.cores)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(
            lambda latency=latency: _Conversation(answers, cores, latency),  # type: ignore[misc]
            HOST,
            0,
            backlog=_BACKLOG,
        )
        for latency in orders.latencies
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    gc.freeze()
    await until_end_of_input()


def main() -> int:
    """Serves until standard input ends."""
    orders = Orders(**json.loads(sys.stdin.buffer.readline()))
    run_precisely(_serve(orders))
    return 0


if __name__ == "__main__":
    sys.exit(main())
