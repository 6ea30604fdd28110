"""A proxy in front of a real server, which can make it slow, absent, wrong or hostile.

`FaultProxy` runs in a thread of its own.  `ProxyProcess` is the same in a process of its own, for
benchmarks, where a thread would take its time from the clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

from tests.servers.closing import Closing
from tests.servers.forwarder import Forwarder
from tests.servers.nsd import HOST
from tests.servers.rules import Rule, Rules

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from typing import Any, Self

    from tests.servers.faults import Fault
    from tests.servers.httpoctets import Message
    from tests.servers.tls import Certificate

__all__ = ["FaultProxy"]

T = TypeVar("T")

PATIENCE = 30.0  # seconds for anything of its own


class FaultProxy(Closing):
    """A proxy while its ``with`` block lasts.

    Example::

        with FaultProxy(openbao.address) as proxy:
            proxy.latency = 0.01
            proxy.inject(vault_error(503, "Vault is sealed"), times=2, match="/sign/")

    All of it may be called from any thread.

    Args:
        target: URL of the server behind.
        ca_file: What the server's certificate is checked with, if it has one.
        certificate: Makes the proxy speak TLS with this one.
    """

    def __init__(
        self, target: str, *, ca_file: str | None = None, certificate: Certificate | None = None
    ) -> None:
        self._rules = Rules()
        self._arguments = target, ca_file, certificate
        self._tls = certificate is not None
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._forwarder: Forwarder | None = None

    @property
    def url(self) -> str:
        """Where it is; the same after it was started again."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def latency(self) -> float:
        """Seconds that every request waits before it is answered or forwarded."""
        return self._rules.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._rules.latency = seconds

    @property
    def requests(self) -> int:
        """How many requests have come, answered or not."""
        return self._rules.counts()["requests"]

    @property
    def recent(self) -> Sequence[Message]:
        """The last thousand requests."""
        return tuple(self._rules.recent)

    def counts(self) -> dict[str, int]:
        """``requests`` and ``connections`` so far, ``pending`` now, and the ``peak`` of these."""
        return self._rules.counts()

    def reset_counts(self) -> None:
        """Counts from zero again, but for what is pending."""
        self._rules.reset()

    def wait_for(self, requests: int, *, timeout: float = PATIENCE) -> None:
        """Waits until so many requests have come.

        Raises:
            TimeoutError: They have not.
        """
        if not self._rules.wait(requests, timeout):
            raise TimeoutError(f"{self.requests} of {requests} requests after {timeout} s")

    def wait_until_idle(self, *, timeout: float = PATIENCE) -> None:
        """Waits until no request is pending.

        Raises:
            TimeoutError: One is.
        """
        if not self._rules.wait_idle(timeout):
            raise TimeoutError(f"{self.counts()['pending']} requests are pending")

    def inject(
        self, fault: Fault, *, times: int | None = None, match: str | None = None, after: int = 0
    ) -> Rule:
        """Makes something go wrong from now on.

        Args:
            fault: What.
            times: For how many requests; for all when None.
            match: Only those whose path or X-Amz-Target holds this text.
            after: How many of them are left alone before.

        Returns:
            What `heal` takes; its ``hits`` counts the requests that met it.
        """
        rule = Rule(fault, match=match, left=times, skipped=after)
        self._rules.add(rule)
        return rule

    def heal(self, rule: Rule | None = None) -> None:
        """Takes a fault away again, or all; requests that hang go on hanging."""
        if rule is None:
            self._rules.clear()
        else:
            self._rules.remove(rule)

    @contextlib.contextmanager
    def broken(self, fault: Fault, *, match: str | None = None) -> Iterator[Rule]:
        """Makes something go wrong while a block lasts."""
        rule = self.inject(fault, match=match)
        try:
            yield rule
        finally:
            self.heal(rule)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="fault proxy", daemon=True
            )
            self._thread.start()
            self.start()
            undo.pop_all()
        return self

    def start(self) -> None:
        """Listens: the first time on a free port, and then on the same one."""
        target, ca_file, certificate = self._arguments
        forwarder = Forwarder(target, self._rules, ca_file=ca_file, certificate=certificate)
        self._port = self._do(forwarder.open(HOST, self._port))
        self._forwarder = forwarder

    def stop(self) -> None:
        """Drops every connection and refuses new ones; again is harmless."""
        if self._forwarder is not None:
            self._do(self._forwarder.close())
            self._forwarder = None

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def close(self) -> None:
        """Stops it and its thread; again is harmless."""
        if self._loop is None or self._thread is None:
            return
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        self._loop = None
