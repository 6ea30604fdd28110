"""A key endpoint: a backend's address with a login, which all keys behind it share.

Bounds how many calls are under way and how much waits (`load`), joins what waits for one key
into one call, asks again what may be asked again, keeps deadlines, and opens a circuit breaker
when the backend is down.  What a call looks like is left to the backend; that every signature is
verified before anybody gets it, to `PendingSignature`.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from logging import INFO, WARNING
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from dkimcore.errors import KeyBackendError, KeyUnavailable
from dkimcore.keys.breaker import Breaker
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.keyline import KeyLine
from dkimcore.keys.limits import EndpointLimits
from dkimcore.keys.load import Load
from dkimcore.keys.patience import Patience
from dkimcore.keys.tracebacks import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys import RemoteKey
    from dkimcore.keys.events import KeyObserver
    from dkimcore.keys.pending import PendingSignature
    from dkimcore.keys.resources import Resources

__all__ = ["Endpoint", "EndpointLimits"]

_T = TypeVar("_T")

_LEAST_TIME = 0.02  # seconds: what is left less before a deadline is no use to ask with
_JITTER = (0.05, 0.15)  # seconds before something is asked for again


class Endpoint:
    """Safe to share between threads; a child process starts its own calls.

    Args:
        name: What logs and metrics call it, such as ``vault:eu``.
        limits: What it may be asked for at once.
        observer: Hears what happens.
        resources: Its clocks.
        withhold: Returns a text, or what stands for it where a secret shows.

    Attributes:
        name: Its name.
        limits: Its limits.
        observer: Its observer.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: EndpointLimits,
        observer: KeyObserver,
        resources: Resources,
        withhold: Callable[[str], str] = str,
    ) -> None:
        self.name = name
        self.limits = limits
        self.observer = observer
        self._resources = resources
        self._withhold = withhold
        self._patience = Patience(resources.expiry)
        self._closed = False
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget the threads and what they were asked for."""
        self._breaker = Breaker(on_change=self._tell_change)
        self._load = Load(self.limits)
        self._lock = threading.Lock()
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._ready: deque[KeyLine] = deque()
        self._idle = 0  # threads that wait for a call to make
        self._called = 0  # calls for which none of them has come yet
        self._threads = 0
        self._last_problem = ""

    @property
    def waiting(self) -> int:
        """How many signatures wait for a call."""
        return self._load.signatures

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
                self.observer.retried(self.name)
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
        """Give up what waits, and let the threads end; one that makes a call, after that."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._calls.put(False)  # noqa: FBT003 - the queue takes nothing by keyword
        self._patience.close()

    def enqueue(self, line: KeyLine, pending: PendingSignature) -> None:
        """Let a signature be asked for, soon; for `KeyLine`."""
        wait = self._breaker.refuses()
        if wait is not None:
            pending.settle(self._down(pending.uri, wait))
            return
        with self._lock:
            refusal = self._admit(line, pending)
            is_news = refusal is not None and self._load.is_news()
        if refusal is not None:
            pending.settle(KeyUnavailable(refusal, uri=pending.uri))
            if is_news:
                self._tell(WARNING, "endpoint-overloaded", refusal)
        elif pending.attempts == 0:
            self._patience.add(pending)

    def _admit(self, line: KeyLine, pending: PendingSignature) -> str | None:
        """Put a signature into its line, or say why not; under the lock."""
        if self._closed:
            return "its KeyStore is closed"
        now = time.monotonic()
        refusal = self._load.refuses(self.name, pending.deadline - now)
        if refusal is not None:
            return refusal
        self._load.put(line, pending)
        self._rouse(line, now)
        if self._threads or self._start_thread():
            return None
        return f"the system has no thread for {self.name}; see its limits for this service"

    def _rouse(self, line: KeyLine, now: float) -> None:
        """Let a line have a call, as soon as it is worth one; under the lock."""
        if line.is_ready:
            return
        if line.may_go(now):
            line.is_ready = True
            self._ready.append(line)
            self._wake()
        elif line.waiting and not line.is_watched:
            # The calls that hold it back may hang, and nothing else come.
            line.is_watched = True
            self._resources.expiry.at(line.held_until, lambda: self._look_again(line))

    def _look_again(self, line: KeyLine) -> None:
        with self._lock:
            line.is_watched = False
            if not self._closed:
                self._rouse(line, time.monotonic())

    def _wake(self) -> None:
        """Let a thread make one call more; under the lock."""
        # Who was called and has not come yet is still idle by count.
        if self._called >= self._idle and self._threads < self.limits.threads:
            self._start_thread()
        self._called += 1
        self._calls.put(True)  # noqa: FBT003 - the queue takes nothing by keyword

    def _start_thread(self) -> bool:
        if self._closed:
            return False
        name = f"{self.name}-{self._threads}"
        try:
            threading.Thread(target=self._run, daemon=True, name=name).start()
        except RuntimeError:  # the system has no more; those that run do it, or a later try
            return False
        self._threads += 1
        return True

    def _run(self) -> None:
        """Make calls."""
        line = self._called_for()
        while line is not None:
            with self._lock:
                batch = self._load.take(line)
                begun = time.monotonic()
                line.begin(begun)
                self._rouse(line, begun)
            try:
                self._attempt(line, batch)
            except BaseException as exc:  # noqa: BLE001 - this thread is wanted again
                problem = f"asking for it failed with {type(exc).__name__} ({place_of(exc)})"
                for pending in batch:
                    pending.settle(KeyBackendError(problem, uri=pending.uri))
            line = self._next_after(line, begun) or self._called_for()

    def _called_for(self) -> KeyLine | None:
        """Wait until a line is to have a call; None: this thread is to end."""
        with self._lock:
            self._idle += 1
        goes_on = self._calls.get()
        with self._lock:
            self._idle -= 1
            if not goes_on:
                self._threads -= 1
                return None
            self._called -= 1
            return self._first_ready()

    def _first_ready(self) -> KeyLine:
        line = self._ready.popleft()
        line.is_ready = False
        return line

    def _next_after(self, line: KeyLine, begun: float) -> KeyLine | None:
        """Return what to go on with at once, if what was held back by a call may go now.

        To wake another thread for it would take as long as the call's own work.  Other lines
        that are ready go first; the threads that were called for them take this one.
        """
        with self._lock:
            line.end(begun)
            if self._closed or line.is_ready or not line.may_go(time.monotonic()):
                return None
            line.is_ready = True
            self._ready.append(line)
            return self._first_ready()

    def _attempt(self, line: KeyLine, batch: Sequence[PendingSignature]) -> None:
        """Ask for signatures once, and say what became of them."""
        now = time.monotonic()
        wanted = []
        for pending in batch:
            if pending.deadline - now < _LEAST_TIME:
                pending.expire()
            else:
                wanted.append(pending)
        if not wanted:
            return
        wait = self._breaker.admit()
        if wait is not None:
            for pending in wanted:
                pending.settle(self._down(pending.uri, wait))
            return
        # As long as the most patient one waits: the others are told at their own deadlines.
        left = max(pending.deadline for pending in wanted) - now
        outcomes = line.ask(wanted, self._load.timeout(left))
        seconds = time.monotonic() - now
        self._load.took(seconds)
        errors = [outcome for outcome in outcomes if isinstance(outcome, KeyBackendError)]
        error = errors[0] if len(errors) == len(wanted) else None
        if isinstance(error, KeyUnavailable):
            self._failed(error)
        else:
            self._breaker.succeeded()
        self.observer.round_trip(self.name, seconds=seconds, signatures=len(wanted), error=error)
        for pending, outcome in zip(wanted, outcomes, strict=True):
            self._conclude(line, pending, outcome)

    def _conclude(
        self, line: KeyLine, pending: PendingSignature, outcome: bytes | KeyBackendError
    ) -> None:
        if pending.done:  # it was given up meanwhile
            return
        pending.attempts += 1
        if not isinstance(outcome, bytes | KeyBackendError):
            outcome = line.verified(outcome, pending.digest)
        if isinstance(outcome, KeyUnavailable) and pending.attempts < self.limits.attempts:
            pause = max(random.uniform(*_JITTER), outcome.retry_after or 0.0)  # noqa: S311
            if time.monotonic() + pause + _LEAST_TIME < pending.deadline:
                self.observer.retried(self.name)
                self._resources.expiry.after(pause, lambda: self.enqueue(line, pending))
                return
        pending.settle(outcome)

    def _failed(self, error: KeyUnavailable) -> None:
        self._last_problem = self._withhold(error.problem)
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
        level = WARNING if what == "opened" else INFO
        self._tell(level, f"breaker-{what}", text, seconds=pause)

    def _tell(self, level: int, event: str, text: str, **fields: float) -> None:
        self.observer.event(
            KeyEvent(level=level, event=event, text=text, endpoint=self.name, fields=fields)
        )

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"
