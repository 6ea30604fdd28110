"""What happens to keys that are kept elsewhere, as the log and the metrics have it."""

from __future__ import annotations

from logging import ERROR, WARNING
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUnavailable
from dkimcore_milter.keymeter import backend_of_kind
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.meter import Meter
from dkimcore_milter.metrics import Count, Timer
from dkimcore_milter.printable import printable

if TYPE_CHECKING:
    from dkimcore.errors import KeyBackendError
    from dkimcore.keys.events import KeyEvent
    from dkimcore_milter.logline import LogSink

__all__ = ["MilterKeyObserver"]

# syslog(3) lines may be cut at 4000 octets; a record to publish has up to 1500.
_LONGEST = 3600
_ROUND_TRIPS = {count.labels: count for count in Count if count.family == "key_round_trips"}
_SIGNATURES = {c.labels[0]: c for c in Count if c.family == "key_round_trip_signatures"}
_RETRIES = {count.labels[0]: count for count in Count if count.family == "key_retries"}
_OPENINGS = {count.labels[0]: count for count in Count if count.family == "key_breaker_openings"}
_TIMERS = {timer.labels[0]: timer for timer in Timer if timer.family == "key_round_trip_seconds"}


class MilterKeyObserver:
    """A `KeyObserver` that logs events and counts round trips.  Safe to share between threads.

    Args:
        log: Takes lines; None: nobody wants them.
    """

    __slots__ = ("_log", "_meter")

    def __init__(self, log: LogSink | None) -> None:
        self._log = log
        self._meter = Meter.alone()

    def measure(self, meter: Meter) -> None:
        """Count there from now on."""
        self._meter = meter

    def event(self, event: KeyEvent) -> None:
        """Log an event; it names its key, or its key endpoint, first."""
        if event.event == "breaker-opened" and event.endpoint is not None:
            self._meter.count(_OPENINGS[backend_of_kind(event.endpoint.partition(":")[0])])
        if self._log is None:
            return
        where = event.uri or event.endpoint
        text = event.text if where is None else f"{where}: {event.text}"
        places = {"uri": event.uri, "endpoint": event.endpoint}
        self._log(
            LogLine(
                level=_level(event.level),
                text=printable(text, limit=_LONGEST),
                event=event.event,
                fields={
                    **{name: value for name, value in places.items() if value is not None},
                    **event.fields,
                },
            )
        )

    def round_trip(
        self, endpoint: str, *, seconds: float, signatures: int, error: KeyBackendError | None
    ) -> None:
        """Count one attempt to have something signed."""
        backend = backend_of_kind(endpoint.partition(":")[0])
        outcome = "success"
        if error is not None:
            outcome = "unavailable" if isinstance(error, KeyUnavailable) else "refused"
        meter = self._meter
        meter.count(_ROUND_TRIPS[backend, outcome])
        meter.count(_SIGNATURES[backend], signatures)
        meter.observe(_TIMERS[backend], seconds)

    def retried(self, endpoint: str) -> None:
        """Count that something is asked for again."""
        self._meter.count(_RETRIES[backend_of_kind(endpoint.partition(":")[0])])


def _level(level: int) -> Level:
    if level >= ERROR:
        return Level.ERR
    return Level.WARNING if level >= WARNING else Level.INFO
