"""The numbers of the board as metrics of `prometheus_client`, and as the answer of /healthz.

Counts and gauges are summed over all rows, histograms too; what is per worker has its row's
number as label, which a successor takes over.
"""

from __future__ import annotations

import platform
import time
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dkimcore.protocol.speedups import in_use
from dkimcore.version import __version__
from dkimcore_milter.meter import SUPERVISOR
from dkimcore_milter.metrics import BUCKETS, FAMILIES, PREFIX, Count, Gauge, Timer, cells_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore_milter.meter import Board

__all__ = ["SILENCE_SECONDS", "BoardCollector", "Health", "health"]

SILENCE_SECONDS = 30.0
"""A worker that has not turned for so long is taken for one that hangs; see
`dkimcore_milter.vitals`."""

Health = dict[str, str | int]
"""What /healthz says."""


_VERSIONS = {  # read now: a later chroot() hides the files
    "version": __version__,
    "python": platform.python_version(),
    "cryptography": installed("cryptography"),
    "accelerator": in_use(),
}


class BoardCollector(Collector):
    """Turns the board into metrics, anew for each scrape.

    Args:
        board: Where the processes count.
        clock: The monotonic clock, which all processes share.
    """

    def __init__(self, board: Board, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Give all metrics; those that nothing was counted for are 0."""
        now = self._clock()
        yield _build_info()
        for name, family in FAMILIES.items():
            counts = [count for count in Count if count.family == name]
            gauges = [gauge for gauge in Gauge if gauge.family == name]
            timers = [timer for timer in Timer if timer.family == name]
            full = PREFIX + name
            if counts:
                counter = CounterMetricFamily(full, family.help, labels=family.labels)
                for count in counts:
                    counter.add_metric(count.labels, sum(self._board.values(count.cell)))
                yield counter
            elif gauges:
                yield self._gauge(gauges, full, now=now)
            else:
                yield self._histogram(timers, full)

    def _gauge(self, gauges: list[Gauge], name: str, *, now: float) -> Metric:
        gauge = gauges[0]
        family = FAMILIES[gauge.family]
        metric = GaugeMetricFamily(name, family.help, labels=family.labels)
        if not family.per_worker:
            for each in gauges:
                metric.add_metric(each.labels, sum(self._board.values(each.cell)))
            return metric
        values = self._board.values(gauge.cell)
        for row, value in enumerate(values):
            if row != SUPERVISOR and value:
                shown = max(now - value, 0.0) if gauge is Gauge.HEARTBEAT else value
                metric.add_metric((str(row),), shown)
        return metric

    def _histogram(self, timers: list[Timer], name: str) -> Metric:
        family = FAMILIES[timers[0].family]
        metric = HistogramMetricFamily(name, family.help, labels=family.labels)
        bounds = (*(str(bound) for bound in BUCKETS), "+Inf")
        for timer in timers:
            total, buckets = 0.0, []
            for bound, cell in zip(bounds, cells_of(timer), strict=True):
                total += sum(self._board.values(cell))
                buckets.append((bound, total))
            metric.add_metric(
                timer.labels, buckets, sum_value=sum(self._board.values(timer.sum_cell))
            )
        return metric


def _build_info() -> Metric:
    metric = GaugeMetricFamily(
        f"{PREFIX}build_info",
        "Versions; always 1.",
        labels=tuple(_VERSIONS),
    )
    metric.add_metric(tuple(_VERSIONS.values()), 1.0)
    return metric


def health(board: Board, *, now: float) -> Health:
    """Say whether mail is served, and whether the last reload was good.

    Args:
        board: Where the processes count.
        now: Now, on the monotonic clock.

    Returns:
        ``status``: ``ok`` or ``unavailable``; ``accepting``: how many workers are not
        about to end, and turned within the last `SILENCE_SECONDS`; one at its limit of
        connections is healthy, for a restart would help nobody.  ``last_reload``:
        ``success`` or ``failure``, which does not concern the status, because the old
        configuration goes on.
    """
    turned = board.values(Gauge.HEARTBEAT.cell)
    accepts = board.values(Gauge.ACCEPTING.cell)
    accepting = sum(
        bool(does) and now - when < SILENCE_SECONDS
        for does, when in zip(accepts, turned, strict=True)
    )
    good = sum(board.values(Gauge.LAST_RELOAD_SUCCESS.cell))
    return {
        "status": "ok" if accepting else "unavailable",
        "accepting": accepting,
        "last_reload": "success" if good else "failure",
    }
