"""Which request meets which fault, and how many there were: shared by a proxy's threads."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers.faults import Fault
    from tests.servers.httpoctets import Message

__all__ = ["Rule", "Rules"]

REMEMBERED = 1000  # requests that can be looked at; all are counted


@dataclass(slots=True)
class Rule:
    """A fault, and whom it meets."""

    fault: Fault
    match: str | None = None
    left: int | None = None
    skipped: int = 0
    hits: int = field(default=0, compare=False)

    def takes(self, request: Message) -> bool:
        """Whether it is this request's turn; counts it down."""
        if self.left == 0:
            return False
        if self.match is not None and not (
            self.match in request.path or self.match in request.target
        ):
            return False
        if self.skipped:
            self.skipped -= 1
            return False
        if self.left is not None:
            self.left -= 1
        self.hits += 1
        return True


class Rules:
    """Faults in the order they were injected; the first that fits is met."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rules: list[Rule] = []
        self._latency = 0.0
        self._total = self._connections = self._pending = self._peak = 0
        self.recent: deque[Message] = deque(maxlen=REMEMBERED)

    @property
    def latency(self) -> float:
        """Seconds that every request waits before anything else happens to it."""
        return self._latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._latency = seconds

    def add(self, rule: Rule) -> None:
        """Adds a rule after the others."""
        with self._changed:
            self._rules.append(rule)

    def remove(self, rule: Rule) -> None:
        """Removes a rule; again is harmless."""
        with self._changed:
            self._rules = [other for other in self._rules if other is not rule]

    def clear(self) -> None:
        """Removes all rules; who hangs goes on hanging."""
        with self._changed:
            self._rules.clear()

    # --- What the serving thread says ---------------------------------------------------

    def connected(self) -> None:
        """A client has connected."""
        with self._changed:
            self._connections += 1

    def judge(self, request: Message) -> tuple[Fault | None, float]:
        """Counts a request; says what it meets, and after how long."""
        with self._changed:
            self._total += 1
            self._pending += 1
            self._peak = max(self._peak, self._pending)
            self.recent.append(request)
            found = next((rule for rule in self._rules if rule.takes(request)), None)
            self._changed.notify_all()
        return (found.fault if found else None), self._latency

    def finished(self) -> None:
        """A request has got its answer, or will never get one."""
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()

    # --- What tests ask -----------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """``requests`` and ``connections`` so far, ``pending`` now, and the ``peak`` of these."""
        with self._changed:
            return {
                "requests": self._total,
                "connections": self._connections,
                "pending": self._pending,
                "peak": self._peak,
            }

    def reset(self) -> None:
        """Counts from zero again, but for what is pending."""
        with self._changed:
            self._total = self._connections = 0
            self._peak = self._pending
            self.recent.clear()

    def wait(self, requests: int, timeout: float) -> bool:
        """Waits until there were so many requests; False when it takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._total >= requests, timeout)

    def wait_idle(self, timeout: float) -> bool:
        """Waits until none is pending; False when it takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._pending == 0, timeout)
