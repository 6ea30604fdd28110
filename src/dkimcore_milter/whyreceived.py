"""What verifying would look at: a part of `why`.  The DNS is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.protocol.signature import Signature
from dkimcore_milter.printable import printable
from dkimcore_milter.selection import select
from dkimcore_milter.verifying import Cleaning

if TYPE_CHECKING:
    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.protocol.message import Header
    from dkimcore_milter.explanation import Steps
    from dkimcore_milter.transaction import Transaction

__all__ = ["say_forged", "say_signatures"]


def say_signatures(
    steps: Steps, transaction: Transaction, header: Header, *, author: Mailbox | None
) -> None:
    """Say which signatures would be verified, and what is decided about mail without any.

    Args:
        steps: Where to say it.
        transaction: The message.
        header: Its header.
        author: Its author; None if it has none.
    """
    say_forged(steps, transaction, header)
    positions = header.positions(b"dkim-signature")
    verified = select(transaction, header, author=author).positions
    for number in verified:
        steps.say(
            "signature", f"{number + 1}: {_described(transaction, header, positions[number])}"
        )
    ignored = len(positions) - len(verified)
    if ignored:
        text = f"{ignored} more are not verified (MaximumSignaturesToVerify)"
        steps.say("signature", text)
    if not positions:
        action = transaction.engine.settings.actions.no_signature
        steps.say("signature", f"there is none: On-NoSignature is {action}", decides=True)


def say_forged(steps: Steps, transaction: Transaction, header: Header) -> None:
    """Say which Authentication-Results fields would be deleted.

    Args:
        steps: Where to say it.
        transaction: The message.
        header: Its header.
    """
    forged = Cleaning(transaction, header, is_malformed=False).finish().modifications
    if forged:
        name = printable(transaction.authserv_id)
        text = f"{len(forged)} Authentication-Results fields that claim to be {name}'s are deleted"
        steps.say("results", text)


def _described(transaction: Transaction, header: Header, position: int) -> str:
    value = header[position].value
    limit = transaction.engine.policy.limits.signature_octets
    signature = None if len(value) > limit else Signature.read(value)
    if signature is None:
        return "it cannot be parsed"
    record = f"{signature.selector.ascii}._domainkey.{signature.domain.ascii}"
    return f"d={signature.domain} a={signature.algorithm}, by the record at {record}"
