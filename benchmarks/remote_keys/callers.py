"""Keeps so many signatures in flight, and times each: what a program with one event loop does.

A signature that came is followed by the next at once, by one thread; who makes the calls and in
how many threads is the endpoint's affair.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from itertools import cycle
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from benchmarks.remote_keys.standinkeys import digests
from dkimcore.errors import KeyBackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys import SigningKey
    from dkimcore.keys.pending import PendingSignature
    from dkimcore.keys.stored import StoredKey

__all__ = ["NoSignature", "Turn", "keep_in_flight", "sign_locally"]

_PATIENCE = 30.0  # seconds: more than any deadline
_WARM = 0.1  # seconds before anything is counted, and each caller's first two signatures


class NoSignature(Exception):
    """A signature did not come: nothing can be said of a run with failures in it."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """What came of it.

    Attributes:
        signatures: How many came in the time.
        elapsed: Seconds.
        cpu: CPU seconds of this process.
        server_cpu: CPU seconds of the server.
        latencies: Seconds from asking to having, of each.
    """

    signatures: int = 0
    elapsed: float = 0.0
    cpu: float = 0.0
    server_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Signatures a second."""
        return self.signatures / self.elapsed


_Done = tuple["PendingSignature", float, float]


class _Flight:
    """The signatures that are waited for."""

    def __init__(self, key: StoredKey) -> None:
        self._key = key
        self._digests = cycle(digests())
        self._done: SimpleQueue[_Done] = SimpleQueue()
        self.count = 0

    def begin(self) -> None:
        """Asks for one more."""
        started = time.perf_counter()
        pending = self._key.start(next(self._digests))
        self.count += 1
        pending.when_done(lambda: self._done.put((pending, started, time.perf_counter())))

    def end(self) -> tuple[float, float]:
        """Waits for one; returns when it was asked for and when it came.

        Raises:
            NoSignature: There is none.
        """
        try:
            pending, started, ended = self._done.get(timeout=_PATIENCE)
            pending.result()
        except Empty as error:
            raise NoSignature(f"{self._key}: nothing came") from error
        except KeyBackendError as error:
            raise NoSignature(str(error)) from error
        self.count -= 1
        return started, ended


def keep_in_flight(
    key: StoredKey, count: int, *, seconds: float, server_cpu: Callable[[], float]
) -> Turn:
    """Asks for signatures, always so many at once, and times them.

    Args:
        key: The key.
        count: How many are in flight.
        seconds: How long to count.
        server_cpu: Tells the server's CPU seconds so far.

    Raises:
        NoSignature: One of them did not come.
    """
    flight, turn = _Flight(key), Turn()
    for _ in range(count):
        flight.begin()
    warm = time.perf_counter() + min(_WARM, seconds / 2)
    waited = 0
    while waited < 2 * count or time.perf_counter() < warm:
        flight.end()
        flight.begin()
        waited += 1
    turn.cpu, turn.server_cpu = -time.process_time(), -server_cpu()
    begun = now = time.perf_counter()
    while now < begun + seconds or turn.signatures < 2:
        started, ended = flight.end()
        flight.begin()
        now = time.perf_counter()
        turn.signatures += 1
        turn.latencies.append(ended - started)
    turn.elapsed = now - begun
    turn.cpu += time.process_time()
    turn.server_cpu += server_cpu()
    while flight.count:
        flight.end()
    return turn


def sign_locally(key: SigningKey, *, seconds: float, threads: int | None = None) -> Turn:
    """Signs with a key of this process, in as many threads as there are cores.

    Args:
        key: The key.
        seconds: How long.
        threads: Another number of threads.
    """
    count = threads or os.cpu_count() or 1
    counted: list[Sequence[float]] = []
    gate = threading.Barrier(count + 1)

    def work() -> None:
        own: list[float] = []
        gate.wait()
        now = time.perf_counter()
        finish = now + seconds
        for digest in cycle(digests()):
            key.sign_digest(digest)
            before, now = now, time.perf_counter()
            own.append(now - before)
            if now >= finish:
                break
        counted.append(own)

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    gate.wait()
    turn = Turn(cpu=-time.process_time())
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    turn.elapsed = time.perf_counter() - begun
    turn.cpu += time.process_time()
    turn.latencies = [taken for own in counted for taken in own]
    turn.signatures = len(turn.latencies)
    return turn
