"""What happens to keys while a command runs, on standard error where it is worth a line.

A failure that the command reports anyway is not told twice.
"""

from __future__ import annotations

from logging import INFO, WARNING
from typing import TYPE_CHECKING

from dkimcore.cli.output import warn

if TYPE_CHECKING:
    from dkimcore.errors import KeyBackendError
    from dkimcore.keys.events import KeyEvent

__all__ = ["CommandObserver", "NotingObserver"]

# Each of these is the cause of an error, which names it.
_REPORTED = ("breaker-opened", "key-refused", "signature-refused")
# What is printed of every key anyway.
_PLAIN = ("key-opened",)


class CommandObserver:
    """A `KeyObserver` that prints warnings."""

    __slots__ = ()

    def event(self, event: KeyEvent) -> None:
        """Print a warning, unless an error will say the same.

        Args:
            event: What happened.
        """
        if event.level >= WARNING and event.event not in _REPORTED:
            where = event.uri or event.endpoint
            warn(f"{where}: {event.text}" if where else event.text)

    def round_trip(
        self, endpoint: str, *, seconds: float, signatures: int, error: KeyBackendError | None
    ) -> None:
        """Print nothing: what failed is reported."""

    def retried(self, endpoint: str) -> None:
        """Print nothing."""


class NotingObserver(CommandObserver):
    """Besides, keeps what backends say about single keys, such as which version was read."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: dict[str, list[str]] = {}

    def event(self, event: KeyEvent) -> None:
        """Keep a note, or print a warning.

        Args:
            event: What happened.
        """
        if event.level == INFO and event.uri is not None and event.event not in _PLAIN:
            self._notes.setdefault(event.uri, []).append(event.text)
        super().event(event)

    def notes(self, uri: str) -> list[str]:
        """Return what was said about a key.

        Args:
            uri: Its URI.
        """
        return self._notes.get(uri, [])
