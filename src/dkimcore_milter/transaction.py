"""What is known about one message while it passes: its envelope, its queue id, its log.

How it is judged is left to `signing` and `verifying`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from dkimcore_milter.identity import UNKNOWN_HOST, authserv_id
from dkimcore_milter.logline import LogLine
from dkimcore_milter.meter import Meter
from dkimcore_milter.printable import printable

if TYPE_CHECKING:
    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import Level, LogSink

__all__ = ["UNKNOWN_JOB", "Mode", "Transaction"]

UNKNOWN_JOB = "(unknown-jobid)"

# syslog(3) may cut at 1024 octets.
_LONGEST = 900


class Mode(StrEnum):
    """What is done with a message, whether it comes off or not."""

    SIGN = "sign"
    VERIFY = "verify"
    RESIGN = "resign"
    """Verified, and signed again for whom it is sent on."""

    NONE = "none"
    """It is left alone, malformed, or beyond a limit; or its header never ended."""


@dataclass(slots=True, kw_only=True)
class Transaction:
    """One message.

    Attributes:
        engine: What decisions need.
        log: Takes lines.
        meter: Counts what happens.
        mode: What is done with it; known when its header is complete.
        host: The MTA's name.
        job_id: The queue id, as far as it is known.
        recipients: The envelope's recipients as they were given.
    """

    engine: Engine
    log: LogSink
    meter: Meter = field(default_factory=Meter.alone)
    mode: Mode = Mode.NONE
    host: str = UNKNOWN_HOST
    job_id: str = UNKNOWN_JOB
    recipients: list[bytes] = field(default_factory=list)

    @property
    def addresses(self) -> list[bytes]:
        """The recipients without angle brackets."""
        return [address.removeprefix(b"<").removesuffix(b">") for address in self.recipients]

    @property
    def authserv_id(self) -> str:
        """Who we are in Authentication-Results."""
        return authserv_id(self.engine.settings.verifying, self.host)

    def say(
        self, level: Level, text: str, *, event: str, **fields: str | int | float | bool | None
    ) -> None:
        """Log a line about the message.

        Args:
            level: Its severity.
            text: What it says; characters that are not printable become "?".
            event: The word for programs.
            fields: What programs want to know besides.
        """
        line = printable(text, limit=_LONGEST)
        self.log(LogLine(level=level, text=line, event=event, job_id=self.job_id, fields=fields))
