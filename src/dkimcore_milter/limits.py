"""The limits on what one message may cost: counted and logged where one is reached.

What then becomes of the message is decided where the limit is enforced; those on connections,
packets and threads are the server's.  Which limits there are, their options and their
precedents stand in the page "Limits and defaults".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore_milter.logline import Level
from dkimcore_milter.metrics import Count

if TYPE_CHECKING:
    from dkimcore_milter.transaction import Transaction

__all__ = ["VERIFICATION", "limit_reached", "verification_limits_reached"]

VERIFICATION: dict[str, Count] = {
    "signatures": Count.LIMIT_SIGNATURES,
    "queries": Count.LIMIT_QUERIES,
    "signature_octets": Count.LIMIT_SIGNATURE_OCTETS,
    "signed_fields": Count.LIMIT_SIGNED_FIELDS,
    "key_records": Count.LIMIT_KEY_RECORDS,
}
"""What counts the limits of `dkimcore.protocol.policy.Limits`, by their names there."""


def limit_reached(transaction: Transaction, limit: Count, text: str) -> None:
    """Count that a message reached a limit, and say so.

    Args:
        transaction: The message.
        limit: Counts the limit.
        text: What was too much, for the log.
    """
    transaction.meter.count(limit)
    name = limit.labels[0]
    transaction.say(Level.NOTICE, f"limit reached: {text}", event="limit-reached", limit=name)


def verification_limits_reached(transaction: Transaction, limits: tuple[str, ...]) -> None:
    """Count the limits that verifying a message reached, and say so.

    Args:
        transaction: The message.
        limits: Fields of `dkimcore.protocol.policy.Limits`.
    """
    allowed = transaction.engine.policy.limits
    for name in limits:
        if name in VERIFICATION:
            text = f"{name.replace('_', ' ')}, {getattr(allowed, name)} allowed"
            limit_reached(transaction, VERIFICATION[name], text)
