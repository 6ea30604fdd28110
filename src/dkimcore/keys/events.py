"""What is worth knowing about keys: loads, refusals, renewals, breakers, round trips.

A `KeyObserver` hears of it; programs get `LoggingObserver`, the milter has its own.  No event
holds a secret.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from dkimcore.keys.tracebacks import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dkimcore.errors import KeyBackendError

__all__ = ["GuardedObserver", "KeyEvent", "KeyObserver", "LoggingObserver", "survive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """Something that happened to a key or a key endpoint.

    Attributes:
        level: How grave it is, as in `logging`: INFO, WARNING, ERROR.
        event: A stable word for programs: ``key-opened``, ``key-refused``, ``key-refreshed``,
            ``key-stale``, ``key-withdrawn``, ``key-changed``, ``login``, ``token-renewed``,
            ``breaker-opened``, ``endpoint-overloaded``, ``signature-refused`` ...
        text: The same for people, with cause and cure; free of secrets.
        uri: The key.
        endpoint: The key endpoint, such as ``vault:eu``.
        fields: What programs want to know besides.
    """

    level: int
    event: str
    text: str
    uri: str | None = None
    endpoint: str | None = None
    fields: Mapping[str, str | int | float | None] = field(default_factory=dict)


class KeyObserver(Protocol):
    """Hears what happens to keys; called from any thread, never raises, never blocks for long."""

    def event(self, event: KeyEvent) -> None:
        """Hear of something that an operator may want to read."""

    def round_trip(
        self, endpoint: str, *, seconds: float, signatures: int, error: KeyBackendError | None
    ) -> None:
        """Hear of one attempt to have something signed.

        Args:
            endpoint: The key endpoint.
            seconds: How long it took.
            signatures: How many signatures were asked for.
            error: Why none came; None: at least one did.
        """

    def retried(self, endpoint: str) -> None:
        """Hear that a signature is asked for again."""


class LoggingObserver:
    """Writes events to ``logging.getLogger("dkimcore.keys")``; round trips at DEBUG."""

    __slots__ = ("_logger",)

    def __init__(self) -> None:
        self._logger = logging.getLogger("dkimcore.keys")

    def event(self, event: KeyEvent) -> None:
        """Log an event."""
        where = event.uri or event.endpoint
        self._logger.log(
            event.level,
            "%s%s",
            "" if where is None else f"{where}: ",
            event.text,
            extra={
                "key_event": event.event,
                "key_uri": event.uri,
                "key_endpoint": event.endpoint,
            },
        )

    def round_trip(
        self, endpoint: str, *, seconds: float, signatures: int, error: KeyBackendError | None
    ) -> None:
        """Log a round trip, where somebody asks for that."""
        if self._logger.isEnabledFor(logging.DEBUG):
            outcome = "done" if error is None else f"failed: {error.problem}"
            text = "%s: %d signatures in %.1f ms: %s"
            self._logger.debug(text, endpoint, signatures, seconds * 1000, outcome)

    def retried(self, endpoint: str) -> None:
        """Log nothing: the round trip that failed was logged."""


class GuardedObserver:
    """Stands before an observer: nothing that it raises does harm, and no event holds a secret.

    Args:
        observer: Who hears.
        withhold: Returns a text, or what stands for it where a secret shows.
    """

    __slots__ = ("_observer", "_withhold")

    def __init__(self, observer: KeyObserver, *, withhold: Callable[[str], str]) -> None:
        self._observer = observer
        self._withhold = withhold

    def event(self, event: KeyEvent) -> None:
        """Pass on an event, without a secret that stands in it."""
        text = self._withhold(event.text)
        fields = {
            name: self._withhold(value) if isinstance(value, str) else value
            for name, value in event.fields.items()
        }
        if text != event.text or fields != event.fields:
            event = replace(event, text=text, fields=fields)
        survive(lambda: self._observer.event(event))

    def round_trip(
        self, endpoint: str, *, seconds: float, signatures: int, error: KeyBackendError | None
    ) -> None:
        """Pass on a round trip; its error was contained."""
        try:
            self._observer.round_trip(endpoint, seconds=seconds, signatures=signatures, error=error)
        except Exception as exc:  # noqa: BLE001 - counted or not, the signature is good
            _complain(exc)

    def retried(self, endpoint: str) -> None:
        """Pass on that a signature is asked for again."""
        survive(lambda: self._observer.retried(endpoint))


def survive(call: Callable[[], object]) -> None:
    """Call something that must not raise; where it does, say so and go on.

    Args:
        call: What to call.
    """
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - a thread of ours would end with it
        _complain(exc)


def _complain(exc: Exception) -> None:
    # Not its text, which may hold a secret.
    logging.getLogger("dkimcore.keys").error(
        "what was told about a key failed with %s (%s)", type(exc).__name__, place_of(exc)
    )
