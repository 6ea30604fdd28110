"""Plays mail to a filter as Postfix does: the MTA's side of the milter protocol.

`deliver` plays a whole message, and its `Outcome` has all answers and the message as
Postfix has it afterwards; `MilterClient` sends one step at a time.  Versions 6 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.servers.milterconnection import MilterClient, open_socket
from tests.servers.miltermessage import apply_changes, split_message
from tests.servers.milterwire import (
    Change,
    MilterError,
    Negotiated,
    Outlook,
    Reply,
    Steps,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Delivery",
    "MilterClient",
    "MilterError",
    "Outcome",
    "Outlook",
    "Reply",
    "converse",
    "deliver",
    "open_socket",
]

CHUNK = 65535  # octets of body in one packet: MILTER_CHUNK_SIZE
CONNECT_MACROS = ("{daemon_name}", "{daemon_addr}", "v", "_")
SYMBOL_STEPS = {b"C": 0, b"H": 1, b"M": 2, b"R": 3, b"T": 4, b"E": 5, b"N": 6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The circumstances of a message: client, envelope, and what the MTA says of itself.

    Attributes:
        host: The client's name; its address in brackets if it has none.
        address: Its IP address; None: unknown; a path: a program on this host.
        sender: The envelope sender.
        recipients: The envelope recipients.
        macros: More macros: those of connect (``{daemon_name}``), of MAIL
            (``{auth_type}``) and any other, sent with MAIL.  None of them: a name with "".
        hostname: The MTA's name (``j``).
        queue_id: The queue id (``i``).
        received: The Received field that Postfix sets on top and filters do not see.
    """

    host: str = "client.example.org"
    address: str | None = "192.0.2.9"
    sender: bytes = b"<sender@example.org>"
    recipients: tuple[bytes, ...] = (b"<rcpt@example.net>",)
    macros: Mapping[str, str] = field(default_factory=dict)
    hostname: str = "mx.example.net"
    queue_id: str = "4XyZ3k1Qzbz1"
    received: bytes | None = b"Received: from client.example.org by mx.example.net; now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a message.

    Attributes:
        replies: The answers in order, with the step's name; fields and chunks of the body
            only where the answer is not CONTINUE.
        changes: The modifications.
        negotiated: What was agreed on.
        original: The message as it was sent.
        delivery: Its circumstances.
        progress: How often the filter said that it is still working.
    """

    replies: tuple[tuple[str, Reply], ...]
    changes: tuple[Change, ...]
    negotiated: Negotiated
    original: bytes
    delivery: Delivery
    progress: int = 0

    @property
    def reply(self) -> Reply:
        """The last answer: the decision."""
        return self.replies[-1][1]

    @property
    def step(self) -> str:
        """The step at which it was decided."""
        return self.replies[-1][0]

    def message(self) -> bytes:
        """Returns the message after the modifications, as Postfix has it, with CRLF."""
        received = self.delivery.received
        return apply_changes(
            self.original,
            self.changes,
            leading_space=bool(self.negotiated.steps & Steps.HDR_LEADSPC),
            hidden=() if received is None else (received,),
        )


def deliver(
    address: str,
    message: bytes,
    delivery: Delivery | None = None,
    *,
    version: int = 6,
    timeout: float = 10.0,
) -> Outcome:
    """Plays one connection with one message, as Postfix does.

    Args:
        address: The filter's socket; see `open_socket`.
        message: The message; CRLF or LF.
        delivery: Its circumstances.
        version: The protocol version.
        timeout: Seconds for each answer.

    Raises:
        MilterError: The filter does not keep to the protocol, or went away.
        OSError: Nobody listens, or there is no answer in time.
    """
    with MilterClient(address, version=version, timeout=timeout) as client:
        client.negotiate()
        return converse(client, message, delivery or Delivery())


def converse(
    client: MilterClient, message: bytes, delivery: Delivery, *, greeted: bool = False
) -> Outcome:
    """Plays one message on an open connection.

    Args:
        client: The connection.
        message: The message; CRLF or LF.
        delivery: Its circumstances.
        greeted: Whether an earlier message on this connection told who the client is; else
            the connection is negotiated and nothing more.
    """
    replies: list[tuple[str, Reply]] = []
    changes: tuple[Change, ...] = ()
    if not greeted:
        _greet(client, delivery, replies)
    if not replies or not _decided(replies):
        _envelope(client, delivery, replies)
    if not _decided(replies):
        changes = _content(client, message, delivery, replies)
    if replies[-1][0] not in ("connect", "helo"):
        client.abort()
    return Outcome(
        replies=tuple(replies),
        changes=changes,
        negotiated=client.negotiated,
        original=message,
        delivery=delivery,
        progress=client.progress,
    )


def _decided(replies: Sequence[tuple[str, Reply]]) -> bool:
    return replies[-1][1].final


def _wanted(
    client: MilterClient, command: bytes, delivery: Delivery, names: Sequence[str]
) -> dict[str, str]:
    """The macros of a step: Postfix's defaults, or those that the filter asked for."""
    have = {
        "j": delivery.hostname,
        "{daemon_name}": delivery.hostname,
        "v": "Postfix 3.7.11",
        "i": delivery.queue_id,
        **delivery.macros,
    }
    asked = dict(client.negotiated.symbols).get(SYMBOL_STEPS.get(command, -1))
    if asked is not None:
        names = [name if len(name) == 1 else f"{{{name.strip('{}')}}}" for name in asked.split()]
    return {name: have[name] for name in names if have.get(name)}


