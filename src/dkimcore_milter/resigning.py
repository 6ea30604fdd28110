"""A message that is verified and then signed again, for whom it is sent on (ResignMailTo).

It is signed only if a signature of it passed, unless ResignAll is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore_milter.action import Conclusion, DeleteField, Verdict

if TYPE_CHECKING:
    from dkimcore_milter.signing import MessageSigning
    from dkimcore_milter.transaction import Transaction
    from dkimcore_milter.verifying import MessageVerifying

__all__ = ["Resigning"]


class Resigning:
    """Verifies and signs one message.

    Args:
        transaction: The message.
        verifying: How it is verified.
        signing: How it is signed.
    """

    wants_body = True

    def __init__(
        self, transaction: Transaction, *, verifying: MessageVerifying, signing: MessageSigning
    ) -> None:
        self._all = transaction.engine.settings.signing.resign_all
        self._verifying = verifying
        self._signing = signing

    @property
    def may_be_slow(self) -> bool:
        """Whether a key is kept elsewhere."""
        return self._signing.may_be_slow

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        if self._verifying.wants_body:
            self._verifying.feed(chunk)
        self._signing.feed(chunk)

    def finish(self) -> Conclusion:
        """End the message."""
        judged = self._verifying.finish()
        if judged.reply.verdict is not Verdict.ACCEPT:
            return judged
        if not (self._verifying.passed or self._all):
            return judged
        signed = self._signing.finish()
        if signed.reply.verdict is not Verdict.ACCEPT:
            return signed
        both = dict.fromkeys((*judged.modifications, *signed.modifications))
        deleted = [change for change in both if isinstance(change, DeleteField)]
        # Deletions first: they count fields as they were received.
        rest = [change for change in both if not isinstance(change, DeleteField)]
        return Conclusion((*deleted, *rest), signed.reply)
