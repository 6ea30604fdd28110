"""How an action of the settings becomes what the MTA is told (the On-* options).

The reply codes are OpenDKIM's; where it leaves the text to the MTA, so do we.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from dkimcore.protocol.message import HeaderField
from dkimcore.settings.model import Action
from dkimcore.version import __version__
from dkimcore_milter.action import ACCEPT, Conclusion, InsertField, Quarantine, Reply, Verdict
from dkimcore_milter.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.settings.model import Actions
    from dkimcore_milter.action import Modification
    from dkimcore_milter.transaction import Transaction

__all__ = [
    "AtHand",
    "Deferred",
    "Settled",
    "Work",
    "conclude",
    "internal_action",
    "internal_error",
    "software_field",
]


class Work(Protocol):
    """What is done with a message from the end of its header on."""

    @property
    def wants_body(self) -> bool:
        """Whether the rest of the body is needed."""
        ...

    @property
    def may_be_slow(self) -> bool:
        """Whether `finish` may wait for others, such as a key service."""
        ...

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        ...

    def finish(self) -> Conclusion:
        """End the message, waiting for whom it has to."""
        ...

    def begin(self, notify: Callable[[], None]) -> Conclusion | None:
        """End the message, as far as nobody has to be waited for; instead of `finish`.

        Args:
            notify: Called, by any thread, as soon as `complete` is to be called; must not raise.

        Returns:
            Its end, and then nobody is notified; None: `notify` will be called, once.
        """
        ...

    def complete(self) -> Conclusion | None:
        """Return the end of the message; None: `finish` is to be called, by a thread that waits."""
        ...


class AtHand(ABC):
    """Work that waits for nobody at its end."""

    __slots__ = ()

    may_be_slow = False

    @abstractmethod
    def finish(self) -> Conclusion:
        """End the message."""

    def begin(self, notify: Callable[[], None]) -> Conclusion:
        """End the message; nobody is notified."""
        return self.finish()

    def complete(self) -> Conclusion:
        """End the message."""
        return self.finish()


class Deferred:
    """Work that is known only after waiting for others: the DNS, a key service.

    Args:
        resolve: Waits, and returns the work; to be called once, by any thread.
        zone: Whose name servers it waits for; None if for a key that is kept elsewhere.
    """

    __slots__ = ("resolve", "zone")

    def __init__(self, resolve: Callable[[], Work], *, zone: str | None = None) -> None:
        self.resolve = resolve
        self.zone = zone


class Settled(AtHand):
    """A message whose fate is known when its header ends.

    Args:
        conclusion: Its fate.
        at_once: Whether the MTA is told at the end of the header, as OpenDKIM does; what
            changes the message waits for its end all the same.
    """

    __slots__ = ("_at_once", "_conclusion")

    wants_body = False

    def __init__(self, conclusion: Conclusion, *, at_once: bool = True) -> None:
        self._conclusion = conclusion
        self._at_once = at_once

    @property
    def reply(self) -> Reply | None:
        """What the MTA is told at the end of the header; None: wait for the end."""
        if self._at_once and not self._conclusion.modifications:
            return self._conclusion.reply
        return None

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body: they change nothing."""

    def finish(self) -> Conclusion:
        """Return the fate."""
        return self._conclusion


def conclude(
    action: Action,
    modifications: Sequence[Modification] = (),
    *,
    text: str = "",
    temporary: str = "4.7.0",
    reason: str = "",
) -> Conclusion:
    """Make an action a conclusion.

    Args:
        action: What the settings say.
        modifications: What to change if the message is accepted.
        text: What the client is told; "" leaves it, and the codes, to the MTA.
        temporary: The enhanced status code of a TEMPFAIL.
        reason: Why the message is held, for the postmaster; `text` if empty.
    """
    if action is Action.ACCEPT:
        return Conclusion(tuple(modifications), ACCEPT)
    if action is Action.QUARANTINE:
        why = printable(f"dkimcore: {reason or text or 'by the settings'}")
        return Conclusion((*modifications, Quarantine(why)), ACCEPT)
    if action is Action.DISCARD:
        return Conclusion((), Reply(Verdict.DISCARD))
    verdict = Verdict.REJECT if action is Action.REJECT else Verdict.TEMPFAIL
    if not text:
        return Conclusion((), Reply(verdict))
    if action is Action.REJECT:
        return Conclusion((), Reply(verdict, "550", "5.7.0", text))
    return Conclusion((), Reply(verdict, "451", temporary, text))


def internal_action(actions: Actions) -> Action:
    """Return what becomes of mail that we fail on (On-InternalError, CaptureUnknownErrors)."""
    return Action.QUARANTINE if actions.quarantine_unknown_errors else actions.internal_error


def internal_error(
    transaction: Transaction, *, text: str = "", temporary: str = "4.7.0"
) -> Conclusion:
    """Conclude a message that we failed on; `text` and `temporary` are as for `conclude`."""
    action = internal_action(transaction.engine.settings.actions)
    reason = text or "internal DKIM error"
    return conclude(action, text=text, temporary=temporary, reason=reason)


def software_field(transaction: Transaction) -> tuple[InsertField, ...]:
    """Return the DKIM-Filter field, if it is wanted (SoftwareHeader)."""
    if not transaction.engine.settings.logging.software_header:
        return ()
    host, job_id = printable(transaction.host), printable(transaction.job_id)
    value = f"dkimcore v{__version__} {host} {job_id}"
    return (InsertField(HeaderField.make("DKIM-Filter", value)),)
