"""A hundred reloads under load: no message fails, no connection is refused, nothing leaks."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from dkimcore_milter.crew import _DRAINING_AT_LEAST
from tests.faults.harness import FILES, INSIDE, MESSAGE, SIGNING, demand_signed, is_signed, look
from tests.faults.load import Load
from tests.milter.processes import children
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import MilterClient, converse, deliver
from tests.servers.nsd import HOST, free_port
from tests.servers.postfix import wait_until

MEGABYTE = 1 << 20


class Log:
    """Counts events of a filter's log, reading each line once."""

    def __init__(self, milter):
        self._file = (milter.folder / "stdout").open("rb")
        self._text = b""

    def count(self, event):
        self._text += self._file.read()
        return self._text.count(b'"event": "%s"' % event)

    def close(self):
        self._file.close()


@pytest.mark.parametrize(
    ("kind", "number", "reloads"),
    [("unix", signal.SIGUSR1, 100), ("inet", signal.SIGHUP, 40)],
    ids=["unix", "inet"],
)
def test_a_hundred_reloads_under_load(kind, number, reloads):
    address = None if kind == "unix" else f"inet:{free_port()}@{HOST}"
    with DkimcoreMilter(SIGNING, files=FILES, socket_name=address, workers=2) as milter:
        log, load = Log(milter), Load(milter.address)
        looks = []
        with load.running(), MilterClient(milter.address, timeout=60) as patient:
            patient.negotiate()
            load.wait_for(10)
            before = look(milter.pid)
            for done in range(reloads):
                os.kill(milter.pid, number)
                wait_until(lambda done=done: log.count(b"reloaded") > done, "a reload")
                if done % 10 == 9:
                    load.wait_for(1)
                    looks.append(look(milter.pid))
            # One connection was there all the time, and kept its worker of the first hour.
            assert is_signed(converse(patient, MESSAGE, INSIDE))
        assert log.count(b"reload-failed") == 0
        assert log.count(b"worker-died") == 0
        log.close()
        assert all(is_signed(outcome) for outcome in load.outcomes)
        assert len(children(milter.pid, 2)) == 2  # those before have ended
        wait_until(
            lambda: look(milter.pid).descriptors <= before.descriptors,
            lambda: f"{look(milter.pid).descriptors} descriptors, before {before.descriptors}",
        )
        # The first reloads fill what Python's allocator keeps.
        assert looks[-1].memory - looks[2].memory < 2 * MEGABYTE
        for pid in children(milter.pid):
            assert look(pid).descriptors < 30
        assert milter.stop() == 0


def test_a_storm_of_signals_is_one_reload_or_a_few():
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        log, load = Log(milter), Load(milter.address)
        with load.running():
            load.wait_for(10)
            for _ in range(1000):
                os.kill(milter.pid, signal.SIGHUP)
            wait_until(lambda: log.count(b"reloaded") > 0, "a reload")
            load.wait_for(50)
        log.close()
        assert all(is_signed(outcome) for outcome in load.outcomes)
        assert len(children(milter.pid, 2)) == 2


def test_workers_that_still_have_connections_do_not_pile_up():
    """After many reloads the oldest end: each has an idle connection that nobody closes."""
    with DkimcoreMilter(SIGNING, files=FILES) as milter, contextlib.ExitStack() as stack:
        log, clients = Log(milter), []
        for done in range(_DRAINING_AT_LEAST + 3):
            clients.append(stack.enter_context(MilterClient(milter.address, timeout=30)))
            clients[-1].negotiate()
            os.kill(milter.pid, signal.SIGHUP)
            wait_until(lambda done=done: log.count(b"reloaded") > done, "a reload")
        assert log.count(b"draining-full") == 3
        assert log.count(b"worker-died") == 0
        log.close()
        children(milter.pid, _DRAINING_AT_LEAST + 1)
        for client in clients[:3]:
            assert client._socket.recv(1) == b""
        for client in clients[3:]:
            demand_signed(converse(client, MESSAGE, INSIDE))
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
