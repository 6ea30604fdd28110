"""Who is signed, who is verified, who is left alone: decided when a header is complete.

OpenDKIM's order of questions; how a message is then signed or verified is left to `signing`
and `verifying`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.message import Header
from dkimcore_milter.action import ACCEPT, Conclusion, Reply, Verdict
from dkimcore_milter.engine import BadAuthor, NoAuthor
from dkimcore_milter.fieldcounts import wrong_counts
from dkimcore_milter.keyproblems import Unsigned, table_error, unsignable
from dkimcore_milter.logline import Level
from dkimcore_milter.outcome import Deferred, Settled
from dkimcore_milter.resigning import Resigning
from dkimcore_milter.signing import MessageSigning, start_signing
from dkimcore_milter.transaction import Mode
from dkimcore_milter.verifying import Cleaning, MessageVerifying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore_milter.engine import Choice, Origin
    from dkimcore_milter.outcome import Work
    from dkimcore_milter.peer import Macros, Peer
    from dkimcore_milter.transaction import Transaction

__all__ = ["decide"]

_LEFT_ALONE = Settled(Conclusion((), ACCEPT))

# What divides a field, or joins it to the one above.
_LINE_END = re.compile(rb"\r\n(?![ \t])|\A[ \t]+")


def decide(
    transaction: Transaction,
    fields: Sequence[tuple[bytes, bytes]],
    *,
    peer: Peer,
    macros: Macros,
) -> Work | Deferred:
    """Say what is done with a message.

    Args:
        transaction: The message.
        fields: Its header fields: names, and the octets behind the colons.
        peer: The client.
        macros: Gives the MTA's macros.
    """
    return _Decision(transaction, fields, peer=peer, macros=macros).work()


class _Decision:
    def __init__(
        self,
        transaction: Transaction,
        fields: Sequence[tuple[bytes, bytes]],
        *,
        peer: Peer,
        macros: Macros,
    ) -> None:
        self._engine = transaction.engine
        self._settings = transaction.engine.settings
        self._transaction = transaction
        self._peer = peer
        self._macros = macros
        self._received, self._is_broken = _header(fields)
        self._final = self._received
        rewritten = self._engine.rewritten(fields)
        if rewritten is not None:
            # What the next host will see, if the MTA changes fields after us (ReplaceRules).
            self._final, is_broken = _header(rewritten)
            self._is_broken = self._is_broken or is_broken

    def work(self) -> Work | Deferred:
        """Ask OpenDKIM's questions in OpenDKIM's order."""
        engine, transaction = self._engine, self._transaction
        if self._settings.verifying.required_headers and (wrong := wrong_counts(self._received)):
            return self._refused(wrong)
        author: Mailbox | None = None
        try:
            author = engine.author(self._final, self._macros)
        except NoAuthor as exc:
            transaction.say(Level.INFO, str(exc), event="no-author")
            return self._malformed()
        except BadAuthor as exc:
            return self._unreadable(str(exc))
        origin = engine.origin(self._peer, self._macros)
        if engine.is_exempt(author):
            return self._exempt(author, origin)
        try:
            choice = engine.choose(author, origin)
        except ConfigError as exc:
            return table_error(transaction, exc)
        self._log_findings(origin, choice)
        if origin.allowed and choice.planned:
            return self._signed(choice) if self._settings.hosts.signs else _LEFT_ALONE
        return self._verified(author)

    def _unreadable(self, why: str) -> Work | Deferred:
        """Treat a message whose author cannot be read.

        OpenDKIM calls it malformed wherever Mode has an s, so that an odd From switches
        verification off; here that is left to mail that would have been signed.
        """
        hosts, say = self._settings.hosts, self._transaction.say
        if hosts.signs and self._engine.origin(self._peer, self._macros).allowed:
            say(Level.NOTICE, f"{why}; not signed", event="bad-author")
            return self._malformed()
        say(Level.INFO, why, event="bad-author")
        return self._verified(None)

    def _log_findings(self, origin: Origin, choice: Choice) -> None:
        """Say why the message is not signed (LogWhy), and who uses our domains."""
        say = self._transaction.say
        if self._settings.logging.why:
            for finding in (*origin.findings, *choice.findings):
                say(Level.INFO, finding, event="why")
        self._log_unfit(choice)
        domain = choice.domain
        if domain is None or origin.allowed or self._engine.is_ignored_external(self._peer):
            return
        host = self._peer.host or self._peer.address or "unknown-host"
        text = f"external host {host} attempted to send as {domain}"
        say(Level.NOTICE, text, event="external-use", host=host, domain=domain)

    def _log_unfit(self, choice: Choice) -> None:
        """Say that a row for everybody passed the message over."""
        if choice.unfit is not None and self._settings.hosts.signs:
            self._transaction.say(Level.NOTICE, f"{choice.unfit}; not signed", event="unfit-domain")

    def _refused(self, wrong: Sequence[str]) -> Settled:
        """Reject a message with wrong counts of fields (RequiredHeaders)."""
        text = f"message {', '.join(wrong)}"
        self._transaction.say(Level.NOTICE, text, event="field-counts")
        return Settled(Conclusion((), Reply(Verdict.REJECT, "550", "5.0.0", text)))

    def _exempt(self, author: Mailbox, origin: Origin) -> Work:
        """Leave a message alone (ExemptDomains); but a stranger may only claim the domain."""
        if self._settings.logging.why:
            text = f"domain '{author.domain}' exempted, accepting"
            self._transaction.say(Level.INFO, text, event="exempt", domain=author.domain)
        if not origin.allowed and self._settings.hosts.verifies:
            return self._cleaned()
        return _LEFT_ALONE

    def _cleaned(self) -> Work:
        """Take out forged fields, if there can be any; who we are is known at the end."""
        if not self._received.positions(b"authentication-results"):
            return _LEFT_ALONE
        return Cleaning(self._transaction, self._received, is_malformed=False)

    def _malformed(self) -> Work:
        """Accept a malformed message, and say what it is (IgnoreMalformedMail: do not)."""
        if not self._settings.hosts.verifies:
            return _LEFT_ALONE
        if self._settings.verifying.ignore_malformed_mail:
            return self._cleaned()
        return Cleaning(self._transaction, self._received, is_malformed=True)

    def _is_strictly_wrong(self) -> bool:
        """Whether StrictHeaders forbids to sign or verify; says so."""
        if not self._settings.verifying.strict_headers:
            return False
        wrong = wrong_counts(self._received)
        if not wrong:
            return False
        text = f"bad message format: message {', '.join(wrong)}"
        self._transaction.say(Level.NOTICE, text, event="field-counts")
        return True

    def _signed(self, choice: Choice) -> Work | Deferred:
        recipient = self._engine.exempt_recipient(self._transaction.addresses)
        if recipient is not None:
            text = f"skipping signing of mail to '{recipient}'"
            self._transaction.say(Level.INFO, text, event="recipient-exempt")
            return _LEFT_ALONE
        if self._is_strictly_wrong():
            return self._malformed()
        self._transaction.mode = Mode.SIGN
        if self._is_broken:
            return unsignable(self._transaction, "a header field holds a line end that is no fold")
        if self._engine.waits_for_keys(choice):
            return Deferred(lambda: _resolved(self._signing(choice, may_wait=True)))
        return self._signing(choice, may_wait=False)

    def _signing(self, choice: Choice, *, may_wait: bool) -> MessageSigning | Settled | Deferred:
        return start_signing(
            self._transaction,
            choice,
            received=self._received,
            header=self._final,
            may_wait=may_wait,
        )

    def _verified(self, author: Mailbox | None) -> Work | Deferred:
        if not self._settings.hosts.verifies:
            return _LEFT_ALONE
        if self._is_broken or self._is_strictly_wrong():
            return self._malformed()
        self._transaction.mode = Mode.VERIFY
        choice = self._resigned(author)
        if isinstance(choice, Settled):
            return choice
        if choice is not None:
            self._transaction.mode = Mode.RESIGN
        if choice is not None and self._engine.waits_for_keys(choice):
            return Deferred(lambda: _resolved(self._resigning(author, choice, may_wait=True)))
        if choice is not None:
            return self._resigning(author, choice, may_wait=False)
        return self._verifying(author, None)

    def _resigning(
        self, author: Mailbox | None, choice: Choice, *, may_wait: bool
    ) -> Work | Deferred:
        """Begin to verify, and to sign again."""
        signing = self._signing(choice, may_wait=may_wait)
        if isinstance(signing, Deferred):
            resolve = signing.resolve
            return Deferred(lambda: _resolved(self._verifying(author, resolve())))
        return self._verifying(author, signing)

    def _verifying(self, author: Mailbox | None, resigning: Work | None) -> Work | Deferred:
        """Begin to verify, besides what signs again."""
        # What is to go unsigned is verified all the same.
        if isinstance(resigning, Settled) and not isinstance(resigning, Unsigned):
            return resigning
        verifying = MessageVerifying(self._transaction, self._received, author=author)
        work: Work = verifying
        if isinstance(resigning, MessageSigning):
            work = Resigning(self._transaction, verifying=verifying, signing=resigning)
        if verifying.waits:
            return Deferred(lambda: _asked(verifying, work), zone=verifying.zone)
        return work

    def _resigned(self, author: Mailbox | None) -> Choice | Settled | None:
        """Choose how to sign again what is verified (ResignMailTo); None: it is not to be."""
        if not self._settings.hosts.signs:
            return None
        try:
            choice = self._engine.resign(self._transaction.addresses, author)
        except ConfigError as exc:
            return table_error(self._transaction, exc)
        if choice is None:
            return None
        self._log_unfit(choice)
        return choice if choice.planned else None


def _asked(verifying: MessageVerifying, work: Work) -> Work:
    verifying.ask()
    return work


def _resolved(work: Work | Deferred) -> Work:
    return work.resolve() if isinstance(work, Deferred) else work


def _header(fields: Sequence[tuple[bytes, bytes]]) -> tuple[Header, bool]:
    """Make a header with just these fields, which the MTA numbers them by.

    Returns:
        The header, and whether its octets had to be changed for that: with a line end in a
        value that is no fold, the MTA and whoever reads the message see different fields.
    """
    lines = list(map(b":".join, fields))
    header = Header(b"\r\n".join((*lines, b"")))
    if header.canonical(Canonicalization.SIMPLE) == lines:
        return header, False
    return Header(b"\r\n".join(_LINE_END.sub(b"?", line) for line in lines)), True
