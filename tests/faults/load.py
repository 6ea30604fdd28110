"""Clients that keep sending through a filter, and count what they hear."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.faults.harness import INSIDE, MESSAGE
from tests.servers.milterclient import MilterClient, converse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.milterclient import Outcome

__all__ = ["Load"]

CLIENTS = 4
PER_CONNECTION = 3  # messages
PATIENCE = 60.0  # seconds


class Load:
    """Sends messages from us while its ``with`` block lasts, three on each connection.

    What goes wrong on the way, a refused connection included, is raised at the end.

    Attributes:
        outcomes: What became of each message, in the order of their ends.
    """

    def __init__(self, address: str) -> None:
        self.outcomes: list[Outcome] = []
        self._address = address
        self._stop = False
        self._progress = threading.Condition()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Sends while the block lasts."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self._play) for _ in range(CLIENTS)]
            try:
                yield
            finally:
                self._stop = True
            for client in clients:
                client.result()

    def _play(self) -> None:
        while not self._stop:
            with MilterClient(self._address, timeout=30) as client:
                client.negotiate()
                for number in range(PER_CONNECTION):
                    outcome = converse(client, MESSAGE, INSIDE, greeted=number > 0)
                    with self._progress:
                        self.outcomes.append(outcome)
                        self._progress.notify_all()

    def wait_for(self, count: int) -> None:
        """Waits until so many more messages have come to their end."""
        with self._progress:
            wanted = len(self.outcomes) + count
            assert self._progress.wait_for(lambda: len(self.outcomes) >= wanted, PATIENCE)
