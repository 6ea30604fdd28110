"""The milter that a soak runs against: tables, keys, a name server where there is one, metrics."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import urllib.request
from typing import TYPE_CHECKING

from benchmarks.contenders import KeyPair
from benchmarks.soak.gauges import processes
from benchmarks.soak.letters import SELECTORS
from tests.protocol import material
from tests.servers import find_program
from tests.servers.closing import Closing
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import NsdServer, free_port

if TYPE_CHECKING:
    from typing import Self

    from dkimcore.keys import SigningKey

__all__ = ["Site"]

_PATIENCE = 30.0
_CONFIGURATION = """\
Mode sv
SigningTable refile:{folder}/SigningTable
KeyTable {folder}/KeyTable
RequireSafeKeys no
InternalHosts 127.0.0.1
LogWhy yes
LogResults yes
"""


class Site(Closing):
    """A milter with two workers.

    Args:
        dns: Whether it asks a real name server; else keys stand in a file.
        metrics: Whether it serves metrics.
    """

    def __init__(self, *, dns: bool, metrics: bool = True) -> None:
        self.key: SigningKey = material.rsa()
        records = {
            f"k{number}._domainkey.example.org.": [material.rsa().record()]
            for number in range(SELECTORS)
        }
        self._undo = contextlib.ExitStack()
        self._server = NsdServer(zone=records) if dns else None
        self._lines = "".join(
            f"{name.removesuffix('.')} {texts[0].decode()}\n" for name, texts in records.items()
        )
        self._metrics_port = free_port() if metrics else None
        self.milter: DkimcoreMilter | None = None
        self._old: set[int] = set()

    @staticmethod
    def can_ask() -> bool:
        """Whether there is a name server to ask."""
        return find_program("nsd") is not None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            conf = _CONFIGURATION
            if self._server is None:
                conf += "TestPublicKeys {folder}/records\n"
            else:
                host, port = undo.enter_context(self._server).address
                conf += f"Nameservers {host}:{port}\n"
            if self._metrics_port is not None:
                conf += f"DkimcoreMetrics inet:{self._metrics_port}@127.0.0.1\n"
            files = {
                "records": self._lines,
                "SigningTable": "*@example.com one\n",
                "KeyTable": "one example.com:s1:{folder}/s1.private\n",
                "s1.private": KeyPair.make("rsa-sha256").pem,
            }
            self.milter = undo.enter_context(DkimcoreMilter(conf, files=files, workers=2))
            self._undo = undo.pop_all()
        return self

    def close(self) -> None:
        """Ends everything; again is harmless."""
        self._undo.close()

    @property
    def address(self) -> str:
        """Where the milter listens."""
        return self._running.address

    @property
    def supervisor(self) -> int:
        """The supervisor's process id."""
        return self._running.pid

    @property
    def _running(self) -> DkimcoreMilter:
        assert self.milter is not None
        return self.milter

    def reload(self) -> None:
        """Lets the milter read its configuration; connections that are open go on."""
        self._old = self._workers()
        os.kill(self.supervisor, signal.SIGHUP)

    def wait_for_reload(self) -> None:
        """Waits until only the new workers are there: when the old connections are closed.

        Raises:
            TimeoutError: The old ones stay.
        """
        before = self._old
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            now = self._workers()
            if len(now) == len(before) and not now & before:
                return
            time.sleep(0.02)  # /proc says nothing when it changes
        raise TimeoutError(f"workers {sorted(before)} did not give way: {sorted(self._workers())}")

    def _workers(self) -> set[int]:
        return {one.pid for one in processes(self.supervisor) if one.role == "worker"}

    def scrape(self) -> str:
        """Returns the metrics; "" if none are served."""
        if self._metrics_port is None:
            return ""
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
            text: str = answer.read().decode("utf-8")
        return text

    def complaints(self) -> list[str]:
        """Returns what the log has at its errors: internal ones, dead workers, lost lines."""
        wanted = ('"internal-error"', '"worker-died"', '"worker-failed"', '"lines-lost"')
        path = self._running.folder / "stdout"
        with path.open(encoding="utf-8", errors="replace") as lines:
            return [line.strip() for line in lines if any(word in line for word in wanted)]
