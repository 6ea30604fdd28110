"""A cache of DNS answers whose hits, misses and queries are counted and timed.

What is asked and kept is the library's: `dkimcore.resolvers`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dkimcore.protocol.keyrecord import TxtStatus
from dkimcore.resolvers.cache import CachingResolver
from dkimcore_milter.meter import Meter
from dkimcore_milter.metrics import Count, Gauge, Timer

if TYPE_CHECKING:
    from dkimcore.protocol.keyrecord import TxtAnswer
    from dkimcore.resolvers import TimedAnswer, TimedTxtResolver

__all__ = ["MeasuredResolver"]

_OUTCOMES = {
    TxtStatus.FOUND: Count.QUERIES_FOUND,
    TxtStatus.NO_RECORD: Count.QUERIES_NO_RECORD,
    TxtStatus.FAILED: Count.QUERIES_FAILED,
}


class MeasuredResolver:
    """Keeps the answers of a resolver, and counts.  Safe to share between threads.

    Args:
        resolver: Whom to ask.
    """

    takes_timeout = True

    def __init__(self, resolver: TimedTxtResolver) -> None:
        self._queries = _Queries(resolver)
        self._cache = CachingResolver(self._queries)
        self._meter = self._queries.meter

    def measure(self, meter: Meter) -> None:
        """Count there from now on."""
        self._meter = self._queries.meter = meter

    def lookup_txt(self, name: str, *, timeout: float | None = None) -> TxtAnswer:
        """Give the TXT records at an absolute name, asking only if need be; never raises.

        Args:
            name: The name, A-labels.
            timeout: Seconds, where less are left than the resolver would take.
        """
        answer = self.peek_txt(name)
        if answer is None:
            # Who waits for somebody else's query has missed, too.
            self._meter.count(Count.DNS_CACHE_MISSES)
            answer = self._cache.lookup_txt(name, timeout=timeout)
            self._meter.set(Gauge.DNS_CACHE_ENTRIES, self._cache.statistics.entries)
        return answer

    def peek_txt(self, name: str) -> TxtAnswer | None:
        """Give the TXT records at an absolute name if they are kept; nobody is asked."""
        answer = self._cache.peek_txt(name)
        if answer is not None:
            self._meter.count(Count.DNS_CACHE_HITS)
        return answer


class _Queries:
    """Counts and times what name servers are asked."""

    def __init__(self, resolver: TimedTxtResolver) -> None:
        self._resolver = resolver
        self.meter = Meter.alone()

    def lookup_txt_with_ttl(self, name: str, *, timeout: float | None = None) -> TimedAnswer:
        begun = time.monotonic()
        timed = self._resolver.lookup_txt_with_ttl(name, timeout=timeout)
        self.meter.observe(Timer.DNS, time.monotonic() - begun)
        self.meter.count(_OUTCOMES[timed.answer.status])
        return timed
