"""What a milter can answer and change: plain values that say nothing of its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from dkimcore.protocol.message import HeaderField

__all__ = [
    "ACCEPT",
    "CONTINUE",
    "SKIP",
    "AddRecipient",
    "Conclusion",
    "DeleteField",
    "DeleteRecipient",
    "InsertField",
    "Modification",
    "Quarantine",
    "Reply",
    "Verdict",
]


class Verdict(Enum):
    """What the MTA is to do next."""

    CONTINUE = "continue"
    SKIP = "skip"  # send no more of the body
    ACCEPT = "accept"
    DISCARD = "discard"
    REJECT = "reject"
    TEMPFAIL = "tempfail"


@dataclass(frozen=True, slots=True)
class Reply:
    """A verdict and, for REJECT and TEMPFAIL, what the client is told.

    Attributes:
        verdict: The verdict.
        code: The SMTP reply code; "" leaves it to the MTA.
        enhanced: The enhanced status code (RFC 3463).
        text: One line of printable ASCII.
    """

    verdict: Verdict
    code: str = ""
    enhanced: str = ""
    text: str = ""


CONTINUE = Reply(Verdict.CONTINUE)
ACCEPT = Reply(Verdict.ACCEPT)
SKIP = Reply(Verdict.SKIP)


@dataclass(frozen=True, slots=True)
class InsertField:
    """Put a header field on top of the message, above all others.

    Attributes:
        field: The field, folded with CRLF.
    """

    field: HeaderField


@dataclass(frozen=True, slots=True)
class DeleteField:
    """Delete a header field.

    Attributes:
        name: Its name.
        index: Which field of that name, counted from 1 at the top, as the message was
            received.  Deletions come bottom up, or they would move each other.
    """

    name: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Hold the message in the MTA's queue.

    Attributes:
        reason: One line for the postmaster.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """Send the message to one more recipient.

    Attributes:
        address: The envelope address, in angle brackets.
    """

    address: bytes


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """Take a recipient away.

    Attributes:
        address: The envelope address, in angle brackets, as it was given.
    """

    address: bytes


Modification: TypeAlias = InsertField | DeleteField | Quarantine | AddRecipient | DeleteRecipient


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How a message ends.

    Attributes:
        modifications: What to change, in this order; nothing unless the verdict is ACCEPT.
        reply: The verdict.
    """

    modifications: tuple[Modification, ...]
    reply: Reply
