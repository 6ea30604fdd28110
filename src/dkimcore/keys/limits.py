"""What an endpoint may be asked for at once, and how patiently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dkimcore.keys.sections import BackendSection

__all__ = ["EndpointLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLimits:
    """What an endpoint may be asked for at once, and how patiently.

    Attributes:
        threads: Calls under way.
        queue: Signatures that wait for a call.
        attempts: How often something is asked for.
        connect_timeout: Seconds.
        read_timeout: Seconds.
    """

    threads: int = 16
    # Some seconds of mail at the rate that a backend is good for; what waits longer is too late.
    queue: int = 1024
    attempts: int = 2
    connect_timeout: float = 1.0
    read_timeout: float = 1.5

    @classmethod
    def of(cls, section: BackendSection, *, threads: int = 16) -> EndpointLimits:
        """Read them from a section.

        Args:
            section: The section.
            threads: What holds where it says nothing.

        Raises:
            ConfigError: A value cannot be.
        """
        own = cls()
        return cls(
            threads=section.integer("threads", threads, minimum=1, maximum=256),
            queue=section.integer("queue", own.queue, minimum=1, maximum=65_536),
            attempts=section.integer("attempts", own.attempts, minimum=1, maximum=5),
            connect_timeout=section.number(
                "connect_timeout", own.connect_timeout, minimum=0.05, maximum=60.0
            ),
            read_timeout=section.number(
                "read_timeout", own.read_timeout, minimum=0.05, maximum=60.0
            ),
        )
