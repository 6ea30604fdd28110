"""The numbers of the board as metrics of `prometheus_client`, and as the answer of /healthz.

Counts and gauges are summed over all rows, histograms too; what is per worker has its row's
number as label, which a successor takes over.
"""

from __future__ import annotations

import platform
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dkimcore.version import __version__
from dkimcore_milter.meter import SUPERVISOR
from dkimcore_milter.metrics import BUCKETS, FAMILIES, PREFIX, Count, Gauge, Timer, cells_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore_milter.meter import Board

__all__ = ["BoardCollector", "Health", "health"]

Health = dict[str, str | int]
"""What /healthz says."""


class BoardCollector(Collector):
    """Turns the board into metrics, anew for each scrape.

    Args:
        board: Where the processes count.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """Give all metrics; those that nothing was counted for are 0."""
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
                yield self._gauge(gauges[0], full)
            else:
                yield self._histogram(timers, full)

    def _gauge(self, gauge: Gauge, name: str) -> Metric:
        family = FAMILIES[gauge.family]
        metric = GaugeMetricFamily(name, family.help, labels=family.labels)
        values = self._board.values(gauge.cell)
        if not family.per_worker:
            metric.add_metric((), sum(values))
            return metric
        for row, value in enumerate(values):
            if row != SUPERVISOR and value:
                metric.add_metric((str(row),), value)
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
        labels=("version", "python", "cryptography"),
    )
    metric.add_metric((__version__, platform.python_version(), installed("cryptography")), 1.0)
    return metric


def health(board: Board) -> Health:
    """Say whether mail is served, and whether the last reload was good.

    Args:
        board: Where the processes count.

    Returns:
        ``status``: ``ok`` or ``unavailable``; ``accepting``: how many workers take
        connections; ``last_reload``: ``success`` or ``failure``, which does not concern the
        status, because the old configuration goes on.
    """
    accepting = int(sum(board.values(Gauge.ACCEPTING.cell)))
    good = sum(board.values(Gauge.LAST_RELOAD_SUCCESS.cell))
    return {
        "status": "ok" if accepting else "unavailable",
        "accepting": accepting,
        "last_reload": "success" if good else "failure",
    }
