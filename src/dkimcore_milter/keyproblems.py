"""Keys and tables that are not as they should be: what is logged, and what becomes of the message.

OpenDKIM's words where OpenDKIM has some.  When a signature is done without, and by which key
another one is made instead, is decided by DkimcoreOnKeyFailure (`keyfailure`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dkimcore.errors import ConfigError, KeyBackendError, KeyDenied, KeyUnusable
from dkimcore.settings.model import Action
from dkimcore.tables import PlannedSignature
from dkimcore_milter.choice import is_remote
from dkimcore_milter.engine import KeyTooSmall
from dkimcore_milter.keyfailure import FailureAction
from dkimcore_milter.keymeter import backend_of, count_key_error
from dkimcore_milter.logline import Level
from dkimcore_milter.metrics import Count
from dkimcore_milter.outcome import Settled, conclude, internal_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkimcore.signer import Signer
    from dkimcore_milter.action import Conclusion
    from dkimcore_milter.engine import Planned
    from dkimcore_milter.keyfailure import FailureRule
    from dkimcore_milter.metrics import Timer
    from dkimcore_milter.transaction import Transaction

__all__ = [
    "Seat",
    "Unmade",
    "Unsigned",
    "is_among",
    "is_final",
    "refused",
    "say_error",
    "say_failed",
    "settle_error",
    "settle_unsigned",
    "substitute",
    "table_error",
    "unsignable",
]

_COUNTS = {count.labels[0]: count for count in Count if count.family == "key_failure_actions"}


class Seat(NamedTuple):
    """A signature that is to be made.

    Attributes:
        planned: It.
        signer: Who makes it.
        timer: What times its key.
    """

    planned: Planned
    signer: Signer
    timer: Timer

    @property
    def names(self) -> dict[str, str]:
        """What a line of the log says of it, for programs."""
        signer = self.signer
        return {
            "domain": signer.domain.text,
            "selector": signer.selector.text,
            "algorithm": signer.key.algorithm.value,
        }


class Unsigned(Settled):
    """A message that is accepted though its keys failed: DkimcoreOnKeyFailure says unsigned."""

    __slots__ = ()


class Unmade:
    """The signatures of a message that were not made, and why it may go on.

    Attributes:
        is_remote: Whether the key of one is kept elsewhere.
    """

    __slots__ = ("_instead", "_rules", "is_remote")

    def __init__(self) -> None:
        self._rules: list[tuple[Planned, FailureRule]] = []
        self._instead: list[PlannedSignature] = []
        self.is_remote = False

    def add(
        self, transaction: Transaction, planned: Planned, rule: FailureRule
    ) -> PlannedSignature | None:
        """Add one.

        Args:
            transaction: The message.
            planned: The signature.
            rule: What is done about it.

        Returns:
            The signature to make instead; None: none.
        """
        self._rules.append((planned, rule))
        self.is_remote = self.is_remote or is_remote(planned.key_uri)
        instead = substitute(transaction, planned, rule)
        if instead is not None:
            self._instead.append(instead)
        return instead

    def relies_on(self, planned: Planned) -> bool:
        """Whether a signature stands in for another one: then it may not fail, too.

        Args:
            planned: It.
        """
        return is_among(planned, self._instead)

    @property
    def allows_none(self) -> bool:
        """Whether the message may go on without any signature."""
        return all(rule.action is FailureAction.UNSIGNED for _, rule in self._rules)

    def is_made_up_for(self, made: Iterable[Planned]) -> bool:
        """Whether the message may go on with the signatures that it has.

        Each domain whose rule wants another signature must have one of its own.

        Args:
            made: The signatures.
        """
        signed = {planned.domain.ascii for planned in made}
        wanted = {
            planned.domain.ascii
            for planned, rule in self._rules
            if rule.action is FailureAction.OTHER_ALGORITHM
        }
        return bool(signed) and wanted <= signed

    def conclude(self, transaction: Transaction, *, is_signed: bool) -> None:
        """Say and count what was done, when the message goes on.

        Args:
            transaction: The message.
            is_signed: Whether it has a signature.
        """
        done = FailureAction.OTHER_ALGORITHM if is_signed else FailureAction.UNSIGNED
        for planned, rule in self._rules:
            names = {"domain": str(planned.domain), "selector": str(planned.selector)}
            lost = f"(s={planned.selector}, d={planned.domain})"
            if rule.key_row is not None:
                done = FailureAction.FALLBACK
                text = f"signed with the key {rule.key_row.name!r} instead of {lost}"
                names["fallback"] = rule.key_row.name
                event = "signed-by-fallback"
            elif is_signed:
                text, event = f"sent without a signature {lost}: the others suffice", "signed-less"
            else:
                text, event = f"sent without any signature: no {lost}", "sent-unsigned"
            text = f"{text}; DkimcoreOnKeyFailure says {rule}"
            transaction.say(Level.NOTICE, text, event=event, **names)
        transaction.meter.count(_COUNTS[done])


def substitute(
    transaction: Transaction, planned: Planned, rule: FailureRule
) -> PlannedSignature | None:
    """Return the signature to make instead of one; None: none.

    Args:
        transaction: The message.
        planned: The one that fails.
        rule: What is done about it.
    """
    # With the single key there is no table, and no row to sign with instead.
    if rule.key_row is None or not isinstance(planned, PlannedSignature):
        return None
    return transaction.engine.failures.instead(planned, rule.key_row)


def is_among(planned: Planned, others: Iterable[Planned]) -> bool:
    """Whether a signature is made already: by the same key, under the same name.

    Args:
        planned: It.
        others: Those that are made; rows of the signing table do not matter.
    """
    return _mark(planned) in map(_mark, others)


def _mark(planned: Planned) -> tuple[str, str, str]:
    return planned.domain.ascii, planned.selector.ascii, planned.key_uri


def is_final(rule: FailureRule, error: ConfigError | KeyBackendError) -> bool:
    """Whether a signature that cannot be made is the end of its message.

    Args:
        rule: What DkimcoreOnKeyFailure says.
        error: Why it cannot be made.
    """
    if rule.action is FailureAction.TEMPFAIL or isinstance(error, KeyTooSmall):
        return True
    return isinstance(error, ConfigError)


def table_error(transaction: Transaction, error: ConfigError) -> Settled:
    """Settle a message for which a table is wrong (On-InternalError)."""
    transaction.say(Level.ERR, _with_place(error), event="table-error")
    return Settled(internal_error(transaction))


def unsignable(transaction: Transaction, why: str) -> Settled:
    """Settle a message that cannot be signed as it is (On-SignatureError)."""
    transaction.say(Level.ERR, f"signature generation error: {why}", event="signing-error")
    action = transaction.engine.settings.actions.signature_error
    return Settled(conclude(action, text="DKIM signing error"), at_once=False)


def refused(transaction: Transaction, *, is_remote: bool) -> Conclusion:
    """Conclude a message whose key failed (On-InternalError).

    Args:
        transaction: The message.
        is_remote: Whether that key is kept elsewhere.
    """
    transaction.meter.count(_COUNTS[FailureAction.TEMPFAIL])
    # X.7.5 is a failure of cryptography or of what it needs; OpenDKIM says 4.7.0.
    temporary = "4.7.5" if is_remote else "4.7.0"
    return internal_error(transaction, text="resource unavailable", temporary=temporary)


def say_failed(transaction: Transaction, seat: Seat, error: KeyBackendError) -> None:
    """Log that a key did not sign."""
    text = f"dkim_eom(): resource unavailable: {error}"
    fields = {**seat.names, **_places(error)}
    transaction.say(Level.ERR, text, event="key-failed", **fields)


def say_error(
    transaction: Transaction, planned: Planned, error: ConfigError | KeyBackendError
) -> None:
    """Log, and count, that a key cannot be had."""
    name = _key_name(planned)
    names = {"domain": str(planned.domain), "selector": str(planned.selector), "key": name}
    if isinstance(error, KeyBackendError):
        count_key_error(error, timer=backend_of(planned.key_uri), meter=transaction.meter)
        request = "" if error.request_id is None else f" (request {error.request_id})"
        path = error.uri.removeprefix("file:")
        text = f"can't load key from {path}: {error.problem}{request}"
        if isinstance(error, KeyDenied) and not is_remote(planned.key_uri):
            text = f"{name}: key data is not secure: {error.problem}"
        transaction.say(Level.ERR, text, event="key-error", **names, **_places(error))
    else:
        transaction.say(Level.ERR, _with_place(error), event="table-error", **names)
    transaction.say(Level.ERR, f"error loading key '{name}'", event="key-not-loaded", **names)


def settle_error(
    transaction: Transaction, planned: Planned, error: ConfigError | KeyBackendError
) -> Settled:
    """Settle a message for which a key cannot be had, and log why."""
    if isinstance(error, KeyTooSmall):
        count_key_error(error, timer=backend_of(planned.key_uri), meter=transaction.meter)
        return unsignable(transaction, error.problem)
    say_error(transaction, planned, error)
    if isinstance(error, KeyBackendError) and is_remote(planned.key_uri):
        return Settled(refused(transaction, is_remote=True))
    if isinstance(error, KeyBackendError):
        transaction.meter.count(_COUNTS[FailureAction.TEMPFAIL])
    if isinstance(error, KeyUnusable):
        # OpenDKIM finds out at the end of the message.
        return Settled(internal_error(transaction, text="resource unavailable"), at_once=False)
    return Settled(internal_error(transaction))


def settle_unsigned(transaction: Transaction, unmade: Unmade) -> Settled:
    """Settle a message that no key signs: its keys failed, and there are no others."""
    if not unmade.allows_none:
        return Settled(refused(transaction, is_remote=unmade.is_remote))
    unmade.conclude(transaction, is_signed=False)
    return Unsigned(conclude(Action.ACCEPT))


def _key_name(planned: Planned) -> str:
    row = getattr(planned, "key_row", None)
    return planned.key_uri if row is None else str(row.name)


def _places(error: KeyBackendError) -> dict[str, str]:
    """Name what is kept elsewhere, for programs; a file's path stands in the text."""
    if not is_remote(error.uri):
        return {}
    places = {"uri": error.uri}
    return places if error.request_id is None else {**places, "request_id": error.request_id}


def _with_place(error: ConfigError) -> str:
    """The problem first, which log watchers look for, then file and line."""
    if error.file is None:
        return error.problem
    line = "" if error.line is None else f":{error.line}"
    return f"{error.problem} [{error.file}{line}]"
