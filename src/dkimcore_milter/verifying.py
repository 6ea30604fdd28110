"""A message that is verified: which signatures, what is written about them, what follows.

Which messages these are is left to `session`, and how a result is worded to `wording`.  On
every path forged Authentication-Results fields are taken out (RFC 8601 section 5).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.blocking import answer_at_hand, ask
from dkimcore.protocol import authres
from dkimcore.protocol.message import HeaderField
from dkimcore.protocol.result import Status, VerifyResults
from dkimcore.protocol.verify import Verification
from dkimcore.settings.model import Action
from dkimcore_milter.action import AddRecipient, DeleteField, DeleteRecipient, InsertField
from dkimcore_milter.limits import limit_reached, verification_limits_reached
from dkimcore_milter.logline import Level
from dkimcore_milter.metrics import Count
from dkimcore_milter.outcome import AtHand, conclude, software_field
from dkimcore_milter.printable import printable
from dkimcore_milter.resolving import message_resolver
from dkimcore_milter.resultlog import log_results
from dkimcore_milter.selection import select
from dkimcore_milter.wording import IGNORED, Option, wording, words
from dkimcore_milter.zones import zone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.result import SignatureResult
    from dkimcore_milter.action import Conclusion, Modification
    from dkimcore_milter.transaction import Transaction
    from dkimcore_milter.wording import Wording

__all__ = ["Cleaning", "MessageVerifying", "forged_fields"]

_LONGEST_NAME = 253  # RFC 1035 section 2.3.4
_RESULTS = {
    Status(count.labels[0]): count for count in Count if count.family == "signatures_verified"
}
_MALFORMED = "dkim=permerror (bad message/signature format)"


def forged_fields(transaction: Transaction, header: Header) -> tuple[DeleteField, ...]:
    """Name the Authentication-Results fields to delete, bottom up.

    To be asked at the end of the message: the MTA may tell its name late.

    Args:
        transaction: The message.
        header: Its header as received.
    """
    settings = transaction.engine.settings.verifying
    if settings.keep_results:
        return ()
    fields = header.positions(b"authentication-results")
    if not fields:
        return ()
    numbers = {position: number for number, position in enumerate(fields, 1)}
    engine = transaction.engine
    forged = authres.forged_positions(
        header,
        transaction.authserv_id,
        # No host's name is longer, and looking it up costs more than its length.
        also=lambda claimed: len(claimed) <= _LONGEST_NAME and engine.removes_results_of(claimed),
        only_dkim=not settings.remove_all_results,
    )
    return tuple(DeleteField(b"Authentication-Results", numbers[position]) for position in forged)


class Cleaning(AtHand):
    """Takes forged fields out of a message that is not verified.

    Args:
        transaction: The message.
        header: Its header as received.
        is_malformed: Whether it is to be told that the message is malformed.
    """

    __slots__ = ("_header", "_is_malformed", "_transaction")

    wants_body = False

    def __init__(self, transaction: Transaction, header: Header, *, is_malformed: bool) -> None:
        self._transaction = transaction
        self._header = header
        self._is_malformed = is_malformed

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body: nobody looks at them."""

    def finish(self) -> Conclusion:
        """End the message."""
        added: tuple[InsertField, ...] = ()
        if self._is_malformed:
            added = (_results_field(self._transaction, (), {}, otherwise=_MALFORMED),)
        deleted = forged_fields(self._transaction, self._header)
        return conclude(Action.ACCEPT, (*deleted, *added))


