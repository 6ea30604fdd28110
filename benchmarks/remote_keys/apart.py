"""The stand-in and the relay as processes of their own: a thread would take the clients' time."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.remote_keys.relay import RelayOrders
from benchmarks.remote_keys.standin import Orders
from benchmarks.throughput.processes import cpu_seconds
from tests.servers.closing import Closing
from tests.servers.nsd import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

__all__ = ["Apart", "Asked", "Relay", "StandIn"]

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 10.0  # seconds; both take a quarter of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How often the stand-in was asked.

    Attributes:
        requests: Requests for signatures.
        signatures: Signatures that they asked for.
    """

    requests: int
    signatures: int

    def since(self, before: Asked) -> Asked:
        """What came after that."""
        return Asked(
            requests=self.requests - before.requests,
            signatures=self.signatures - before.signatures,
        )


class Apart(Closing):
    """A program of this package that serves until its standard input ends.

    Args:
        module: Its name.
        orders: The line that it reads first.
    """

    def __init__(self, module: str, orders: bytes) -> None:
        self._module, self._orders = module, orders
        self._process: subprocess.Popen[bytes] | None = None
        self.ports: list[int] = []

    def __enter__(self) -> Self:
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.remote_keys.{self._module}"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(self._orders)
        process.stdin.flush()
        told = process.stdout.readline()  # empty when it has ended
        if not told:
            self.close()
            raise RuntimeError(f"{self._module} did not start; it says why on standard error")
        self.ports = json.loads(told)
        return self

    @property
    def cpu(self) -> float:
        """The CPU seconds that it has used."""
        return cpu_seconds(self._process.pid) if self._process is not None else 0.0

    def close(self) -> None:
        """Ends it; again is harmless."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class StandIn(Apart):
    """A server that speaks as much of Vault and KMS as signing takes.

    Args:
        keys: Names and keys in PEM.
        latencies: Seconds; `port` has one for each.
        work: Seconds that a core would need for a signature of each key; none without it.
        cores: How many cores it would have for that.
    """

    def __init__(
        self,
        keys: Mapping[str, bytes],
        latencies: Sequence[float],
        *,
        work: Mapping[str, float] | None = None,
        cores: int = 4,
    ) -> None:
        orders = Orders(
            keys={name: pem.decode() for name, pem in keys.items()},
            latencies=list(latencies),
            work=dict(work or {}),
            cores=cores,
        )
        super().__init__("standin", orders.encode())
        self._latencies = tuple(latencies)

    def port(self, latency: float) -> int:
        """Where it answers after so many seconds."""
        return self.ports[self._latencies.index(latency)]

    def asked(self) -> Asked:
        """How often it was asked so far."""
        connection = http.client.HTTPConnection(HOST, self.ports[0], timeout=_PATIENCE)
        try:
            connection.request("GET", "/v1/counts")
            return Asked(**json.loads(connection.getresponse().read())["data"])
        finally:
            connection.close()


class Relay(Apart):
    """A delay in front of servers.

    Args:
        routes: Ports on loopback, and seconds; `port` has one for each.
    """

    def __init__(self, routes: Sequence[tuple[int, float]]) -> None:
        super().__init__("relay", RelayOrders(routes=list(routes)).encode())
        self._routes = list(routes)

    def port(self, behind: int, latency: float) -> int:
        """Where a server is so many seconds farther away."""
        return self.ports[self._routes.index((behind, latency))]
