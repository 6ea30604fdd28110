"""A connection to a filter: the MTA's side of the milter protocol, step by step.

Blocking, with a timeout for each answer.  What a filter switched off is not sent, and
where it declared that it does not answer, no answer is waited for.
`tests.servers.milterclient` plays whole messages with it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING

from tests.servers.closing import Closing
from tests.servers.milterwire import (
    Change,
    FilterActions,
    MilterError,
    Negotiated,
    Outlook,
    Progress,
    Reply,
    Steps,
    pack,
    parse_answer,
    parse_negotiation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

__all__ = ["MilterClient", "open_socket"]

CONTINUE = Reply(Outlook.CONTINUE)


def open_socket(address: str, *, timeout: float = 10.0) -> socket.socket:
    """Connects to a filter.

    Args:
        address: As in OpenDKIM's Socket option: ``unix:PATH``, ``local:PATH``,
            ``inet:PORT@HOST`` or ``inet6:PORT@HOST``.
        timeout: Seconds for each read and write.

    Raises:
        OSError: Nobody listens there.
    """
    kind, _, rest = address.partition(":")
    if kind in ("unix", "local"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(rest)
        except OSError:
            connection.close()
            raise
        return connection
    port, _, host = rest.partition("@")
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class MilterClient(Closing):
    """One connection to a filter.

    Example::

        with MilterClient("unix:/tmp/filter") as client:
            client.negotiate()
            client.connect("mail.example.org", "192.0.2.1", 2525)
    """

    def __init__(self, address: str, *, version: int = 6, timeout: float = 10.0) -> None:
        """Connects.

        Args:
            address: See `open_socket`.
            version: The protocol version to offer: 6 or 2.
            timeout: Seconds for each answer.
        """
        self._socket = open_socket(address, timeout=timeout)
        self._version = version
        self._skipped: bytes | None = None
        self.negotiated = Negotiated(version, FilterActions(0), Steps(0), ())
        self.progress = 0  # how often the filter said that it is still working

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Says goodbye and closes the connection."""
        self.quit()

    def negotiate(
        self, *, actions: FilterActions | None = None, steps: Steps | None = None
    ) -> Negotiated:
        """Offers actions and steps; everything that the version knows unless said otherwise.

        Raises:
            MilterError: The filter wants what was not offered.
        """
        old = self._version < 6
        if actions is None:
            actions = FilterActions(0x3F) if old else FilterActions.ALL
        if steps is None:
            steps = Steps.VERSION_2 if old else Steps.ALL
        self._send(b"O", struct.pack(">III", self._version, actions, steps))
        command, data = self._receive()
        if command != b"O":
            raise MilterError(f"answer {command!r} to the negotiation")
        self.negotiated = parse_negotiation(data)
        if self.negotiated.actions & ~actions:
            raise MilterError(f"wants {self.negotiated.actions!r} of {actions!r}")
        return self.negotiated

    def macros(self, command: bytes, macros: Mapping[str, str]) -> None:
        """Defines the macros of a step.

        Args:
            command: The step's letter.
            macros: Name to value; names of more than one letter in braces.
        """
        pairs = b"".join(
            part.encode("utf-8", "surrogateescape") + b"\0"
            for pair in macros.items()
            for part in pair
        )
        self._send(b"D", command + pairs)

    def connect(self, host: str, address: str | None, port: int = 0) -> Reply:
        """Tells who connected.

        Args:
            host: The client's name.
            address: Its IP address; None: unknown; with a ``/``: a program on this host.
            port: Its port.
        """
        data = host.encode() + b"\0"
        if address is None:
            data += b"U"
        elif address.startswith("/"):
            data += b"L" + struct.pack(">H", 0) + address.encode() + b"\0"
        else:
            family = b"6" if ipaddress.ip_address(address).version == 6 else b"4"
            data += family + struct.pack(">H", port) + address.encode() + b"\0"
        return self._step(b"C", data, off=Steps.NOCONNECT, mute=Steps.NR_CONN)

    def helo(self, name: str) -> Reply:
        """Tells the client's HELO."""
        return self._step(b"H", name.encode() + b"\0", off=Steps.NOHELO, mute=Steps.NR_HELO)

    def mail(self, sender: bytes, *arguments: bytes) -> Reply:
        """Tells the envelope sender, in angle brackets, and ESMTP's arguments."""
        data = b"".join(part + b"\0" for part in (sender, *arguments))
        return self._step(b"M", data, off=Steps.NOMAIL, mute=Steps.NR_MAIL)

    def rcpt(self, recipient: bytes, *arguments: bytes) -> Reply:
        """Tells an envelope recipient, in angle brackets, and ESMTP's arguments."""
        data = b"".join(part + b"\0" for part in (recipient, *arguments))
        return self._step(b"R", data, off=Steps.NORCPT, mute=Steps.NR_RCPT)

    def data(self) -> Reply:
        """Tells that the message follows."""
        return self._step(b"T", b"", off=Steps.NODATA, mute=Steps.NR_DATA)

    def header(self, name: bytes, value: bytes) -> Reply:
        """Sends a field.

        Args:
            name: Its name.
            value: What stands behind the colon.  Folds become LF, and one leading blank
                goes away unless the filter asked for it.
        """
        value = value.replace(b"\r\n", b"\n")
        if not self.leading_space:
            value = value.removeprefix(b" ")
        packet = name + b"\0" + value.partition(b"\0")[0] + b"\0"
        return self._step(b"L", packet, off=Steps.NOHDRS, mute=Steps.NR_HDR)

    def eoh(self) -> Reply:
        """Ends the header."""
        return self._step(b"N", b"", off=Steps.NOEOH, mute=Steps.NR_EOH)

    def body(self, chunk: bytes) -> Reply:
        """Sends a part of the body, of at most 65535 octets; nothing after a SKIP."""
        if self._skipped == b"B":
            return CONTINUE
        reply = self._step(b"B", chunk, off=Steps.NOBODY, mute=Steps.NR_BODY)
        if reply.outlook is Outlook.SKIP:
            if not self.negotiated.steps & Steps.SKIP:
                raise MilterError("SKIP was not agreed")
            self._skipped = b"B"
        return reply

    def eom(self) -> tuple[tuple[Change, ...], Reply]:
        """Ends the message.

        Returns:
            The modifications, and the decision.
        """
        self._skipped = None
        self._send(b"E", b"")
        changes: list[Change] = []
        while True:
            answer = self._answer()
            if isinstance(answer, Reply):
                return tuple(changes), answer
            if not isinstance(answer, Progress):
                changes.append(answer)

    def abort(self) -> None:
        """Gives the message up; the connection stays."""
        self._skipped = None
        self._send(b"A", b"")

    def quit(self) -> None:
        """Ends the connection; again is harmless."""
        with contextlib.suppress(OSError):
            self._send(b"Q", b"")
        self._socket.close()

    @property
    def leading_space(self) -> bool:
        """Whether values carry the white space behind the colon."""
        return bool(self.negotiated.steps & Steps.HDR_LEADSPC)

    def _step(self, command: bytes, data: bytes, *, off: Steps, mute: Steps) -> Reply:
        if self.negotiated.steps & off or (command == b"T" and self.negotiated.version < 4):
            return CONTINUE
        self._send(command, data)
        if self.negotiated.steps & mute:
            return CONTINUE
        while True:
            answer = self._answer()
            if isinstance(answer, Reply):
                return answer
            if not isinstance(answer, Progress):
                raise MilterError(f"{answer} before the end of the message")

    def _answer(self) -> Reply | Change | Progress:
        answer = parse_answer(*self._receive())
        self.progress += isinstance(answer, Progress)
        return answer

    def _send(self, command: bytes, data: bytes) -> None:
        self._socket.sendall(pack(command, data))

    def _receive(self) -> tuple[bytes, bytes]:
        (length,) = struct.unpack(">I", self._exactly(4))
        if not 1 <= length <= 1 << 20:
            raise MilterError(f"a packet of {length} octets")
        packet = self._exactly(length)
        return packet[:1], packet[1:]

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            if not part:
                raise MilterError("the filter closed the connection")
            parts += part
        return bytes(parts)
