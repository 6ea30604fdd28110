"""One connection of an MTA: what it sends becomes calls of a `Session`, answers come back.

Keeps octets octets: a header field's value is what stands behind the colon, with CRLF for the
LF that MTAs put into folds.  Contains what goes wrong in a session: an exception is logged
once, and the message gets the action of On-InternalError.  Knows nothing about libmilter.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING, Protocol

from dkimcore.settings.model import Action
from dkimcore_milter.action import (
    ACCEPT,
    CONTINUE,
    AddRecipient,
    Conclusion,
    DeleteField,
    DeleteRecipient,
    InsertField,
    Quarantine,
    Reply,
    Verdict,
)
from dkimcore_milter.failure import describe
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.negotiation import Agreement, agree, needed_actions
from dkimcore_milter.outcome import internal_action
from dkimcore_milter.peer import Peer
from dkimcore_milter.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore_milter.action import Modification
    from dkimcore_milter.activity import Activity
    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogSink

__all__ = ["PROGRESS_SECONDS", "Connection", "Link"]

PROGRESS_SECONDS = 2.0
"""How often an MTA is told that a slow message is being worked on; Postfix waits 300 s."""

_UNSUPPORTED = Reply(Verdict.REJECT)
_FAILED = {
    Action.ACCEPT: ACCEPT,
    Action.DISCARD: Reply(Verdict.DISCARD),
    Action.QUARANTINE: CONTINUE,  # held at the end of the message, where that can be asked for
    Action.REJECT: Reply(Verdict.REJECT, "550", "5.7.0", "internal DKIM error"),
    Action.TEMPFAIL: Reply(Verdict.TEMPFAIL, "451", "4.7.0", "internal DKIM error"),
}
_ENDS = (Verdict.ACCEPT, Verdict.DISCARD, Verdict.REJECT, Verdict.TEMPFAIL)


class Link(Protocol):
    """The way back to the MTA.  All but `symbol` and `progress` are for the end of a message."""

    def symbol(self, name: str) -> str | None:
        """Return a macro's value; octets that are no UTF-8 become surrogates."""

    def insert(self, name: bytes, value: bytes) -> None:
        """Put a field on top of the message."""

    def delete(self, name: bytes, index: int) -> None:
        """Delete a field of that name, counted from 1."""

    def add_recipient(self, address: bytes) -> None:
        """Add a recipient."""

    def delete_recipient(self, address: bytes) -> None:
        """Take a recipient away."""

    def quarantine(self, reason: str) -> None:
        """Hold the message."""

    def progress(self) -> None:
        """Say that we still work."""


