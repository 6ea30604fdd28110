"""No file descriptor is left: nothing crashes, nothing spins, and who waits is served later."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import select
import signal

import pytest

from tests.faults.harness import (
    FILES,
    INSIDE,
    MESSAGE,
    SIGNING,
    demand_signed,
    look,
    the_worker,
)
from tests.faults.test_key_files import TABLE_FILES, TABLES
from tests.milter.processes import children
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import MilterClient, Outlook, converse, deliver
from tests.servers.postfix import wait_until

EPISODE = 3.0  # seconds


@contextlib.contextmanager
def few_descriptors(pid, more):
    """Lets a process open so many more descriptors, while the block lasts."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    # The limit is on numbers, and there are gaps between those that are in use.
    free = (number for number in itertools.count() if number not in taken)
    limit = next(itertools.islice(free, more, None))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def settle(milter, workers):
    """Waits until a supervisor has opened all that it opens at its start, and closed the rest."""
    children(milter.pid, workers)
    # Standard ones, /dev/null, two for signals, the listener, one that tells us that it serves,
    # and one for each worker.
    wait_until(lambda: look(milter.pid).descriptors == 8 + workers, "the start to be over")
    demand_signed(deliver(milter.address, MESSAGE, INSIDE))


def test_connections_that_get_no_descriptor_wait_for_one():
    with DkimcoreMilter(SIGNING, files=FILES) as milter, contextlib.ExitStack() as stack:
        worker = the_worker(milter)
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        first = stack.enter_context(MilterClient(milter.address))
        first.negotiate()
        with few_descriptors(worker, 4):
            clients = [
                stack.enter_context(MilterClient(milter.address, timeout=30)) for _ in range(20)
            ]
            before = look(worker).cpu
            line = milter.wait_for("cannot accept a connection")
            assert "Too many open files" in line["text"]
            # Nothing happens here, so only time can show that nothing spins.
            select.select((), (), (), EPISODE)
            assert look(worker).cpu - before < EPISODE / 10
            demand_signed(converse(first, MESSAGE, INSIDE))  # who is there is served
            assert the_worker(milter) == worker
            for client in clients:  # the last ones get the place of the first
                client.negotiate()
                demand_signed(converse(client, MESSAGE, INSIDE))
                client.quit()
        said = [entry for entry in milter.log() if entry["event"] == "accept-failed"]
        assert len(said) == 1  # once, not for each try
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        assert the_worker(milter) == worker


def test_a_key_that_cannot_be_opened_for_want_of_descriptors_defers_the_message():
    with DkimcoreMilter(TABLES, files=TABLE_FILES) as milter:
        worker = the_worker(milter)
        with MilterClient(milter.address) as client:
            client.negotiate()
            with few_descriptors(worker, 0):
                refused = converse(client, MESSAGE, INSIDE)
                assert refused.changes == ()
                assert refused.reply.outlook is Outlook.TEMPFAIL or "451" in str(refused.reply)
                milter.wait_for("Too many open files")
            demand_signed(converse(client, MESSAGE, INSIDE, greeted=True))
        assert the_worker(milter) == worker


def test_a_reload_without_descriptors_changes_nothing():
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        settle(milter, 1)
        worker = the_worker(milter)
        with few_descriptors(milter.pid, 0):
            os.kill(milter.pid, signal.SIGHUP)
            assert "Too many open files" in str(milter.wait_for("the old configuration stays"))
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
            assert the_worker(milter) == worker
        before = len(milter.log())
        os.kill(milter.pid, signal.SIGHUP)
        wait_until(
            lambda: any(line["event"] == "reloaded" for line in milter.log()[before:]), "a reload"
        )
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))


@pytest.mark.parametrize(("workers", "more"), [(1, 1), (1, 2), (2, 2)])
def test_a_reload_with_hardly_any_descriptors_changes_nothing(workers, more):
    """New workers inherit the limit: those that cannot serve with it must not replace the old."""
    with DkimcoreMilter(SIGNING, files=FILES, workers=workers) as milter:
        settle(milter, workers)
        with few_descriptors(milter.pid, more):
            os.kill(milter.pid, signal.SIGHUP)
            milter.wait_for("the old configuration stays")
            for _ in range(5):
                demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        assert len(children(milter.pid, workers)) == workers
        before = len(milter.log())
        os.kill(milter.pid, signal.SIGHUP)
        wait_until(
            lambda: any(line["event"] == "reloaded" for line in milter.log()[before:]), "a reload"
        )
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))


def test_a_successor_is_started_when_there_are_descriptors_again():
    """A worker dies while its supervisor cannot make the connection to a new one."""
    with DkimcoreMilter(f"{SIGNING}AutoRestart yes\n", files=FILES, workers=2) as milter:
        settle(milter, 2)
        first, second = children(milter.pid, 2)
        with few_descriptors(milter.pid, 0):
            os.kill(first, signal.SIGKILL)
            # The connection to the dead one is freed, and two are needed.
            milter.wait_for("no successor for a worker, trying again")
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
            assert children(milter.pid) == [second]
        assert second in children(milter.pid, 2)
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))


def test_a_successor_that_cannot_serve_for_want_of_descriptors_gets_one_itself():
    with DkimcoreMilter(f"{SIGNING}AutoRestart yes\n", files=FILES) as milter:
        settle(milter, 1)
        with few_descriptors(milter.pid, 1):  # two with that of the dead one, which it inherits
            os.kill(the_worker(milter), signal.SIGKILL)
            milter.wait_for("exited with status 71, restarting")
        with MilterClient(milter.address, timeout=30) as client:
            client.negotiate()
            demand_signed(converse(client, MESSAGE, INSIDE))
        assert milter.status is None
