"""What keys share is made once, closed once, and made anew in a child."""

from __future__ import annotations

import os
import threading

import pytest

from dkimcore.errors import StateError
from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.resources import Resources
from tests.keys.test_forking import in_child


class Made:
    def __init__(self, closed=None, error=None):
        self.closed, self.error, self.pid = closed, error, os.getpid()

    def close(self):
        self.closed.append(self)
        if self.error:
            raise self.error


class Renewed(Made):
    def after_fork(self):
        self.pid = os.getpid()


@pytest.fixture
def resources():
    made = Resources()
    yield made
    made.close()


def test_an_object_is_made_once_for_its_name(resources):
    one = resources.get("a", object)
    assert resources.get("a", object) is one
    assert resources.get("b", object) is not one


def test_eight_threads_get_the_same(resources):
    start, made, got = threading.Barrier(8), [], []

    def make():
        made.append(1)
        return object()

    def get():
        start.wait()
        got.append(resources.get("a", make))

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert len(set(map(id, got))) == 1


def test_making_one_does_not_hold_up_another(resources):
    entered, release = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert release.wait(30)
        return object()

    thread = threading.Thread(target=resources.get, args=("slow", slow))
    thread.start()
    assert entered.wait(30)
    assert resources.get("quick", lambda: 1) == 1
    release.set()
    thread.join()


def test_a_failure_is_tried_again(resources):
    with pytest.raises(ZeroDivisionError):
        resources.get("a", lambda: 1 / 0)
    assert resources.get("a", lambda: 1) == 1


def test_what_makes_one_may_ask_for_another_but_not_for_itself(resources):
    assert resources.get("a", lambda: resources.get("b", lambda: 2) + 1) == 3

    def circle():
        return resources.get("d", lambda: resources.get("c", circle))

    with pytest.raises(StateError, match="what makes 'c' asks for it"):
        resources.get("c", circle)
    assert resources.get("c", lambda: 4) == 4


def test_all_is_closed_the_last_one_first_also_after_an_error(resources):
    closed, error = [], ConnectionResetError("gone")
    one = resources.get("a", lambda: Made(closed))
    two = resources.get("b", lambda: Made(closed, error))
    resources.get("c", object)
    assert resources.close() == [error]
    assert closed == [two, one]
    assert resources.close() == []


def test_after_closing_nothing_is_made(resources):
    resources.close()
    with pytest.raises(StateError, match="closed"):
        resources.get("a", lambda: pytest.fail("made"))


def test_what_is_made_while_all_is_closed_is_closed_too(resources):
    closed = []

    def make():
        resources.close()
        return Made(closed)

    with pytest.raises(StateError, match="closed"):
        resources.get("a", make)
    assert len(closed) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_makes_its_own_and_does_not_close_its_parents(resources):
    closed = []
    one = resources.get("a", lambda: Made(closed))

    def check():
        mine = resources.get("a", lambda: Made(closed))
        resources.close()
        return mine is not one and closed == [mine]

    assert in_child(check)
    assert resources.get("a", object) is one


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_what_renews_itself_stays_the_one_of_its_name(resources):
    """Keys that were opened before the fork hold it: another would double its limits."""
    closed = []
    one = resources.get("a", lambda: Renewed(closed))
    renew_after_fork(one)

    def check():
        mine = resources.get("a", lambda: pytest.fail("made again"))
        resources.close()
        return mine is one and mine.pid == os.getpid() and closed == [one]

    assert in_child(check)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_while_something_is_made_leaves_the_child_usable(resources):
    entered, release = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert release.wait(30)
        return "parent's"

    got = []
    thread = threading.Thread(target=lambda: got.append(resources.get("a", slow)))
    thread.start()
    assert entered.wait(30)
    assert in_child(lambda: resources.get("a", lambda: "child's") == "child's")
    release.set()
    thread.join()
    assert got == ["parent's"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_what_was_closed_stays_closed_in_a_child(resources):
    resources.close()

    def check():
        with pytest.raises(StateError):
            resources.get("a", object)
        return True

    assert in_child(check)