def _greet(client: MilterClient, delivery: Delivery, replies: list[tuple[str, Reply]]) -> None:
    client.macros(b"C", _wanted(client, b"C", delivery, ("j", *CONNECT_MACROS)))
    replies.append(("connect", client.connect(delivery.host, delivery.address, 40404)))
    if not _decided(replies):
        client.macros(b"H", {})
        replies.append(("helo", client.helo(delivery.host.strip("[]"))))


def _envelope(client: MilterClient, delivery: Delivery, replies: list[tuple[str, Reply]]) -> None:
    others = [name for name in delivery.macros if name not in CONNECT_MACROS]
    client.macros(b"M", _wanted(client, b"M", delivery, ["{mail_addr}", *others]))
    replies.append(("mail", client.mail(delivery.sender)))
    for recipient in delivery.recipients:
        if _decided(replies):
            return
        client.macros(b"R", _wanted(client, b"R", delivery, ("i",)))
        replies.append(("rcpt", client.rcpt(recipient)))
    if not _decided(replies):
        client.macros(b"T", _wanted(client, b"T", delivery, ("i",)))
        replies.append(("data", client.data()))


def _content(
    client: MilterClient, message: bytes, delivery: Delivery, replies: list[tuple[str, Reply]]
) -> tuple[Change, ...]:
    fields, _, body = split_message(message)
    for text in fields:
        name, _, value = text.partition(b":")
        client.macros(b"L", _wanted(client, b"N", delivery, ("i",)))
        reply = client.header(name.rstrip(b" \t"), value)
        if reply.final:
            replies.append(("header", reply))
            return ()
    client.macros(b"N", _wanted(client, b"N", delivery, ("i",)))
    replies.append(("eoh", client.eoh()))
    for start in range(0, len(body), CHUNK):
        if _decided(replies):
            return ()
        client.macros(b"B", _wanted(client, b"E", delivery, ("i",)))
        reply = client.body(body[start : start + CHUNK])
        if reply.outlook is not Outlook.CONTINUE:
            replies.append(("body", reply))
    if _decided(replies):
        return ()
    client.macros(b"E", _wanted(client, b"E", delivery, ("i",)))
    changes, reply = client.eom()
    replies.append(("eom", reply))
    return changes
