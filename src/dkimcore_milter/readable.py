"""Waiting for sockets by poll(2), which takes descriptors of any number; select(2) takes 1024."""

from __future__ import annotations

import math
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

__all__ = ["readable"]


def readable(sockets: Iterable[socket.socket], timeout: float | None) -> list[socket.socket]:
    """Wait until there is something to read, or the end of something.

    It needs no descriptor of its own: the supervisor waits also when none is left.

    Args:
        sockets: Where to look; open ones.
        timeout: Seconds; None means until there is something.

    Returns:
        Those that can be read; none if the time was up.
    """
    numbers = {sock.fileno(): sock for sock in sockets}
    poll = select.poll()
    for number in numbers:
        poll.register(number, select.POLLIN)
    milliseconds = None if timeout is None else math.ceil(max(0.0, timeout) * 1000)
    return [numbers[number] for number, _ in poll.poll(milliseconds)]