class MessageVerifying(AtHand):
    """Verifies one message.

    Args:
        transaction: The message.
        header: Its header as received.
        author: Its author, for MaximumSignaturesToVerify 0; None if it has none.
    """

    __slots__ = (
        *("_header", "_ignored", "_resolver", "_transaction", "_verification"),
        *("passed", "waits"),
    )

    passed: bool
    """Whether a signature passed; known when the message has ended."""

    waits: bool
    """Whether `ask` has to be called before the body: an answer is not at hand."""

    def __init__(self, transaction: Transaction, header: Header, *, author: Mailbox | None) -> None:
        engine = transaction.engine
        selection = select(transaction, header, author=author)
        self.passed = False
        self._transaction = transaction
        self._header = header
        self._ignored = selection.ignored
        self._verification = Verification(
            header, now=engine.now(), policy=engine.policy, positions=selection.positions
        )
        self._resolver = message_resolver(transaction)
        self.waits = not answer_at_hand(self._verification, self._resolver)

    @property
    def zone(self) -> str:
        """Whose name servers are asked first."""
        return zone(next(iter(self._verification.queries), ""))

    def ask(self) -> None:
        """Ask for the keys; this may take as long as a message may wait for the DNS."""
        engine = self._transaction.engine
        patience = engine.settings.resolving.message_timeout
        in_time = ask(self._verification, self._resolver, patience)
        self.waits = False
        if not in_time:
            text = f"time for key queries, {patience} seconds allowed"
            limit_reached(self._transaction, Count.LIMIT_MESSAGE_DNS_TIME, text)

    @property
    def wants_body(self) -> bool:
        """Whether a signature still depends on the body."""
        return self._verification.wants_body

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        self._verification.feed(chunk)

    def finish(self) -> Conclusion:
        """Judge the signatures, and write down what they came to."""
        verifying = self._transaction.engine.settings.verifying
        told = {result.position: IGNORED for result in self._ignored}
        results = self._verification.finish()
        verification_limits_reached(self._transaction, results.usage.limits)
        for result in results:
            told[result.position] = wording(result, verifying)
        results = _as_told(results, told)
        self.passed = results.passed
        self._count(results, told)
        log_results(self._transaction, results, told)
        engine = self._transaction.engine
        engine.diagnostics.write(self._transaction, results, header=self._header)
        everything: Sequence[SignatureResult] = results
        if self._ignored:
            everything = sorted((*results, *self._ignored), key=lambda result: result.position)
        added: tuple[InsertField, ...] = ()
        if everything or verifying.always_add_results:
            added = (_results_field(self._transaction, everything, told),)
        modifications: tuple[Modification, ...] = (
            *forged_fields(self._transaction, self._header),
            *added,
            *software_field(self._transaction),
        )
        return self._conclude(results, told, modifications)

    def _count(self, results: VerifyResults, told: Mapping[int, Wording]) -> None:
        """Count the signatures by what Authentication-Results says of them."""
        meter = self._transaction.meter
        for result in results:
            meter.count(_RESULTS[told[result.position].status])
        if not results and not self._ignored:
            meter.count(Count.VERIFIED_NONE)

    def _conclude(
        self,
        results: VerifyResults,
        told: Mapping[int, Wording],
        modifications: tuple[Modification, ...],
    ) -> Conclusion:
        """Apply the On-* option that the best result asks for."""
        actions = self._transaction.engine.settings.actions
        best = results.best
        option = Option.NO_SIGNATURE if best is None else told[best.position].option
        action = option.action(actions)
        failed = best is not None and option is not Option.NONE
        if best is not None and best.testing and option.is_bad_signature:
            # The domain is testing DKIM (RFC 6376 section 3.6.1, t=y).
            failed = False
            if action is not Action.QUARANTINE:
                action = Action.ACCEPT
        if failed and action is Action.ACCEPT and actions.quarantine:
            action = Action.QUARANTINE
        if best is None and (action is not Action.ACCEPT or self._logs_why):
            level = Level.DEBUG if action is Action.ACCEPT else Level.NOTICE
            self._transaction.say(level, "no signature data", event="not-signed")
        if failed and option.is_bad_signature and actions.redirect_failures_to is not None:
            modifications += _redirected(self._transaction, actions.redirect_failures_to)
        return conclude(
            action,
            modifications,
            text=option.text,
            temporary=option.temporary,
            reason="" if best is None else best.detail,
        )

    @property
    def _logs_why(self) -> bool:
        return self._transaction.engine.settings.logging.why


def _as_told(results: VerifyResults, told: Mapping[int, Wording]) -> VerifyResults:
    """A pass that a setting refuses speaks for the message as what it is called."""
    if all(told[one.position].status is Status.PASS for one in results if one.passed):
        return results
    return VerifyResults(
        (replace(one, status=told[one.position].status) if one.passed else one for one in results),
        usage=results.usage,
    )


def _results_field(
    transaction: Transaction,
    results: Sequence[SignatureResult],
    told: Mapping[int, Wording],
    *,
    otherwise: str = "dkim=none",
) -> InsertField:
    settings = transaction.engine.settings.verifying
    return InsertField(
        authres.render(
            transaction.authserv_id,
            results,
            words=lambda result: words(result, told[result.position]),
            header_b=not settings.no_header_b,
            job_id=transaction.job_id if settings.authserv_id_with_job_id else None,
            otherwise=otherwise,
        )
    )


def _redirected(transaction: Transaction, address: str) -> tuple[Modification, ...]:
    """Send the message to another recipient, and say to whom it was (RedirectFailuresTo)."""
    shown = (printable(recipient, limit=500) for recipient in transaction.addresses)
    fields = (InsertField(HeaderField.make("Original-Recipient", f"rfc822;{to}")) for to in shown)
    instead = f"<{address.removeprefix('<').removesuffix('>')}>".encode()
    removed = (DeleteRecipient(recipient) for recipient in dict.fromkeys(transaction.recipients))
    return (*fields, AddRecipient(instead), *removed)
