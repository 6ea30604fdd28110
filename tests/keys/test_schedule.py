"""Things are done at their time, one after another, whatever one of them does."""

from __future__ import annotations

import os
import queue
import threading
import time

import pytest

from dkimcore.keys.schedule import Schedule
from tests.forked import fork
from tests.keys.remotes import eventually, threads_named


@pytest.fixture
def schedule():
    made = Schedule("test-schedule")
    yield made
    made.close()
    eventually(lambda: not threads_named("test-schedule"))


def test_things_are_done_in_the_order_of_their_times(schedule):
    done, now = queue.Queue(), time.monotonic()
    for delay in (0.15, 0.05, 0.1, 0.05):
        schedule.at(now + delay, lambda delay=delay: done.put((delay, time.monotonic() - now)))
    got = [done.get(timeout=30) for _ in range(4)]
    assert [delay for delay, _ in got] == [0.05, 0.05, 0.1, 0.15]
    assert all(after >= delay for delay, after in got)
    assert len(threads_named("test-schedule")) == 1


def test_what_comes_sooner_than_what_is_waited_for_is_not_late(schedule):
    done = threading.Event()
    schedule.after(3600, lambda: None)
    schedule.after(0, done.set)
    assert done.wait(30)


def test_what_comes_in_a_thousand_years_does_not_end_the_thread(schedule):
    """The lease of a token is any number that a server says."""
    done = threading.Event()
    schedule.after(1e12, lambda: None)
    (thread,) = threads_named("test-schedule")
    thread.join(0.2)
    assert thread.is_alive()
    schedule.after(0, done.set)
    assert done.wait(30)


def test_no_thread_without_a_thing_to_do():
    Schedule("test-idle").close()
    assert threads_named("test-idle") == []


def test_what_raises_is_said_and_the_next_is_done(schedule, caplog):
    done = threading.Event()
    schedule.after(0, lambda: 1 / 0)
    schedule.after(0, done.set)
    assert done.wait(30)
    assert "ZeroDivisionError" in caplog.text


def test_after_closing_nothing_is_done(schedule):
    done = threading.Event()
    schedule.after(0.05, done.set)
    schedule.close()
    schedule.after(0, done.set)
    eventually(lambda: not threads_named("test-schedule"))
    assert not done.is_set()


def no_thread(_):
    raise RuntimeError("can't start new thread")


def test_where_the_system_has_no_thread_the_next_thing_brings_one(schedule, monkeypatch):
    done = queue.Queue()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        schedule.after(0, lambda: done.put(1))
    schedule.after(0, lambda: done.put(2))
    assert [done.get(timeout=30), done.get(timeout=30)] == [1, 2]


def test_where_the_system_had_no_thread_it_can_be_asked_once_more(schedule, monkeypatch):
    done = threading.Event()
    schedule.start()
    assert threads_named("test-schedule") == []  # there is nothing to do
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        schedule.after(0, done.set)
        schedule.start()
    assert schedule.is_stuck
    for _ in range(3):
        schedule.start()
    assert done.wait(30)
    assert not schedule.is_stuck
    assert len(threads_named("test-schedule")) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_does_its_own_things_and_not_its_parents(schedule):
    entered, release = threading.Event(), threading.Event()
    reader, writer = os.pipe()

    def hold():  # while the parent's thread is somewhere in there, the child is forked
        entered.set()
        release.wait(30)

    schedule.after(0, hold)
    schedule.after(0, lambda: os.write(writer, b"parent's"))
    assert entered.wait(30)
    child = fork()
    if child == 0:
        done = threading.Event()
        schedule.after(0, lambda: os.write(writer, b"child's") and done.set())
        os._exit(0 if done.wait(30) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 100) == b"child's"
    release.set()
    assert os.read(reader, 100) == b"parent's"
    for each in (reader, writer):
        os.close(each)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_what_was_closed_stays_closed_in_a_child(schedule):
    schedule.close()
    child = fork()
    if child == 0:
        schedule.after(0, lambda: None)
        os._exit(len(threads_named("test-schedule")))
    assert os.waitpid(child, 0)[1] == 0


def test_a_thousand_things_that_are_pushed_back_and_forth(schedule):
    done = queue.Queue()
    now = time.monotonic()
    for number in range(1000):
        schedule.at(now + (number * 37 % 100) / 1000, lambda number=number: done.put(number))
    assert sorted(done.get(timeout=30) for _ in range(1000)) == list(range(1000))
