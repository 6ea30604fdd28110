"""Which sockets are ready: with epoll(7), and with the poll(2) of other systems."""

import socket

import pytest

from dkimcore_milter.poller import READ, WRITE, Poller


@pytest.fixture(params=[False, True], ids=["epoll", "poll"])
def poller(request):
    made = Poller(portable=request.param)
    yield made
    made.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def ready(poller, seconds=0.0):
    return [poller.calls[number] for number, _ in poller.wait(seconds)]


def test_what_has_octets_is_ready(poller, pair):
    ours, theirs = pair
    poller.register(ours, READ, ready)
    assert ready(poller) == []
    theirs.send(b"x")
    assert ready(poller, 10.0) == [ready]
    assert ready(poller, -1.0) == [ready]  # a time that is over does not block


def test_other_events_are_waited_for(poller, pair):
    ours, theirs = pair
    poller.register(ours, READ, ready)
    poller.modify(ours, WRITE)
    assert ready(poller) == [ready]
    poller.unregister(ours)
    theirs.send(b"x")
    assert ready(poller) == []


def test_a_peer_that_is_gone_is_told(poller, pair):
    ours, theirs = pair
    poller.register(ours, READ, ready)
    theirs.close()
    assert ready(poller, 10.0) == [ready]
