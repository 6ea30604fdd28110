"""Which signatures of a message are verified (MaximumSignaturesToVerify, TrustSignaturesFrom).

With a number N: the first N from the top, those of trusted domains before all others.  With 0:
those of the author's domain and of trusted domains.  What is left is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.protocol.result import SignatureResult, Status
from dkimcore.protocol.signature import Signature
from dkimcore_milter.logline import Level
from dkimcore_milter.metrics import Count

if TYPE_CHECKING:
    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.protocol.message import Header
    from dkimcore_milter.transaction import Transaction

__all__ = ["Selection", "select"]

# A field that tells all of ten thousand signatures helps nobody; real mail has four.
_REPORTED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which signatures are verified.

    Attributes:
        positions: DKIM-Signature fields to verify, counted from 0 at the top, in order.
        ignored: Results for others, as far as they are reported.
    """

    positions: tuple[int, ...]
    ignored: tuple[SignatureResult, ...] = ()


def select(transaction: Transaction, header: Header, *, author: Mailbox | None) -> Selection:
    """Choose the signatures to verify, and log what is ignored.

    Args:
        transaction: The message.
        header: Its header.
        author: Its author; None if it has none.
    """
    settings = transaction.engine.settings.verifying
    count = len(header.positions(b"dkim-signature"))
    maximum = settings.maximum_signatures
    if count <= maximum:  # nearly all mail
        return Selection(positions=tuple(range(count)))
    if maximum and settings.trusted_signers is None:
        wanted = list(range(count))
    else:
        wanted = _wanted(transaction, header, author=author, only_known=not maximum)
    # Without a number the limit is ours: no message may cost what its sender likes.
    limit = maximum or transaction.engine.policy.limits.signatures
    positions = tuple(wanted[:limit])
    if len(wanted) > limit:
        transaction.meter.count(Count.LIMIT_SIGNATURES)  # what is ignored is logged anyway
    rest = sorted(frozenset(range(count)).difference(positions))
    if maximum and rest:
        text = f"ignoring {len(rest)} signature(s)"
        transaction.say(Level.INFO, text, event="signatures-ignored", count=len(rest))
    ignored = tuple(_unjudged(transaction, header, position) for position in rest[:_REPORTED])
    if not maximum:
        for result in ignored:
            if result.signature is not None:
                domain = str(result.signature.domain)
                text = f"ignoring signature from {domain}"
                transaction.say(Level.INFO, text, event="signature-ignored", domain=domain)
    return Selection(positions=positions, ignored=ignored)


def _wanted(
    transaction: Transaction, header: Header, *, author: Mailbox | None, only_known: bool
) -> list[int]:
    """Positions of trusted signatures, then of others; of the author's alone if so wanted."""
    trusted, others = [], []
    for position in range(len(header.positions(b"dkim-signature"))):
        signature = _read(transaction, header, position)
        domain = None if signature is None else signature.domain.ascii
        if domain is not None and transaction.engine.trusts_signer(domain):
            trusted.append(position)
        elif not only_known or (author is not None and domain == author.domain):
            others.append(position)
    return trusted + others


def _read(transaction: Transaction, header: Header, position: int) -> Signature | None:
    value = header[header.positions(b"dkim-signature")[position]].value
    too_long = len(value) > transaction.engine.policy.limits.signature_octets
    return None if too_long else Signature.read(value)


def _unjudged(transaction: Transaction, header: Header, position: int) -> SignatureResult:
    return SignatureResult(
        status=Status.NEUTRAL,
        cause=None,
        detail="not evaluated",
        position=position,
        signature=_read(transaction, header, position),
    )
