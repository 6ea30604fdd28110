"""The log: syslog as opendkim(8) writes it, or JSON lines on standard output.

Options Syslog, SyslogFacility, SyslogName and DkimcoreLogFormat.  A line can hold what a
stranger sent, so whatever is not printable is escaped, line ends first, and its length is
limited: one `LogLine` is one line of the log, whatever it says.  Which lines there are, and
which options ask for them, is decided where they are made.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dkimcore.settings.model import LogFormat
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.meter import Meter
from dkimcore_milter.metrics import Count
from dkimcore_milter.outlets import StandardOutput, SyslogSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.settings.model import Settings
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.outlets import Outlet

__all__ = ["MAX_JSON_OCTETS", "MAX_TEXT_OCTETS", "escaped", "make_log"]

MAX_TEXT_OCTETS = 4000
"""Octets of a line's text, its queue id included; half of what rsyslog takes by default."""

MAX_JSON_OCTETS = 4096
"""Octets of a line of JSON: Linux' PIPE_BUF, so that the lines of several workers never mix."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# The codes of syslog(3), by the names of syslog.conf(5).
_FACILITIES = {
    **{"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7},
    **{"uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11},
    **{f"local{number}": 16 + number for number in range(8)},
}


def make_log(
    settings: Settings, *, name: str, address: str = "/dev/log", descriptor: int = 1
) -> LogSink:
    """Make the log that settings ask for.

    Nothing is raised, now or later: without a syslog daemon, or with a reader of standard
    output that has gone away, lines are lost, and the number of lost ones is logged as soon
    as that works again.

    Args:
        settings: Says what is logged, and where.
        name: The name of the program.
        address: The socket of the syslog daemon.
        descriptor: Where JSON lines go.
    """
    logging = settings.logging
    if logging.format is LogFormat.JSON:
        return _Log(StandardOutput(descriptor), _json)
    if not logging.enabled:
        return _drop
    facility = _FACILITIES.get(logging.facility.lower(), _FACILITIES["mail"])
    ident = escaped(logging.name or name)
    return _Log(SyslogSocket(address), _SyslogFormat(facility=facility, ident=ident))


def escaped(text: str) -> str:
    """Replace what is not printable, line ends included, by escapes such as ``\\x0a``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(ord(char)) for char in text)


class _Log:
    """A `LogSink` that counts what was lost."""

    def __init__(self, outlet: Outlet, encode: Callable[[LogLine], bytes]) -> None:
        self._outlet = outlet
        self._encode = encode
        self._lost = 0
        self._meter = Meter.alone()

    def measure(self, meter: Meter) -> None:
        """Count lost lines there, too."""
        self._meter = meter

    def __call__(self, line: LogLine) -> None:
        if not self._outlet.send(self._encode(line)):
            self._lost += 1
            self._meter.count(Count.LOG_LINES_LOST)
        elif self._lost:
            lost, self._lost = self._lost, 0
            self(
                LogLine(
                    level=Level.WARNING,
                    text=f"{lost} lines were lost before this one: the log could not be written",
                    event="lines-lost",
                    fields={"lines": lost},
                )
            )


def _drop(line: LogLine) -> None:
    """The log where there is none: Syslog no."""


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cut(text: str, octets: int) -> str:
    if len(text) * 4 <= octets:  # of UTF-8 at most
        return text
    encoded = text.encode()
    if len(encoded) <= octets:
        return text
    return encoded[: octets - 3].decode(errors="ignore") + "..."


class _SyslogFormat:
    """Lays lines out as syslog(3) does, in the format of RFC 3164.

    The time of day is laid out once a second, which took half of a line's time.
    """

    def __init__(self, *, facility: int, ident: str) -> None:
        self._levels = {level: f"<{facility * 8 + level}>" for level in Level}
        self._ident = ident
        self._last = (-1, "")  # a second, and its text; replaced as one, for threads

    def __call__(self, line: LogLine) -> bytes:
        text = _cut(escaped(str(line)), MAX_TEXT_OCTETS)
        head = f"{self._levels[line.level]}{self._when()} {self._ident}[{os.getpid()}]"
        return f"{head}: {text}".encode()

    def _when(self) -> str:
        second = int(time.time())
        known, text = self._last
        if known != second:
            now = time.localtime(second)
            text = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {time.strftime('%H:%M:%S', now)}"
            self._last = (second, text)
        return text


def _json(line: LogLine) -> bytes:
    """Lay a line out as a JSON object, with a time as in RFC 3339."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    job_id = None if line.job_id is None else _cut(escaped(line.job_id), MAX_JSON_OCTETS // 16)
    record: dict[str, object] = {
        "time": now.replace("+00:00", "Z"),
        "level": line.level.name.lower(),
        "event": line.event,
        "job_id": job_id,
        "text": _cut(escaped(line.text), MAX_TEXT_OCTETS),
        "fields": {
            name: escaped(value) if isinstance(value, str) else value
            for name, value in line.fields.items()
        },
    }
    encoded = _encoded(record)
    if len(encoded) > MAX_JSON_OCTETS:
        record |= {"fields": {}, "cut": True}
        encoded = _encoded(record)
    octets = MAX_TEXT_OCTETS
    while len(encoded) > MAX_JSON_OCTETS:  # quotes and backslashes take two octets each
        octets //= 2
        encoded = _encoded(record | {"text": _cut(escaped(line.text), octets)})
    return encoded


def _encoded(record: dict[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
