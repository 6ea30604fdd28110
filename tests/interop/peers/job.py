"""What a peer is asked for, and the shape of every driver."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# TXT records per owner name (with its final dot); None is a name whose server fails.
Zone = Mapping[str, Sequence[bytes] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignJob:
    """Sign this."""

    message: bytes
    domain: str
    selector: str
    pem: bytes
    canonicalization: tuple[str, str]
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyJob:
    """Verify this."""

    message: bytes
    zone: Zone = field(default_factory=dict)
    now: int | None = None


class Peer(Protocol):
    """One implementation."""

    name: str
    algorithms: frozenset[str]

    def sign(self, jobs: Sequence[SignJob]) -> list[bytes]:
        """The DKIM-Signature field for each job, with its CRLF; empty where it refused."""
        ...

    def verify(self, jobs: Sequence[VerifyJob]) -> list[list[str]]:
        """RFC 8601's word for each signature, from the top; ``crash`` where it died."""
        ...

    def verify_each(self, jobs: Iterable[VerifyJob]) -> Iterator[list[str]]:
        """The same, taking the next job only when the last has been answered."""
        ...