class Connection:
    """A connection, from its negotiation to its end.

    Args:
        engine: What decides; kept until the end, whatever is reloaded meanwhile.
        log: Takes lines.
        activity: Counts this connection and its messages.
        link: The way back.
        inet: Whether the MTA came over TCP.
        progress_seconds: How often to say that we still work.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        log: LogSink,
        activity: Activity,
        link: Link,
        inet: bool,
        progress_seconds: float = PROGRESS_SECONDS,
    ) -> None:
        self._engine = engine
        self._log = log
        self._activity = activity
        self._link = link
        self._inet = inet
        self._progress_seconds = progress_seconds
        self._agreement: Agreement | None = None
        self._session: Session | None = None
        self._under_way = False
        self._broken: Reply | None = None
        activity.connected()

    def negotiate(self, actions: int, steps: int) -> Agreement | None:
        """Agree with the MTA.

        Args:
            actions: What it allows.
            steps: What it can leave out.

        Returns:
            None, and a line in the log, if we cannot work with it.
        """
        settings = self._engine.settings
        symbols = self._engine.symbols() is not None
        self._agreement = agree(
            settings, actions=actions, steps=steps, symbols=symbols, inet=self._inet
        )
        if self._agreement is None:
            self._say(
                f"required milter action(s) not available (got 0x{actions:x}, "
                f"need 0x{needed_actions(settings):x})",
                event="actions-not-available",
            )
        return self._agreement

    def connect(self, host: str, family: int, address: object) -> Reply:
        """Learn who the client is.

        Args:
            host: Its name.
            family: The family of its address.
            address: Its address as libmilter gives it; None if it is unknown.
        """
        if self._agreement is None:
            self._say("the MTA did not negotiate", event="not-negotiated")
            return _UNSUPPORTED
        peer = Peer(host=host or None, address=None, local=family == socket.AF_UNIX)
        if isinstance(address, tuple) and not peer.local:
            peer = Peer(host=host or None, address=str(address[0]))
        return self._guard(lambda: self._open_session().connect(peer))

    def envelope_sender(self, address: bytes) -> Reply:
        """Begin a message."""
        self._end()
        if self._session is not None and self._broken is not None:
            self._guard(self._session.abort)  # it may have been left in any state
            self._broken = None
        self._under_way = True
        self._activity.began()
        return self._step(lambda session: session.envelope_sender(address))

    def envelope_recipient(self, address: bytes) -> Reply:
        """Learn a recipient; a refusal concerns only that one."""
        return self._step(lambda session: session.envelope_recipient(address), final=())

    def field(self, name: bytes, value: bytes) -> Reply:
        """Learn a header field.

        Args:
            name: Its name.
            value: Its value, with LF or CRLF in folds; without the blank behind the colon
                unless that was agreed on.
        """
        if b"\n" in value:
            value = value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if self._agreement is None or not self._agreement.leading_space:
            value = b" " + value
        return self._step(lambda session: session.field(name, value))

    def end_of_header(self) -> Reply:
        """Learn that the header is complete."""
        return self._step(lambda session: session.end_of_header())

    def body(self, chunk: bytes) -> Reply:
        """Take a part of the body."""
        reply = self._step(lambda session: session.body(chunk))
        if reply.verdict is Verdict.SKIP and not (self._agreement and self._agreement.skip):
            return CONTINUE
        return reply

    def end_of_message(self) -> Reply:
        """Conclude: ask for all changes, then answer."""
        reply = self._step(self._conclude, final=())
        if self._broken is not None and self._internal_error is Action.QUARANTINE:
            reply = self._guard(self._hold)
        self._end()
        return reply

    def abort(self) -> None:
        """Forget the message."""
        self._end()
        if self._session is not None:
            self._guard(self._session.abort)

    def close(self) -> None:
        """Free everything; nothing may be called afterwards."""
        self._end()
        if self._session is not None:
            self._guard(self._session.close)
            self._session = None
        self._activity.disconnected()

    @property
    def _internal_error(self) -> Action:
        return internal_action(self._engine.settings.actions)

    def _open_session(self) -> Session:
        self._session = Session(self._engine, log=self._log, macros=self._link.symbol)
        return self._session

    def _step(
        self, call: Callable[[Session], Reply], *, final: tuple[Verdict, ...] = _ENDS
    ) -> Reply:
        """Call the session, unless it failed earlier in this message.

        Args:
            call: What to call.
            final: Which verdicts end the message.
        """
        if self._broken is not None:
            return self._broken
        session = self._session
        reply = _UNSUPPORTED if session is None else self._guard(lambda: call(session))
        if reply.verdict in final:
            self._end()
        return reply

    def _guard(self, call: Callable[[], Reply | None]) -> Reply:
        """Contain whatever a call raises: the worker lives, and the operator decides."""
        try:
            return call() or CONTINUE
        except BaseException as exc:  # noqa: BLE001 - pymilter would end the worker at SystemExit
            self._broken = _FAILED[self._internal_error]
            what, trace = describe(exc)
            self._say(f"internal error: {what}", event="internal-error", traceback=trace)
            return self._broken

    def _conclude(self, session: Session) -> Reply:
        if session.may_be_slow:
            conclusion = self._patiently(session.end_of_message)
        else:
            conclusion = session.end_of_message()
        for modification in conclusion.modifications:
            self._apply(modification)
        return conclusion.reply

    def _patiently(self, work: Callable[[], Conclusion]) -> Conclusion:
        """Work in a thread of its own while this one tells the MTA to wait."""
        future: Future[Conclusion] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as exc:  # noqa: BLE001 - raised again by result()
                future.set_exception(exc)

        threading.Thread(target=run, daemon=True, name="end-of-message").start()
        while not wait_for((future,), self._progress_seconds).done:
            with contextlib.suppress(OSError):  # the MTA went away: the work still ends
                self._link.progress()
        return future.result()

    def _apply(self, modification: Modification) -> None:
        match modification:
            case InsertField(field):
                value = field.value.replace(b"\r\n", b"\n")
                if self._agreement is not None and not self._agreement.leading_space:
                    value = value.removeprefix(b" ")
                self._link.insert(field.name, value)
            case DeleteField(name, index):
                self._link.delete(name, index)
            case Quarantine(reason):
                self._link.quarantine(reason)
            case AddRecipient(address):
                self._link.add_recipient(address)
            case DeleteRecipient(address):
                self._link.delete_recipient(address)

    def _hold(self) -> Reply:
        self._link.quarantine("internal DKIM error")
        return ACCEPT

    def _end(self) -> None:
        if self._under_way:
            self._under_way = False
            self._activity.ended()

    def _say(self, text: str, *, event: str, **fields: str) -> None:
        self._log(
            LogLine(
                level=Level.ERR,
                text=text,
                event=event,
                job_id=self._link.symbol("i"),
                fields=fields,
            )
        )
