"""The fault proxy in a process of its own, so that clients and proxy do not share one interpreter.

``python -m tests.servers.proxyprocess NUMBER`` is what `ProxyProcess` starts: the number is that
of an open pipe, through which calls come in and results go back.  It ends with the pipe, so a
run of the tests that is killed takes it along.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers.closing import Closing
from tests.servers.faultproxy import FaultProxy

if TYPE_CHECKING:
    from typing import Self

    from tests.servers.faults import Fault

__all__ = ["ProxyProcess"]

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds for anything of its own


class ProxyProcess(Closing):
    """A `FaultProxy` elsewhere while its ``with`` block lasts; it has the same calls.

    Args:
        target: URL of the server behind.
        ca_file: What the server's certificate is checked with, if it has one.
    """

    def __init__(self, target: str, *, ca_file: str | None = None) -> None:
        self._arguments = target, ca_file
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self.url = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            ours, theirs = Pipe()
            self._pipe = ours
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            ours.send(self._arguments)
            self.url = self._result()
            undo.pop_all()
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "it is stopped"
        return self._process.pid

    @property
    def latency(self) -> float:
        """As of `FaultProxy`."""
        return float(self._call("latency"))

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._call("set_latency", seconds)

    @property
    def requests(self) -> int:
        """As of `FaultProxy`."""
        return self.counts()["requests"]

    def counts(self) -> dict[str, int]:
        """As of `FaultProxy`."""
        counted: dict[str, int] = self._call("counts")
        return counted

    def reset_counts(self) -> None:
        """As of `FaultProxy`."""
        self._call("reset_counts")

    def inject(
        self, fault: Fault, *, times: int | None = None, match: str | None = None, after: int = 0
    ) -> None:
        """As of `FaultProxy`; a `Rewrite` must have a function that can be imported."""
        self._call("inject", fault, times=times, match=match, after=after)

    def heal(self) -> None:
        """Takes all faults away again."""
        self._call("heal")

    def start(self) -> None:
        """As of `FaultProxy`."""
        self._call("start")

    def stop(self) -> None:
        """As of `FaultProxy`."""
        self._call("stop")

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        assert self._pipe is not None, "it is stopped"
        self._pipe.send((name, arguments, options))
        return self._result()

    def _result(self) -> Any:
        assert self._pipe is not None, "it is stopped"
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError("the proxy's process does not answer")
        result, error = self._pipe.recv()
        if error is not None:
            raise RuntimeError(f"the proxy's process: {error}")
        return result

    def close(self) -> None:
        """Ends it; again is harmless."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def _serve(pipe: Connection) -> None:
    """Does what comes through the pipe until it is closed."""
    target, ca_file = pipe.recv()
    with FaultProxy(target, ca_file=ca_file) as proxy, contextlib.suppress(EOFError):
        pipe.send((proxy.url, None))
        while True:
            name, arguments, options = pipe.recv()
            try:
                pipe.send((_do(proxy, name, *arguments, **options), None))
            except (AttributeError, OSError, RuntimeError, TypeError) as error:
                pipe.send((None, repr(error)))


def _do(proxy: FaultProxy, name: str, *arguments: Any, **options: Any) -> Any:
    if name == "latency":
        return proxy.latency
    if name == "set_latency":
        proxy.latency = arguments[0]
        return None
    if name == "inject":
        proxy.inject(*arguments, **options)
        return None
    return getattr(proxy, name)(*arguments, **options)


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
