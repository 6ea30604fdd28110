"""What is measured: cells of the comparison, and the filters with their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contenders import DOMAIN, SELECTOR
from benchmarks.throughput.answers import Witness
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST, free_port
from tests.servers.opendkim import OpenDkimServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contenders import KeyPair
    from tests.servers.filterprocess import FilterProcess

__all__ = [
    "ED25519",
    "OPENDKIM",
    "OURS",
    "RSA",
    "Cell",
    "Pace",
    "client",
    "contestants",
    "full",
    "normal",
    "quick",
    "witness",
]

OURS, OPENDKIM = "dkimcore-milter", "opendkim"
RSA, ED25519 = "rsa-sha256", "ed25519-sha256"
KB, MB = 1000, 1000 * 1000
ALL = (1, 2, 4, 16, 64)
OUTSIDE = "192.0.2.9"
CONF = f"""\
Domain {DOMAIN}
Selector {SELECTOR}
KeyFile {{folder}}/key.pem
Canonicalization relaxed/relaxed
InternalHosts {HOST}
TestPublicKeys {{folder}}/records
RequireSafeKeys no
UMask 000
"""  # the keys are at hand, so no DNS is in the figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One comparison.

    Attributes:
        operation: ``sign`` or ``verify``.
        octets: The message's size.
        connections: How many at once.
        style: ``pipelined`` or ``lock-step``.
        where: ``unix`` or ``inet``.
        algorithm: Of the signature.
    """

    operation: str
    octets: int
    connections: int
    style: str = "pipelined"
    where: str = "unix"
    algorithm: str = RSA

    @property
    def size(self) -> str:
        """The message's size, for people."""
        return f"{self.octets // MB} MB" if self.octets >= MB else f"{self.octets // KB} kB"

    @property
    def against_bare(self) -> bool:
        """Whether it is compared with RSA signing alone."""
        return (self.operation, self.where, self.algorithm) == ("sign", "unix", RSA) and (
            self.style == "pipelined" and self.octets <= 10 * KB
        )

    def __str__(self) -> str:
        return (
            f"{self.operation} {self.size} {self.connections} connections "
            f"{self.style} {self.where} {self.algorithm.partition('-')[0]}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long to measure.

    Attributes:
        turns: How often each filter takes its turn in a cell.
        seconds: Of one turn.
        crowd: Connections that stay idle beside 64 busy ones.
    """

    turns: int
    seconds: float
    crowd: int = 500


def _cells(sizes: Sequence[int], connections: Sequence[int], **others: str) -> list[Cell]:
    return [
        Cell(operation=operation, octets=octets, connections=count, **others)
        for operation in ("sign", "verify")
        for octets in sizes
        for count in connections
    ]


def quick() -> list[Cell]:
    """Enough to see that the command works."""
    return [
        *_cells([2 * KB, 100 * KB], [1, 16]),
        *_cells([2 * KB], [4], style="lock-step"),
        *_cells([2 * KB], [1], style="lock-step", where="inet"),
        *_cells([2 * KB], [4], algorithm=ED25519),
    ]


def normal() -> list[Cell]:
    """What was promised, and some more."""
    return [
        *_cells([2 * KB, 10 * KB, 100 * KB], ALL),
        *_cells([MB], [1, 16]),
        *_cells([2 * KB, 10 * KB], ALL, style="lock-step"),
        *_cells([100 * KB], [1, 16], style="lock-step"),
        *_cells([2 * KB], [1, 4, 16], style="lock-step", where="inet"),
        *_cells([2 * KB], [4], where="inet"),
        *_cells([2 * KB], [1, 4], algorithm=ED25519),
    ]


def full() -> list[Cell]:
    """Most of what can be combined."""
    return [
        *_cells([2 * KB, 10 * KB, 100 * KB, MB], ALL),
        *_cells([2 * KB, 10 * KB, 100 * KB], ALL, style="lock-step"),
        *_cells([MB], [1, 16], style="lock-step"),
        *_cells([2 * KB], ALL, style="lock-step", where="inet"),
        *_cells([100 * KB], [1, 16], style="lock-step", where="inet"),
        *_cells([2 * KB, 100 * KB], [1, 4, 64], where="inet"),
        *_cells([2 * KB], ALL, algorithm=ED25519),
        *_cells([100 * KB], [4], algorithm=ED25519),
        *_cells([2 * KB], [4], style="lock-step", algorithm=ED25519),
    ]


def contestants(cell: Cell, pair: KeyPair) -> dict[str, FilterProcess]:
    """Makes the filters of a cell, not yet started."""
    files: dict[str, str | bytes] = {
        "key.pem": pair.pem,
        "records": b"%s._domainkey.%s %s\n" % (SELECTOR.encode(), DOMAIN.encode(), pair.record),
    }
    conf = f"{CONF}Mode {cell.operation[0]}\n"
    if cell.algorithm == ED25519:
        conf += "SignatureAlgorithm ed25519-sha256\n"

    def where() -> str | None:
        return f"inet:{free_port()}@{HOST}" if cell.where == "inet" else None

    return {
        OURS: DkimcoreMilter(conf, files=files, socket_name=where(), workers=None),
        OPENDKIM: OpenDkimServer(conf, files=files, socket_name=where()),
    }


def client(cell: Cell) -> str:
    """The address of the SMTP client: only those inside have their mail signed."""
    return HOST if cell.operation == "sign" else OUTSIDE


def witness(cell: Cell) -> Witness:
    """What each message must get."""
    if cell.operation == "sign":
        return Witness(name=b"DKIM-Signature", text=b"a=%s" % cell.algorithm.encode())
    return Witness(name=b"Authentication-Results", text=b"dkim=pass")
