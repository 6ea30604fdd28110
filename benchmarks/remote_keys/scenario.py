"""What is measured: keys, how far away they are, and how many messages wait for them at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

__all__ = [
    "ALGORITHMS",
    "BACKENDS",
    "ED25519",
    "FETCHED",
    "IN_FLIGHT",
    "LATENCIES",
    "REAL",
    "RSA",
    "STAND_IN",
    "Cell",
    "Pace",
    "Place",
    "full",
    "quick",
]

RSA, ED25519 = "rsa-sha256", "ed25519-sha256"
ALGORITHMS = {RSA: "RSA-2048", ED25519: "Ed25519"}
LATENCIES = (0.0, 0.001, 0.01, 0.05)
IN_FLIGHT = (1, 8, 32, 64, 128)
STAND_IN = "stand-in"
BACKENDS = ("vault-transit", "awskms")
REAL = {"vault-transit": "OpenBao", "awskms": "ministack", "pkcs11": "SoftHSM"}
"""Backends and the servers that can be had of each; a token is none, and has no stand-in."""
FETCHED = ("vault-kv", "awskms-envelope")
"""Backends that are asked once: signatures are made here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A key and how far away it is.

    Attributes:
        server: What answers.
        backend: The scheme of the key's URI.
        algorithm: Of its signatures.
        latency: Seconds from a request's arrival to the answer, besides the server's own work.
    """

    server: str
    backend: str
    algorithm: str
    latency: float = 0.0

    @property
    def is_fetched(self) -> bool:
        """Whether signatures are made here."""
        return self.backend in FETCHED

    def __str__(self) -> str:
        return (
            f"{self.server} {self.backend} {ALGORITHMS[self.algorithm]} {self.latency * 1000:g} ms"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure: a key, and how many signatures are waited for at once."""

    place: Place
    in_flight: int

    def __str__(self) -> str:
        return f"{self.place} {self.in_flight} in flight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long to measure.

    Attributes:
        rounds: How often each cell has its turn.
        seconds: Of one turn.
        local: Seconds of local signing beside it.
    """

    rounds: int
    seconds: float
    local: float


def full(real: tuple[str, ...]) -> list[Cell]:
    """Every combination.

    Args:
        real: The real servers that are at hand.
    """
    places = [
        Place(server=STAND_IN, backend=backend, algorithm=algorithm, latency=latency)
        for backend, algorithm, latency in product(BACKENDS, ALGORITHMS, LATENCIES)
    ]
    places += [
        Place(server=server, backend=backend, algorithm=algorithm, latency=latency)
        for (backend, server), algorithm, latency in product(REAL.items(), ALGORITHMS, LATENCIES)
        if server in real
    ]
    return [Cell(place=place, in_flight=n) for place in places for n in IN_FLIGHT] + _fetched()


def quick(real: tuple[str, ...]) -> list[Cell]:
    """Enough to see that the command works, and what was promised.

    Args:
        real: The real servers that are at hand.
    """
    cells = []
    for backend, algorithm in product(BACKENDS, ALGORITHMS):
        far = Place(server=STAND_IN, backend=backend, algorithm=algorithm, latency=0.01)
        cells += [Cell(place=far, in_flight=n) for n in (1, 128)]
    for backend, server in REAL.items():
        if server in real:
            near = Place(server=server, backend=backend, algorithm=ED25519, latency=0.001)
            cells.append(Cell(place=near, in_flight=8))
    return cells + _fetched()


def _fetched() -> list[Cell]:
    return [
        Cell(
            place=Place(server=STAND_IN, backend=backend, algorithm=algorithm),
            in_flight=1,
        )
        for backend, algorithm in product(FETCHED, ALGORITHMS)
    ]
