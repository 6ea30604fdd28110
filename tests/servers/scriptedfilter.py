"""A filter that says what a test tells it to, and keeps what an MTA sends it.

It is spoken to by Postfix and by `tests.servers.milterclient`, so that a test can compare
the two.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.servers.closing import Closing
from tests.servers.milterwire import SILENT, FilterActions, Steps, pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

__all__ = ["Script", "ScriptedFilter"]

ACTIONS = FilterActions.ADDHDRS | FilterActions.CHGHDRS | FilterActions.CHGBODY
NO_STEPS = Steps(0)
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What the filter says.

    Attributes:
        steps: The steps it does without or does not answer.
        replies: Letter of a step to the packet that answers it; else it is CONTINUE.
        changes: Packets before the final answer.
    """

    steps: Steps = NO_STEPS
    replies: Mapping[bytes, bytes] = field(default_factory=dict)
    changes: Sequence[bytes] = ()


class ScriptedFilter(Closing):
    """Listens on loopback while its ``with`` block lasts.

    Attributes:
        script: What it says; may be changed between connections.
        received: Letter and content of each packet so far, in order.
    """

    def __init__(self) -> None:
        self.script = Script()
        self.received: list[tuple[bytes, bytes]] = []
        self._agreed = NO_STEPS
        self._server = socket.create_server((HOST, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"inet:{self._server.getsockname()[1]}@{HOST}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join(10)
        self._server.close()

    def _serve(self) -> None:
        """One connection after the other: the tests make one at a time."""
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            # An MTA may leave in the middle of a message, and then nobody reads the answer.
            quiet = contextlib.suppress(ConnectionError)
            with quiet, connection, connection.makefile("rb") as reader:
                while head := reader.read(4):
                    packet = reader.read(struct.unpack(">I", head)[0])
                    answer = self._answer(packet[:1], packet[1:])
                    if packet[:1] == b"Q":
                        break
                    connection.sendall(answer)

    def _answer(self, command: bytes, data: bytes) -> bytes:
        self.received.append((command, data))
        if command == b"O":
            version, _, steps = struct.unpack(">III", data[:12])
            self._agreed = self.script.steps & Steps(steps)
            return pack(b"O", struct.pack(">III", version, ACTIONS, self._agreed))
        if command in b"DAQK" or self._agreed & SILENT.get(command, NO_STEPS):
            return b""
        if command == b"E":
            return b"".join(self.script.changes) + self.script.replies.get(b"E", pack(b"a"))
        return self.script.replies.get(command, pack(b"c"))
