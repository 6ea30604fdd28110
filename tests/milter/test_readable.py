"""Waiting for sockets, whatever the numbers of their descriptors are."""

from __future__ import annotations

import fcntl
import os
import resource
import socket

import pytest

from dkimcore_milter.readable import readable
from dkimcore_milter.signals import Signals

LARGE = 1024  # the first number that select(2) cannot take


@pytest.fixture
def pair():
    """Two ends, the first of which has a large number."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit[1] <= LARGE:
        pytest.skip("this machine allows no such descriptor")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit[0], LARGE + 100), limit[1]))
    near, far = socket.socketpair()
    with near, far, socket.socket(fileno=fcntl.fcntl(near, fcntl.F_DUPFD, LARGE)) as large:
        assert large.fileno() >= LARGE
        yield large, far
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def test_large_numbers(pair):
    near, far = pair
    assert readable([near, far], 0.001) == []
    far.send(b"x")
    assert readable([far, near], None) == [near]


def test_an_end_is_something_to_read(pair):
    near, far = pair
    far.close()
    assert readable([near], None) == [near]


def test_signals_and_large_numbers(pair):
    near, far = pair
    far.send(b"x")
    signals = Signals()
    try:
        assert signals.wait(also=(near,)) == frozenset()
    finally:
        signals.close()


def test_it_needs_no_descriptor():
    near, far = socket.socketpair()
    with near, far:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        far.send(b"x")
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                os.dup(0)
            assert readable([near], None) == [near]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
