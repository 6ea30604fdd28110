"""A key endpoint: a backend's address with a login, which all keys behind it share.

Bounds how many calls are under way and how many signatures wait, joins what waits for one key
into one call, asks again what may be asked again, keeps deadlines, opens a circuit breaker when
the backend is down, and verifies every signature before anybody gets it.  What a call looks like
is left to the backend.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from logging import INFO, WARNING
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from dkimcore.errors import KeyBackendError, KeyUnavailable
from dkimcore.keys.breaker import Breaker
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.keyline import KeyLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys import RemoteKey
    from dkimcore.keys.events import KeyObserver
    from dkimcore.keys.pending import PendingSignature
    from dkimcore.keys.resources import Resources
    from dkimcore.keys.sections import BackendSection

__all__ = ["Endpoint", "EndpointLimits"]

_T = TypeVar("_T")

_LEAST_TIME = 0.02  # seconds: what is left less before a deadline is no use to ask with
_JITTER = (0.05, 0.15)  # seconds before something is asked for again


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLimits:
    """What an endpoint may be asked for at once, and how patiently.

    Attributes:
        threads: Calls under way.
        queue: Signatures that wait for a call.
        attempts: How often something is asked for.
        connect_timeout: Seconds.
        read_timeout: Seconds.
    """

    threads: int = 16
    # Some seconds of mail at the rate that a backend is good for; what waits longer is too late.
    queue: int = 1024
    attempts: int = 2
    connect_timeout: float = 1.0
    read_timeout: float = 1.5

    @classmethod
    def of(cls, section: BackendSection, *, threads: int = 16) -> EndpointLimits:
        """Read them from a section.

        Args:
            section: The section.
            threads: What holds where it says nothing.

        Raises:
            ConfigError: A value cannot be.
        """
        own = cls()
        return cls(
            threads=section.integer("threads", threads, minimum=1, maximum=256),
            queue=section.integer("queue", own.queue, minimum=1, maximum=65_536),
            attempts=section.integer("attempts", own.attempts, minimum=1, maximum=5),
            connect_timeout=section.number(
                "connect_timeout", own.connect_timeout, minimum=0.05, maximum=60.0
            ),
            read_timeout=section.number(
                "read_timeout", own.read_timeout, minimum=0.05, maximum=60.0
            ),
        )


class Endpoint:
    """Safe to share between threads; a child process starts its own calls.

    Args:
        name: What logs and metrics call it, such as ``vault:eu``.
        limits: What it may be asked for at once.
        observer: Hears what happens.
        resources: Its clocks.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: EndpointLimits,
        observer: KeyObserver,
        resources: Resources,
    ) -> None:
        self.name = name
        self.limits = limits
        self._observer = observer
        self._resources = resources
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget the threads and what they were asked for."""
        self._breaker = Breaker(on_change=self._tell_change)
        self._lock = threading.Lock()
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._ready: deque[KeyLine] = deque()
        self._patience: deque[PendingSignature] = deque()
        self._is_expecting = False
        self._waiting = 0
        self._idle = 0
        self._threads = 0
        self._last_problem = ""

    @property
    def waiting(self) -> int:
        """How many signatures wait for a call."""
        return self._waiting

    @property
    def is_down(self) -> bool:
        """Whether its breaker is open."""
        return self._breaker.is_open

    def call(self, step: Callable[[float], _T], *, uri: str) -> _T:
        """Do something that is no signature: read a public key, fetch, log in.

        Args:
            step: Does it once, in at most so many seconds; it raises `KeyBackendError` only.
            uri: What errors name.

        Raises:
            KeyBackendError: It failed, or the breaker is open.
        """
        timeout = self.limits.connect_timeout + self.limits.read_timeout
        for attempt in range(1, self.limits.attempts + 1):
            self._refuse_when_down(uri)
            try:
                made = step(timeout)
            except KeyUnavailable as exc:
                self._failed(exc)
                if attempt == self.limits.attempts or (exc.retry_after or 0.0) > timeout:
                    raise
                self._observer.retried(self.name)
                time.sleep(max(random.uniform(*_JITTER), exc.retry_after or 0.0))  # noqa: S311
            except KeyBackendError:
                self._breaker.succeeded()  # it answered
                raise
            else:
                self._breaker.succeeded()
                return made
        raise AssertionError("there is one attempt at least")

    def line(
        self,
        key: RemoteKey,
        *,
        uri: str,
        contain: Callable[[Exception], KeyBackendError],
    ) -> KeyLine:
        """Return where signatures of a key are asked for.

        Args:
            key: The key.
            uri: Its name.
            contain: Makes one of our errors of what the backend raises.
        """
        return KeyLine(self, key, uri=uri, contain=contain)

    def close(self) -> None:
        """Let the threads end; what waits is given up at its deadline."""
        for _ in range(self._threads):
            self._calls.put(False)  # noqa: FBT003 - the queue takes nothing by keyword

    def enqueue(self, line: KeyLine, pending: PendingSignature) -> None:
        """Let a signature be asked for, soon; for `KeyLine`."""
        wait = self._breaker.refuses()
        if wait is not None:
            pending.settle(self._down(pending.uri, wait))
            return
        with self._lock:
            if self._waiting >= self.limits.queue:
                is_full = True
            else:
                is_full = False
                self._waiting += 1
                if line.put(pending):
                    self._ready.append(line)
                    self._wake()
                self._expect(pending)
        if is_full:
            problem = f"{self._waiting} signatures wait for {self.name} already"
            problem += "; it is too slow for this much mail, or its queue= too short"
            pending.settle(KeyUnavailable(problem, uri=pending.uri))

    def _wake(self) -> None:
        """Let a thread make one call more."""
        if self._idle == 0 and self._threads < self.limits.threads:
            name = f"{self.name}-{self._threads}"
            try:
                threading.Thread(target=self._run, daemon=True, name=name).start()
            except RuntimeError:  # the system has no more threads
                if self._threads == 0:
                    raise
            else:
                self._threads += 1
        self._calls.put(True)  # noqa: FBT003 - the queue takes nothing by keyword

    def _expect(self, pending: PendingSignature) -> None:
        """Give a signature up at its deadline."""
        patience = self._patience
        while patience and patience[0].done:
            patience.popleft()
        patience.append(pending)
        if not self._is_expecting:
            self._is_expecting = True
            self._resources.expiry.at(pending.deadline, self._expire)

    def _expire(self) -> None:
        """Give up what is due.

        Deadlines are equally far away and so come in order; whoever waits for one that does
        not, in `PendingSignature.result`, looks at the clock himself.
        """
        now = time.monotonic()
        late = []
        with self._lock:
            patience = self._patience
            while patience and (patience[0].done or patience[0].deadline <= now):
                late.append(patience.popleft())
            self._is_expecting = bool(patience)
            if patience:
                self._resources.expiry.at(patience[0].deadline, self._expire)
        for pending in late:
            pending.expire()

    def _run(self) -> None:
        """Make calls."""
        while True:
            with self._lock:
                self._idle += 1
            goes_on = self._calls.get()
            with self._lock:
                self._idle -= 1
                if not goes_on:
                    self._threads -= 1
                    return
                line = self._ready.popleft()
                batch, is_more = line.take()
                self._waiting -= len(batch)
                if is_more:
                    self._ready.append(line)
                    self._wake()
            now = time.monotonic()
            wanted = [pending for pending in batch if not pending.done]
            if wanted:
                self._attempt(line, wanted, now)

    def _attempt(self, line: KeyLine, batch: Sequence[PendingSignature], now: float) -> None:
        """Ask for signatures once, and say what became of them."""
        left = min(pending.deadline for pending in batch) - now
        if left < _LEAST_TIME:
            for pending in batch:
                pending.expire()
            return
        wait = self._breaker.admit()
        if wait is not None:
            for pending in batch:
                pending.settle(self._down(pending.uri, wait))
            return
        timeout = min(left, self.limits.connect_timeout + self.limits.read_timeout)
        outcomes = line.ask(batch, timeout)
        errors = [outcome for outcome in outcomes if isinstance(outcome, KeyBackendError)]
        error = errors[0] if len(errors) == len(batch) else None
        self._observer.round_trip(
            self.name, seconds=time.monotonic() - now, signatures=len(batch), error=error
        )
        if isinstance(error, KeyUnavailable):
            self._failed(error)
        else:
            self._breaker.succeeded()
        for pending, outcome in zip(batch, outcomes, strict=True):
            self._conclude(line, pending, outcome)

    def _conclude(
        self, line: KeyLine, pending: PendingSignature, outcome: bytes | KeyBackendError
    ) -> None:
        pending.attempts += 1
        if not isinstance(outcome, KeyBackendError):
            outcome = line.verified(outcome, pending.digest, self._observer)
        if isinstance(outcome, KeyUnavailable) and pending.attempts < self.limits.attempts:
            pause = max(random.uniform(*_JITTER), outcome.retry_after or 0.0)  # noqa: S311
            if time.monotonic() + pause + _LEAST_TIME < pending.deadline:
                self._observer.retried(self.name)
                self._resources.expiry.after(pause, lambda: self.enqueue(line, pending))
                return
        pending.settle(outcome)

    def _failed(self, error: KeyUnavailable) -> None:
        self._last_problem = error.problem
        self._breaker.failed()

    def _refuse_when_down(self, uri: str) -> None:
        wait = self._breaker.admit()
        if wait is not None:
            raise self._down(uri, wait)

    def _down(self, uri: str, wait: float) -> KeyUnavailable:
        return KeyUnavailable(
            f"{self.name} is down, and is asked again in {max(wait, 0.1):.1f} s; the last that it "
            f"said: {self._last_problem}",
            uri=uri,
            retry_after=wait,
        )

    def _tell_change(self, what: str, pause: float) -> None:
        if what == "opened":
            text = f"does not answer ({self._last_problem}); it is asked again in {pause:g} s"
        else:
            text = "answers again"
        self._observer.event(
            KeyEvent(
                level=WARNING if what == "opened" else INFO,
                event=f"breaker-{what}",
                text=text,
                endpoint=self.name,
                fields={"seconds": pause},
            )
        )

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"
