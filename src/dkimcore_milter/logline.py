"""A line of the log, before it is known where it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

__all__ = ["Level", "LogLine", "LogSink"]


class Level(IntEnum):
    """Syslog's severities (RFC 5424 section 6.2.1)."""

    ERR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line.

    Attributes:
        level: Its severity.
        text: What it says, in OpenDKIM's words where OpenDKIM says it; without the queue id.
        event: A stable word for programs, such as ``signed`` or ``key-retrieval-failed``.
        job_id: The queue id of the message it is about.
        fields: What programs want to know besides.
    """

    level: Level
    text: str
    event: str
    job_id: str | None = None
    fields: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text if self.job_id is None else f"{self.job_id}: {self.text}"


LogSink: TypeAlias = Callable[[LogLine], None]
"""Takes lines; never raises, never blocks for long."""
