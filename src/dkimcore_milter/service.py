"""What connections are served with: one value for all of a worker's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.meter import Meter

__all__ = ["Service"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What new connections get.

    Attributes:
        engine: What decides.
        log: Takes lines.
        meter: Counts what happens.
        inet: Whether the socket is a TCP socket.
    """

    engine: Engine
    log: LogSink
    meter: Meter
    inet: bool
