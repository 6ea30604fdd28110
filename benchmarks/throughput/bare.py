"""RSA signing alone, on all cores: the most messages that any filter could sign here."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.servers.closing import Closing

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from typing import Self

__all__ = ["BareSigning", "Pure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pure:
    """What RSA alone reaches.

    Attributes:
        rate: Signatures a second, of all cores together.
        cpu: CPU seconds of a signature.
    """

    rate: float
    cpu: float


class BareSigning(Closing):
    """One process per core that signs a digest when told to; idle otherwise.

    Args:
        pem: An RSA private key.
    """

    def __init__(self, pem: bytes) -> None:
        self._pem = pem
        self._workers: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for _ in range(os.cpu_count() or 1):
            ours, theirs = context.Pipe()
            process = context.Process(target=_sign, args=(self._pem, theirs), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))
        self.sign(0.01)  # all have their key now
        return self

    def sign(self, seconds: float) -> Pure:
        """Signs for so long, on all cores at once."""
        for _, pipe in self._workers:
            pipe.send(seconds)
        told: list[tuple[int, float, float]] = [pipe.recv() for _, pipe in self._workers]
        return Pure(
            rate=sum(count / elapsed for count, elapsed, _ in told),
            cpu=sum(cpu for _, _, cpu in told) / sum(count for count, _, _ in told),
        )

    def close(self) -> None:
        """Ends the processes; again is harmless."""
        for process, pipe in self._workers:
            pipe.close()
            process.join(10)
            process.kill()
        self._workers.clear()


def _sign(pem: bytes, pipe: Connection) -> None:
    # The check of a key that is known to be good takes longer than many turns.
    key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    digest, padding, hashed = hashlib.sha256(b"a").digest(), PKCS1v15(), Prehashed(SHA256())
    while True:
        try:
            seconds: float = pipe.recv()
        except EOFError:
            return
        start, cpu, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < seconds:
            for _ in range(20):
                key.sign(digest, padding, hashed)
            count += 20
        pipe.send((count, time.perf_counter() - start, time.process_time() - cpu))
