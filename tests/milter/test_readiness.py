"""What a service manager is told, over a socket as systemd has it."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from dkimcore_milter.readiness import Readiness


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A manager's socket, and the environment it gives."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(10)
        if request.param == "path":
            receiver.bind(str(tmp_path / "notify"))
            yield receiver, {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        else:
            name = f"dkimcore-test-{os.getpid()}"
            receiver.bind(f"\0{name}")
            yield receiver, {"NOTIFY_SOCKET": f"@{name}"}


def test_a_manager_learns_of_each_state(manager):
    receiver, environment = manager
    with contextlib.closing(Readiness(environment)) as readiness:
        tell_all(readiness, receiver)
    readiness.ping()
    receiver.settimeout(0)
    with pytest.raises(BlockingIOError):
        receiver.recv(4096)


def tell_all(readiness, receiver):
    readiness.ready("serving")
    assert receiver.recv(4096) == f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving".encode()
    readiness.reloading()
    first, second, _ = receiver.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    readiness.stopping()
    assert receiver.recv(4096).startswith(b"STOPPING=1")
    readiness.ping()
    assert receiver.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_pings_come_twice_as_often_as_they_are_waited_for(manager, environment, seconds):
    with contextlib.closing(Readiness({**manager[1], **environment})) as readiness:
        assert readiness.watchdog == seconds


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/no/such/socket"}]
)
def test_without_a_manager_nothing_happens(environment):
    readiness = Readiness({**environment, "WATCHDOG_USEC": "1000000"})
    readiness.ready("serving")
    assert readiness.watchdog is None


def test_a_manager_that_went_away_is_no_error(manager):
    receiver, environment = manager
    with contextlib.closing(Readiness(environment)) as readiness:
        receiver.close()
        readiness.ping()
