"""Objects start anew in a child, in the order of their age, and are not kept alive for it."""

from __future__ import annotations

import gc
import os

import pytest

from dkimcore.keys import forking
from dkimcore.keys.forking import renew_after_fork
from tests.forked import fork

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


class Renewed:
    def __init__(self, order, error=None):
        self.order, self.error = order, error
        renew_after_fork(self)

    def after_fork(self):
        self.order.append(self)
        if self.error:
            raise self.error


def in_child(check):
    """Run a check in a child; return whether it held."""
    child = fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 1
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def test_the_oldest_first():
    """What is made of other objects uses them as soon as it starts anew."""
    order = []
    made = [Renewed(order) for _ in range(200)]
    assert in_child(lambda: order == made)
    assert order == []  # in the parent nothing changes


def test_they_are_held_weakly():
    order = []
    kept, _ = Renewed(order), Renewed(order)
    del _
    gc.collect()
    assert in_child(lambda: order == [kept])


def test_one_that_fails_does_not_leave_the_others_with_the_parents_locks():
    order = []
    made = [Renewed(order), Renewed(order, RuntimeError("broken")), Renewed(order)]
    assert in_child(lambda: order == made)
    made.clear()
    gc.collect()
    assert not any(isinstance(each, Renewed) for each in forking._RENEWABLES.values())
