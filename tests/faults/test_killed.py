"""A process of the filter is killed in the middle of messages, as the kernel's OOM killer does.

What is under way ends with its connection, so that an MTA defers it; whole answers only.
"""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.faults.harness import (
    FILES,
    INSIDE,
    MESSAGE,
    SIGNING,
    demand_signed,
    the_worker,
)
from tests.faults.raw import GREETING, NEGOTIATION, converse_raw, letter, packets
from tests.milter.processes import children, wait_until_gone
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import MilterClient, MilterError, converse, deliver
from tests.servers.nsd import HOST, free_port

RESTART = SIGNING + "AutoRestart yes\n"
MESSAGES = 2000  # more than are answered before the signal is there


def address(kind):
    return None if kind == "unix" else f"inet:{free_port()}@{HOST}"


def signed_and_decided(answers):
    """How many messages were changed, and how many came to a decision with a change."""
    changed = decided = 0
    pending = False
    for command, _ in answers:
        if command in b"hi":
            changed += 1
            pending = True
        elif command in b"ac" and pending:
            decided += 1
            pending = False
    return changed, decided


@pytest.mark.parametrize("kind", ["unix", "inet"])
def test_a_killed_worker_leaves_whole_answers(kind):
    with DkimcoreMilter(RESTART, files=FILES, socket_name=address(kind)) as milter:
        worker = the_worker(milter)
        killed = []

        def kill(answers):
            if not killed and len(answers) > 5000:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

        octets = NEGOTIATION + GREETING + letter() * MESSAGES
        answers, rest = packets(converse_raw(milter.address, octets, meanwhile=kill))
        assert killed
        assert rest == b""
        changed, decided = signed_and_decided(answers)
        assert 0 < decided <= changed <= decided + 1 < MESSAGES
        milter.wait_for(f"worker {worker} terminated with signal 9, restarting")
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        assert the_worker(milter) != worker


STEPS = {
    "connect": lambda client: client.connect("localhost", "127.0.0.1"),
    "mail": lambda client: client.mail(b"<a@example.com>"),
    "rcpt": lambda client: client.rcpt(b"<b@example.net>"),
    "data": lambda client: client.data(),
    "header": lambda client: client.header(b"From", b" a@example.com"),
    "eoh": lambda client: client.eoh(),
    "body": lambda client: client.body(b"hello\r\n"),
    "eom": lambda client: client.eom(),
}


def test_a_worker_killed_before_any_step():
    """Whatever the MTA says next, it learns that the filter is gone; the next one is served."""
    with DkimcoreMilter(RESTART, files=FILES) as milter:
        worker = the_worker(milter)
        clients = {name: MilterClient(milter.address) for name in STEPS}
        for name, client in clients.items():
            client.negotiate()
            for step in STEPS:
                if step == name:
                    break
                STEPS[step](client)
        os.kill(worker, signal.SIGKILL)
        wait_until_gone(worker)
        for client in clients.values():
            with pytest.raises((MilterError, OSError)):
                client.eom()
            client.quit()
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))


def test_who_connected_to_a_killed_worker_only_in_the_backlog_is_served_by_the_next():
    with DkimcoreMilter(RESTART, files=FILES) as milter:
        worker = the_worker(milter)
        os.kill(worker, signal.SIGSTOP)
        with MilterClient(milter.address, timeout=30) as client:  # nobody has accepted it
            os.kill(worker, signal.SIGKILL)
            client.negotiate()
            demand_signed(converse(client, MESSAGE, INSIDE))


def test_a_worker_that_stands_still_does_not_hold_up_the_others():
    with DkimcoreMilter(RESTART, files=FILES, workers=2) as milter:
        first, second = children(milter.pid, 2)
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        os.kill(first, signal.SIGSTOP)
        try:
            for _ in range(20):
                demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        finally:
            os.kill(first, signal.SIGCONT)
        assert set(children(milter.pid)) == {first, second}


@pytest.mark.parametrize("kind", ["unix", "inet"])
def test_without_its_supervisor_the_filter_ends_and_can_be_started_again(kind):
    conf = SIGNING + "PidFile {folder}/pid\n"
    with DkimcoreMilter(conf, files=FILES, socket_name=address(kind), workers=2) as milter:
        workers = children(milter.pid, 2)
        clients = [MilterClient(milter.address) for _ in range(4)]
        for client in clients:
            client.negotiate()
            client.connect("localhost", "127.0.0.1")
            client.mail(b"<a@example.com>")
        os.kill(milter.pid, signal.SIGKILL)
        for pid in workers:
            wait_until_gone(pid)
        for client in clients:
            with pytest.raises((MilterError, OSError)):
                client.eom()
            client.quit()
        with pytest.raises(OSError, match="refused"):
            MilterClient(milter.address)
        assert milter.ends(30)
        stale = (milter.folder / "pid").read_text()
        again = [*milter.command(milter.folder / "filter.conf", milter.address)]
        with subprocess.Popen(again, stdout=subprocess.DEVNULL) as process:
            milter._process = process
            milter.wait_until_ready()
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
            assert (milter.folder / "pid").read_text() == f"{process.pid}\n" != stale
            assert milter.stop() == 0
        assert not (milter.folder / "pid").exists()
        assert not (milter.folder / "socket").exists()


def test_a_supervisor_that_stands_still_holds_no_mail_up():
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        os.kill(milter.pid, signal.SIGSTOP)
        try:
            for _ in range(20):
                demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        finally:
            os.kill(milter.pid, signal.SIGCONT)


def test_workers_that_are_killed_again_and_again_are_replaced():
    with DkimcoreMilter(RESTART, files=FILES, workers=2) as milter:
        for _ in range(4):
            victims = children(milter.pid, 2)
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            for pid in victims:
                wait_until_gone(pid)
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        assert len(children(milter.pid, 2)) == 2
