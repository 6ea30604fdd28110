"""Explains what would become of a message, step by step (``dkimcore why``).

Asks what `deciding` asks, in the same order, but says each answer and the rule that it came
from; LogWhy tells only why a message was not signed.  A test compares both.  The DNS is asked
nothing: verifying itself is left to the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError, MessageError
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.message import Header
from dkimcore.protocol.names import fold_domain
from dkimcore_milter.action import ACCEPT, Conclusion, Reply, Verdict
from dkimcore_milter.engine import BadAuthor, NoAuthor, Origin
from dkimcore_milter.explanation import Explanation, Outcome, Steps
from dkimcore_milter.fieldcounts import wrong_counts
from dkimcore_milter.identity import host_name
from dkimcore_milter.keyproblems import Unsigned, table_error, unsignable
from dkimcore_milter.origin import find_host
from dkimcore_milter.outcome import Settled, conclude
from dkimcore_milter.printable import printable
from dkimcore_milter.recipients import RecipientRules
from dkimcore_milter.signing import MessageSigning, start_signing
from dkimcore_milter.sources import Sources, place
from dkimcore_milter.transaction import Transaction
from dkimcore_milter.verifying import Cleaning
from dkimcore_milter.whykeys import open_keys, say_planned
from dkimcore_milter.whyreceived import say_forged, say_signatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore_milter.engine import Choice, Engine
    from dkimcore_milter.explanation import Envelope
    from dkimcore_milter.logline import LogLine

__all__ = ["explain"]


def explain(engine: Engine, octets: bytes, envelope: Envelope) -> Explanation:
    """Explain what would become of a message.

    Opens the keys that would sign it.

    Args:
        engine: The site's settings and tables.
        octets: The message's header section, without the empty line behind it.
        envelope: How the message comes.

    Raises:
        StateError: The engine is closed.
    """
    return _Inquiry(engine, octets, envelope).explain()


class _Inquiry:
    def __init__(self, engine: Engine, octets: bytes, envelope: Envelope) -> None:
        self._engine = engine
        self._settings = engine.settings
        self._sources = Sources(engine.settings)
        self._peer = envelope.peer
        self._macros = envelope.macros.get
        self._steps = Steps()
        self._logged: list[LogLine] = []
        self._received = Header(octets)
        parts = (raw.partition(b":") for raw in self._received.canonical(Canonicalization.SIMPLE))
        self._fields = [(name, value) for name, _, value in parts]
        rewritten = engine.rewritten(self._fields)
        self._is_rewritten = rewritten is not None
        self._final = self._received if rewritten is None else _header(rewritten)
        self._is_broken = len(self._final) != len(self._fields)
        self._transaction = Transaction(
            engine=engine,
            log=self._logged.append,
            host=host_name(self._macros("j")),
            recipients=list(envelope.recipients),
        )

    def explain(self) -> Explanation:
        return (
            self._ask_peer_list()
            or self._ask_size()
            or self._ask_required_headers()
            or self._ask_author()
        )

    # --- The questions, in their order ----------------------------------------------------

    def _ask_peer_list(self) -> Explanation | None:
        hosts = self._sources.hosts(self._settings.hosts.peers)
        if hosts is None:
            return None
        client = printable(self._peer.address or self._peer.host or "the client")
        row = find_host(hosts, self._peer)
        if row is None:
            self._steps.say("peer", f"{client} is not in PeerList", self._where("peerlist"))
            return None
        text = f"{client} is in PeerList, as {printable(row.key)}"
        self._steps.say("peer", text, place(row.file, row.line), decides=True)
        return self._left_alone()

    def _ask_size(self) -> Explanation | None:
        limit = self._settings.verifying.maximum_header_octets
        octets = sum(len(name) + len(value) + 3 for name, value in self._fields)
        if not limit or octets <= limit:
            return None
        text = f"the header has {octets} octets, more than MaximumHeaders allows, {limit}"
        self._steps.say("header", text, self._where("maximumheaders"), decides=True)
        return self._end(Outcome.REFUSED, conclude(self._settings.actions.security))

    def _ask_required_headers(self) -> Explanation | None:
        if not self._settings.verifying.required_headers:
            return None
        wrong = ", ".join(wrong_counts(self._received))
        if not wrong:
            return None
        where = self._where("requiredheaders")
        self._steps.say("header", f"RequiredHeaders: it {wrong}", where, decides=True)
        reply = Reply(Verdict.REJECT, "550", "5.0.0", f"message {wrong}")
        return self._end(Outcome.REFUSED, Conclusion((), reply))

    def _ask_author(self) -> Explanation:
        if self._is_rewritten:
            text = "fields are changed before they are used"
            self._steps.say("header", f"ReplaceRules: {text}", self._where("replacerules"))
        try:
            author = self._engine.author(self._final, self._macros)
        except (NoAuthor, BadAuthor) as exc:
            return self._ask_without_author(exc)
        count = len(self._final.positions(b"from"))
        more = f"; there are {count} From fields, and the first counts" if count > 1 else ""
        self._steps.say("author", f"the author is {printable(str(author))}{more}")
        return self._ask_origin(author)

    def _ask_without_author(self, problem: NoAuthor | BadAuthor) -> Explanation:
        if isinstance(problem, NoAuthor):
            self._steps.say("author", str(problem), decides=True)
            return self._malformed()
        if self._settings.hosts.signs:
            origin = self._engine.origin(self._peer, self._macros)
            if origin.allowed:
                self._steps.say("author", f"{problem}; not signed", decides=True)
                self._steps.say("origin", *_divided(origin.reason))
                return self._malformed()
        self._steps.say("author", str(problem))
        return self._verified(None)

    def _ask_origin(self, author: Mailbox) -> Explanation:
        origin = self._engine.origin(self._peer, self._macros)
        exempt = self._ask_exempt_domains(author, origin)
        if exempt is not None:
            return exempt
        if origin.allowed:
            self._steps.say("origin", *_divided(origin.reason))
        for finding in origin.findings:
            option = "internalhosts" if finding.endswith(" not internal") else ""
            self._steps.say("origin", finding, self._where(option))
        return self._ask_tables(author, origin)

    def _ask_exempt_domains(self, author: Mailbox, origin: Origin) -> Explanation | None:
        domains = self._sources.data_set(self._settings.verifying.exempt_domains, fold=fold_domain)
        row = None if domains is None else domains.find(author.domain)
        if row is None:
            return None
        text = f"{printable(author.domain)} is in ExemptDomains"
        self._steps.say("exempt", text, place(row.file, row.line), decides=True)
        if not origin.allowed and self._settings.hosts.verifies:
            return self._cleaned()
        return self._left_alone()

    def _ask_tables(self, author: Mailbox, origin: Origin) -> Explanation:
        try:
            choice = self._engine.choose(author, origin)
        except ConfigError as exc:
            return self._unsignable(exc)
        say_planned(self._steps, choice, self._settings.signing)
        if origin.allowed and choice.planned:
            if self._settings.hosts.signs:
                return self._ask_before_signing(choice)
            text = "Mode has no s: nothing is signed"
            self._steps.say("mode", text, self._where("mode"), decides=True)
            return self._left_alone()
        if not origin.allowed and self._settings.hosts.signs:
            self._say_otherwise(author)
        return self._verified(author)

    def _say_otherwise(self, author: Mailbox) -> None:
        """Say what would sign if the client were one of ours: that is asked next."""
        try:
            choice = self._engine.choose(author, Origin(allowed=True))
        except ConfigError as exc:
            self._steps.say("remark", f"from a client of ours it could not be signed: {exc}")
            return
        names = (f"d={planned.domain} s={planned.selector}" for planned in choice.planned)
        problems = choice.findings if choice.unfit is None else (choice.unfit,)
        listed = ", ".join(names) or "; ".join(problems) or "nothing is set up to sign"
        self._steps.say("remark", f"from a client of ours it would be signed: {listed}"
                        if choice.planned else f"nor from a client of ours: {listed}")  # fmt: skip

    def _ask_before_signing(self, choice: Choice) -> Explanation:
        rules = RecipientRules(self._settings.signing, self._sources)
        listed = rules.exempt(self._transaction.addresses)
        if listed is not None:
            text = f"the recipient {listed.address} is in DontSignMailTo"
            where = place(listed.row.file, listed.row.line)
            self._steps.say("recipient", text, where, decides=True)
            return self._left_alone()
        if self._is_strictly_wrong():
            return self._malformed()
        if self._is_broken:
            return self._unsignable(MessageError("a header field holds a line end that is no fold"))
        return self._signed(choice)

    def _is_strictly_wrong(self) -> bool:
        wrong = ", ".join(wrong_counts(self._received))
        if not wrong or not self._settings.verifying.strict_headers:
            return False
        where = self._where("strictheaders")
        self._steps.say("header", f"StrictHeaders: it {wrong}", where, decides=True)
        return True

    # --- The outcomes ---------------------------------------------------------------------

    def _signed(self, choice: Choice) -> Explanation:
        keys = open_keys(self._steps, self._engine, choice)
        work = start_signing(self._transaction, choice, received=self._received, header=self._final)
        error = next((key.error for key in keys if key.error is not None), None)
        if isinstance(work, Unsigned):
            text = "DkimcoreOnKeyFailure: it goes without any signature"
            self._steps.say("signature", text, self._where("dkimcoreonkeyfailure"), decides=True)
            return Explanation(
                outcome=Outcome.LEFT_ALONE, steps=self._steps.all, keys=keys, ending=work.finish()
            )
        if isinstance(work, MessageSigning):
            forms = self._engine.profile
            c = f"c={forms.header_canonicalization}/{forms.body_canonicalization}"
            self._steps.say("signature", f"{work.count} added, {c}", decides=True)
            return Explanation(outcome=Outcome.SIGNED, steps=self._steps.all, keys=keys)
        if error is None:  # the keys are good, so it is the header
            error = MessageError(self._logged[-1].text)
            self._steps.say("header", self._logged[-1].text, decides=True)
        return Explanation(
            outcome=Outcome.UNSIGNABLE,
            steps=self._steps.all,
            keys=keys,
            ending=work.finish() if isinstance(work, Settled) else None,
            error=error,
        )

    def _unsignable(self, error: ConfigError | MessageError) -> Explanation:
        if isinstance(error, ConfigError):
            where = place(error.file, error.line) if error.file else ""
            self._steps.say("tables", error.problem, where, decides=True)
            settled = table_error(self._transaction, error)
        else:
            self._steps.say("message", str(error), decides=True)
            settled = unsignable(self._transaction, str(error))
        return self._end(Outcome.UNSIGNABLE, settled.finish(), error=error)

    def _verified(self, author: Mailbox | None) -> Explanation:
        if not self._settings.hosts.verifies:
            text = "Mode has no v: nothing is verified"
            self._steps.say("mode", text, self._where("mode"), decides=True)
            return self._left_alone()
        if self._is_broken or self._is_strictly_wrong():
            return self._malformed()
        again = self._signed_again(author)
        if again is not None and again.outcome is Outcome.UNSIGNABLE:
            return again
        say_signatures(self._steps, self._transaction, self._received, author=author)
        keys = () if again is None else again.keys
        return Explanation(outcome=Outcome.VERIFIED, steps=self._steps.all, keys=keys)

    def _signed_again(self, author: Mailbox | None) -> Explanation | None:
        """Say what signs it again once it is verified (ResignMailTo); None: nothing does."""
        if not self._settings.hosts.signs:
            return None
        try:
            choice = self._engine.resign(self._transaction.addresses, author)
        except ConfigError as exc:
            return self._unsignable(exc)
        if choice is None:
            return None
        if not choice.planned:
            say_planned(self._steps, choice, self._settings.signing)
            return None
        condition = "in any case" if self._settings.signing.resign_all else "if it passes"
        text = f"ResignMailTo: when it is verified it is signed again, {condition}"
        self._steps.say("recipient", text, self._where("resignmailto"))
        return self._signed(choice)

    def _malformed(self) -> Explanation:
        if not self._settings.hosts.verifies:
            return self._left_alone()
        if self._settings.verifying.ignore_malformed_mail:
            text = "IgnoreMalformedMail: nothing is said about it"
            self._steps.say("header", text, self._where("ignoremalformedmail"))
            return self._cleaned()
        say_forged(self._steps, self._transaction, self._received)
        work = Cleaning(self._transaction, self._received, is_malformed=True)
        return self._end(Outcome.MALFORMED, work.finish())

    def _cleaned(self) -> Explanation:
        ending = Cleaning(self._transaction, self._received, is_malformed=False).finish()
        if not ending.modifications:
            return self._left_alone()
        say_forged(self._steps, self._transaction, self._received)
        return self._end(Outcome.CLEANED, ending)

    def _left_alone(self) -> Explanation:
        return self._end(Outcome.LEFT_ALONE, Conclusion((), ACCEPT))

    def _end(
        self,
        outcome: Outcome,
        ending: Conclusion,
        *,
        error: ConfigError | MessageError | None = None,
    ) -> Explanation:
        return Explanation(outcome=outcome, steps=self._steps.all, ending=ending, error=error)

    def _where(self, option: str) -> str:
        """Where an option is set; "" if it is not."""
        file, line = self._sources.where(option) if option else (None, None)
        return "" if file is None else place(file, line)


def _divided(reason: str) -> tuple[str, str]:
    """Divide a reason of `Origin` from the place at its end."""
    text, found, where = reason.removesuffix(")").rpartition(" (")
    return (reason, "") if not found or where.startswith("{") else (text, where)


def _header(fields: Sequence[tuple[bytes, bytes]]) -> Header:
    return Header(b"".join(name + b":" + value + b"\r\n" for name, value in fields))
