"""500 idle and 64 busy connections at once: no message is refused, and none fails.

Postfix keeps a connection for as long as its smtpd process talks to a client, so a busy site
has hundreds that say nothing.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.harness import FILES, INSIDE, MESSAGE, SIGNING, demand_signed, look
from tests.milter.processes import children
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import MilterClient, converse, deliver
from tests.servers.nsd import HOST, free_port
from tests.servers.postfix import wait_until

IDLE = 500
BUSY = 64
MESSAGES = 5  # each


def address(kind):
    return None if kind == "unix" else f"inet:{free_port()}@{HOST}"


@pytest.mark.parametrize("kind", ["unix", "inet"])
def test_500_idle_and_64_busy_ones(kind):
    with DkimcoreMilter(SIGNING, files=FILES, socket_name=address(kind), workers=2) as milter:
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        workers = children(milter.pid, 2)

        def play(_client):
            with MilterClient(milter.address, timeout=60) as client:
                client.negotiate()
                demand_signed(converse(client, MESSAGE, INSIDE))
                for _ in range(MESSAGES - 1):
                    demand_signed(converse(client, MESSAGE, INSIDE, greeted=True))

        with contextlib.ExitStack() as stack:
            idle = [
                stack.enter_context(MilterClient(milter.address, timeout=60)) for _ in range(IDLE)
            ]
            for client in idle:
                client.negotiate()
            with ThreadPoolExecutor(BUSY) as pool:
                for done in [pool.submit(play, number) for number in range(BUSY)]:
                    done.result()
            for client in idle[:: IDLE // 20]:  # they were not forgotten
                demand_signed(converse(client, MESSAGE, INSIDE))
        assert children(milter.pid) == workers
        for pid in workers:
            wait_until(lambda pid=pid: look(pid).descriptors < 50, "descriptors to be closed")


def test_each_worker_has_its_share():
    """Two connections on two workers: none waits behind the other."""
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        workers = children(milter.pid, 2)
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                client = stack.enter_context(MilterClient(milter.address))
                client.negotiate()
            counts = [look(pid).descriptors for pid in workers]
        assert min(counts) > 5, counts
