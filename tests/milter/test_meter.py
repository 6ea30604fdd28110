"""The board in shared memory: what processes and threads count is all there, also after a kill."""

from __future__ import annotations

import math
import os
import signal
import threading

import pytest

from dkimcore_milter.crew import _DRAINING_PER_WORKER
from dkimcore_milter.meter import SUPERVISOR, Board, Meter
from dkimcore_milter.metrics import BUCKETS, CELLS, Count, Gauge, Timer, cells_of
from tests.forked import fork


def in_child(act):
    """Runs something in a forked process, and returns how that ended."""
    pid = fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def total(board, cell):
    return sum(board.values(cell.cell))


def test_what_a_killed_process_counted_stays_and_its_successor_goes_on():
    board = Board(4)
    board.reserve(1)

    def live():
        meter = board.meter(1)
        meter.count(Count.SIGNED_RSA, 3)
        meter.set(Gauge.CONNECTIONS, 7)
        meter.observe(Timer.SIGN, 0.002)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(live) == -signal.SIGKILL
    assert total(board, Gauge.CONNECTIONS) == 7
    board.clear_gauges(1)
    assert total(board, Gauge.CONNECTIONS) == 0
    assert total(board, Count.SIGNED_RSA) == 3
    board.meter(1).count(Count.SIGNED_RSA)
    assert total(board, Count.SIGNED_RSA) == 4
    assert sum(sum(board.values(cell)) for cell in cells_of(Timer.SIGN)) == 1


def test_rows_are_each_process_own():
    board = Board(3)
    for row in range(3):
        board.meter(row).count(Count.RELOADS_GOOD, 10**row)
    assert board.values(Count.RELOADS_GOOD.cell) == [1, 10, 100]
    assert board.rows == 3
    board.clear_gauges(1)
    assert board.values(Count.RELOADS_GOOD.cell) == [1, 10, 100]


def test_others_are_looked_for_up_to_the_last_row_in_use():
    """After many reloads at once a board has many rows, of which few are in use."""
    board = Board()
    for row in range(1000):
        board.meter(row).set(Gauge.ACCEPTING, 1)
        board.meter(row).count(Count.RELOADS_GOOD)
    assert len(board.meter(0).others(Gauge.CONNECTIONS)) == 999
    for row in (500, *range(3, 500), *range(501, 1000)):
        board.clear_gauges(row)
    assert board.live_values(Gauge.ACCEPTING.cell) == [1, 1, 1]
    assert total(board, Count.RELOADS_GOOD) == 1000
    board.reserve(6)
    assert board.live_rows == 7
    assert board.rows == 1000


def test_there_are_more_rows_than_processes():
    workers = 1024  # the largest DkimcoreWorkers
    assert Board().processes > 1 + workers + _DRAINING_PER_WORKER * workers + workers


def test_threads_of_a_process_lose_nothing():
    meter = Meter.alone()

    def work():
        for _ in range(2000):
            meter.count(Count.VERIFIED_PASS)
            meter.add(Gauge.MESSAGES, 1)
            meter.add(Gauge.MESSAGES, -1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.value(Count.VERIFIED_PASS) == 8000
    assert meter.value(Gauge.MESSAGES) == 0


def test_only_who_accepts_is_compared_with():
    board = Board(5)
    meters = [board.meter(row) for row in range(5)]
    for row, meter in enumerate(meters):
        meter.set(Gauge.CONNECTIONS, row)
    for row in (1, 2, 4):
        meters[row].set(Gauge.ACCEPTING, 1)
    assert meters[1].others(Gauge.CONNECTIONS) == [2, 4]
    assert meters[4].others(Gauge.CONNECTIONS) == [1, 2]
    meters[2].set(Gauge.ACCEPTING, 0)  # it drains
    assert meters[1].others(Gauge.CONNECTIONS) == [4]
    assert Meter.alone().others(Gauge.CONNECTIONS) == []


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [
        (0.0, 0.0001),
        (0.0001, 0.0001),
        (0.00011, 0.00025),
        (1.0, 1.0),
        (30.0, 30.0),
        (31.0, math.inf),
    ],
)
def test_a_duration_is_in_the_bucket_whose_bound_it_does_not_exceed(seconds, bound):
    meter = Meter.alone()
    meter.observe(Timer.DNS, seconds)
    numbers = dict(zip((*BUCKETS, math.inf), cells_of(Timer.DNS), strict=True))
    row = meter._row
    assert [at for at, cell in numbers.items() if row[cell]] == [bound]
    assert row[Timer.DNS.sum_cell] == seconds


def test_no_two_things_share_a_cell():
    cells = [member.cell for kind in (Count, Gauge) for member in kind]
    for timer in Timer:
        cells += [*cells_of(timer), timer.sum_cell]
    assert sorted(cells) == list(range(CELLS))
    assert SUPERVISOR == 0
