"""The message under way on a connection, as the metrics count it.

Counted is each message that an MTA began: by what was done with it and the final answer, or as
abandoned where the MTA gave it up.  Its time is what our own steps took from its first header
field to the final answer, waits for name servers and key services included; what we wait for
the MTA is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore_milter.action import Quarantine, Verdict
from dkimcore_milter.metrics import Count, Gauge, Timer

if TYPE_CHECKING:
    from dkimcore_milter.action import Conclusion, Reply
    from dkimcore_milter.meter import Meter
    from dkimcore_milter.transaction import Mode

__all__ = ["Tally"]

_MESSAGES = {count.labels: count for count in Count if count.family == "messages"}
_TIMES = {timer.labels[0]: timer for timer in Timer if timer.family == "message_seconds"}
_WORDS = {
    Verdict.ACCEPT: "accept",
    Verdict.DISCARD: "discard",
    Verdict.REJECT: "reject",
    Verdict.TEMPFAIL: "tempfail",
}


class Tally:
    """Counts the messages of a connection, which come one after the other.

    Args:
        meter: Where they are counted.

    Attributes:
        spent: Seconds that our steps took for the message so far.
    """

    __slots__ = ("_is_open", "_meter", "spent")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._is_open = False
        self.spent = 0.0

    def begin(self) -> None:
        """A message begins; one that was not answered is abandoned."""
        self.abandon()
        self._is_open = True
        self.spent = 0.0
        self._meter.add(Gauge.MESSAGES, 1)

    def abandon(self) -> None:
        """The MTA gave up the message, if there was one."""
        if self._is_open:
            self._is_open = False
            self._meter.add(Gauge.MESSAGES, -1)
            self._meter.count(Count.MESSAGES_ABANDONED)

    def reply(self, reply: Reply, mode: Mode) -> None:
        """The MTA was told something before the end of the message; it may be final."""
        word = _WORDS.get(reply.verdict)
        if word is not None:
            self._answered(mode, word)

    def conclude(self, conclusion: Conclusion, mode: Mode) -> None:
        """The message was answered at its end."""
        for change in conclusion.modifications:
            if isinstance(change, Quarantine):
                self._answered(mode, "quarantine")
                return
        self._answered(mode, _WORDS[conclusion.reply.verdict])

    def _answered(self, mode: Mode, word: str) -> None:
        if self._is_open:
            self._is_open = False
            self._meter.finish(
                Gauge.MESSAGES, _MESSAGES[mode, word], _TIMES[mode], seconds=self.spent
            )
