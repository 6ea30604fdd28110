"""One connection of an MTA, behind the protocol: the calls of a `Session`, made safe.

Contains what goes wrong in a session: an exception is logged once, with the queue id, and the
message gets the action of On-InternalError.  Octets and packets are `conversation`'s.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from dkimcore.settings.model import Action
from dkimcore_milter.action import ACCEPT, CONTINUE, Conclusion, Quarantine, Reply, Verdict
from dkimcore_milter.failure import internal_error_line
from dkimcore_milter.metrics import Count
from dkimcore_milter.outcome import internal_action
from dkimcore_milter.session import Session
from dkimcore_milter.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.meter import Meter
    from dkimcore_milter.outcome import Work
    from dkimcore_milter.peer import Macros, Peer

__all__ = ["Connection"]

_A = TypeVarTuple("_A")
_R = TypeVar("_R")

_FAILED = {
    Action.ACCEPT: ACCEPT,
    Action.DISCARD: Reply(Verdict.DISCARD),
    Action.QUARANTINE: CONTINUE,  # held at the end of the message, where that can be asked for
    Action.REJECT: Reply(Verdict.REJECT, "550", "5.7.0", "internal DKIM error"),
    Action.TEMPFAIL: Reply(Verdict.TEMPFAIL, "451", "4.7.0", "internal DKIM error"),
}
_HELD = Conclusion((Quarantine("internal DKIM error"),), ACCEPT)


class Connection:
    """A connection, from its negotiation to its end.

    Args:
        engine: What decides; kept until the end, whatever is reloaded meanwhile.
        log: Takes lines.
        macros: Gives the MTA's macros.
        meter: Counts what happens.
    """

    __slots__ = (
        "_asked_at",
        "_broken",
        "_ending",
        "_engine",
        "_is_broken_for_good",
        "_log",
        "_macros",
        "_meter",
        "_session",
        "_tally",
        "_told_at",
    )

    def __init__(self, engine: Engine, *, log: LogSink, macros: Macros, meter: Meter) -> None:
        self._engine = engine
        self._log = log
        self._macros = macros
        self._broken: Reply | None = None
        self._is_broken_for_good = False
        self._ending: Work | None = None
        self._asked_at = self._told_at = 0.0
        self._meter = meter
        self._tally = Tally(meter)
        self._session = Session(engine, log=log, macros=macros, meter=meter)

    def connect(self, peer: Peer) -> Reply:
        """Learn who the client is; a failure here is one of all its messages."""
        self._broken = None
        reply = self._call(self._session.connect, peer)
        self._is_broken_for_good = self._broken is not None
        return reply

    def envelope_sender(self, address: bytes) -> Reply:
        """Begin a message."""
        if self._broken is not None and not self._is_broken_for_good:
            self._broken = None
            self._call(self._session.abort)  # it may have been left in any state
        self._tally.begin()
        return self._told(self._call(self._session.envelope_sender, address))

    def envelope_recipient(self, address: bytes) -> Reply:
        """Learn a recipient; a refusal concerns only that one."""
        return self._call(self._session.envelope_recipient, address)

    def fields(self, fields: Sequence[tuple[bytes, bytes]]) -> Reply:
        """Learn header fields: names, and all octets behind the colon, folds as CRLF."""
        return self._told(self._timed(self._session.fields, fields))

    def try_end_of_header(self) -> Reply | None:
        """Learn that the header is complete; None means to call `wait` before anything else."""
        reply = self._timed(self._session.try_end_of_header)
        return None if reply is None else self._told(reply)

    @property
    def zone(self) -> str | None:
        """Whose name servers `wait` waits for; None if for a key that is kept elsewhere."""
        return self._session.zone

    def wait(self) -> Reply:
        """Wait for what `try_end_of_header` did not wait for; may be called by another thread."""
        return self._told(self._timed(self._session.wait))

    def body(self, chunk: bytes) -> Reply:
        """Take a part of the body."""
        return self._told(self._timed(self._session.body, chunk))

    @property
    def may_be_slow(self) -> bool:
        """Whether others may have to be waited for at the end of the message."""
        return self._broken is None and self._session.may_be_slow

    def end_of_message(self) -> Conclusion:
        """Conclude: what to change, and the answer.  Waits for whom it has to."""
        return self._concluded(self._timed(self._session.end_of_message))

    def begin_end_of_message(self, notify: Callable[[], None]) -> Conclusion | None:
        """Conclude, as far as nobody has to be waited for.

        Args:
            notify: Called once, by any thread, as soon as `complete_end_of_message` is to be
                called, if there is no conclusion yet; must not raise.
        """

        def told() -> None:
            self._told_at = monotonic()
            notify()

        made = self._timed(self._session.begin_end_of_message, told)
        if isinstance(made, Conclusion | Reply):
            return self._concluded(made)
        self._ending = made
        self._asked_at = monotonic()
        return None

    def complete_end_of_message(self) -> Conclusion | None:
        """Conclude; None: call `finish_end_of_message`, which waits."""
        self._tally.spent += max(0.0, self._told_at - self._asked_at)
        made = self._timed(lambda: self._begun().complete())
        return None if made is None else self._concluded(made)

    def finish_end_of_message(self) -> Conclusion:
        """Conclude, waiting for whom we have to; may be called by another thread."""
        return self._concluded(self._timed(lambda: self._begun().finish()))

    def _begun(self) -> Work:
        if self._ending is None:
            raise AssertionError("no end of a message was begun")
        return self._ending

    def _concluded(self, made: Conclusion | Reply) -> Conclusion:
        self._ending = None
        if not isinstance(made, Conclusion):
            is_held = internal_action(self._engine.settings.actions) is Action.QUARANTINE
            made = _HELD if is_held else Conclusion((), made)
        self._tally.conclude(made, self._session.mode)
        return made

    def abort(self) -> None:
        """Forget the message."""
        self._tally.abandon()
        self._call(self._session.abort)

    def close(self) -> None:
        """Free everything; nothing may be called afterwards.  Again is harmless."""
        self._broken = self._ending = None
        self._tally.abandon()
        self._call(self._session.close)

    def _told(self, reply: Reply) -> Reply:
        """Let a final answer be counted."""
        if reply is not CONTINUE:
            self._tally.reply(reply, self._session.mode)
        return reply

    def _timed(self, step: Callable[[*_A], _R], *arguments: *_A) -> _R | Reply:
        """Call the session, and let the time be counted that it takes."""
        begun = monotonic()
        made = self._call(step, *arguments)
        self._tally.spent += monotonic() - begun
        return made

    def _call(self, step: Callable[[*_A], _R], *arguments: *_A) -> _R | Reply:
        """Call the session, unless it failed earlier in this message.

        Contains whatever it raises: the worker lives, and the operator decides.
        """
        if self._broken is not None:
            return self._broken
        try:
            return step(*arguments)
        except BaseException as exc:  # noqa: BLE001 - a key backend may raise SystemExit
            self._broken = _FAILED[internal_action(self._engine.settings.actions)]
            self._meter.count(Count.INTERNAL_ERRORS)
            self._log(internal_error_line(exc, job_id=self._macros("i")))
            return self._broken
