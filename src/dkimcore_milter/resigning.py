"""A message that is verified and then signed again, for whom it is sent on (ResignMailTo).

It is signed only if a signature of it passed, unless ResignAll is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore_milter.action import Conclusion, DeleteField, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self._judged: Conclusion | None = None

    @property
    def may_be_slow(self) -> bool:
        """Whether a key is kept elsewhere."""
        return self._signing.may_be_slow

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        if self._verifying.wants_body:
            self._verifying.feed(chunk)
        self._signing.feed(chunk)

    def begin(self, notify: Callable[[], None]) -> Conclusion | None:
        """End the message as far as its keys need not be waited for (see `Work.begin`)."""
        judged = self._judge()
        if not self._is_signed(judged):
            return judged
        self._signing.begin(notify)
        return None

    def complete(self) -> Conclusion | None:
        """Add the signatures (see `Work.complete`)."""
        signed = self._signing.complete()
        return None if signed is None else self._joined(signed)

    def finish(self) -> Conclusion:
        """End the message."""
        judged = self._judge()
        return self._joined(self._signing.finish()) if self._is_signed(judged) else judged

    def _judge(self) -> Conclusion:
        """Verify it, once."""
        if self._judged is None:
            self._judged = self._verifying.finish()
        return self._judged

    def _is_signed(self, judged: Conclusion) -> bool:
        """Whether it is signed again."""
        if judged.reply.verdict is not Verdict.ACCEPT:
            return False
        return self._verifying.passed or self._all

    def _joined(self, signed: Conclusion) -> Conclusion:
        """Join what verifying and signing change."""
        judged = self._judge()
        if signed.reply.verdict is not Verdict.ACCEPT:
            return signed
        both = dict.fromkeys((*judged.modifications, *signed.modifications))
        deleted = [change for change in both if isinstance(change, DeleteField)]
        # Deletions first: they count fields as they were received.
        rest = [change for change in both if not isinstance(change, DeleteField)]
        return Conclusion((*deleted, *rest), signed.reply)
