"""Where answers are kept: how long, how many, how much.

A stranger chooses what is asked and, as a signing domain, what is answered; so there is
a ceiling for everything.  Asking is left to `dkimcore.resolvers.cache`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.resolvers import TimedAnswer

__all__ = ["AnswerCache", "CacheStatistics"]

MAX_ENTRIES = 4096
# 2000 octets for each entry on average; a key record of RSA-2048 has 420.
MAX_OCTETS = 8 * 2**20
ENTRY_OCTETS = 256  # what an entry costs besides its records, name included

CEILINGS = {
    TxtStatus.FOUND: 3600.0,  # seconds; a key that leaked is revoked within the hour
    TxtStatus.NO_RECORD: 60.0,  # a key just published is soon seen
    TxtStatus.FAILED: 5.0,  # RFC 2308 section 7.1 allows up to 300
}


class CacheStatistics(NamedTuple):
    """What a cache has done so far.

    Attributes:
        hits: Questions answered without asking, those that joined another's query included.
        misses: Questions that were asked.
        entries: Answers kept now, some of them perhaps over time.
    """

    hits: int
    misses: int
    entries: int


class _Entry(NamedTuple):
    answer: TxtAnswer
    until: float
    octets: int


class AnswerCache:
    """Answers by name, the least recently used thrown out first.

    Not safe to share between threads: hold `lock` around every call.

    Args:
        max_entries: How many answers to keep.
        clock: Seconds that never go backwards.
    """

    def __init__(
        self, *, max_entries: int = MAX_ENTRIES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lock = threading.Lock()
        self.hits = 0
        self.misses = 0
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._octets = 0

    def get(self, name: str) -> TxtAnswer | None:
        """Give the answer kept under a name, unless its time is over."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if self._clock() >= entry.until:
            self._remove(name)
            return None
        self._entries.move_to_end(name)
        return entry.answer

    def put(self, name: str, timed: TimedAnswer) -> None:
        """Keep an answer for its TTL, or the ceiling of its kind where that is less."""
        ttl = min(timed.ttl, CEILINGS[timed.answer.status])
        if name in self._entries:
            self._remove(name)
        if ttl <= 0:
            return
        octets = ENTRY_OCTETS + sum(map(len, timed.answer.records))
        self._entries[name] = _Entry(timed.answer, self._clock() + ttl, octets)
        self._octets += octets
        while len(self._entries) > self._max_entries or self._octets > MAX_OCTETS:
            self._remove(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget every answer."""
        self._entries.clear()
        self._octets = 0

    def statistics(self) -> CacheStatistics:
        """Count what happened so far."""
        return CacheStatistics(self.hits, self.misses, len(self._entries))

    def _remove(self, name: str) -> None:
        self._octets -= self._entries.pop(name).octets
