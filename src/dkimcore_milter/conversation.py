"""One conversation with an MTA in the milter protocol: octets in, octets out, no input or output.

Keeps where the conversation stands, what was agreed on, the macros, and the fields of a header
until it ends; the decisions are a `Connection`'s.  Field values are all octets behind the
colon, with CRLF for the LF that MTAs put into folds.

What may wait for others is not done here but asked for.  With `Need.WORK`, `work` is to be called
by a thread, and what it returns goes to `resume`.  With `Need.SIGNAL`, `begin` asks keys kept
elsewhere and waits for none; `resume` is to be called when they answered.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dkimcore_milter import wire
from dkimcore_milter.action import CONTINUE, Verdict
from dkimcore_milter.connection import Connection
from dkimcore_milter.inbox import Inbox
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.macros import MacroTable
from dkimcore_milter.metrics import Count
from dkimcore_milter.need import Need
from dkimcore_milter.negotiation import Agreement, Steps, negotiate
from dkimcore_milter.wire import Command, PacketTooLong, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore_milter.action import Conclusion, Reply
    from dkimcore_milter.need import Work
    from dkimcore_milter.service import Service

__all__ = ["Conversation"]

_FIELD = int(Command.HEADER)
_OCTETS = Need.OCTETS
_FIELD_OCTETS = 65_536
"""So much of a header is handed on at once, and its limits are looked at."""

_TURN = 128
"""What is handled before others get a turn, in units of about 3 us (`_HANDLERS`): more than a
message's, so that only one in a hurry notices."""

_RUN_OCTETS = 8192
_UNIT_OCTETS = 128
"""How many octets of fields at most are taken at once, and how many weigh a unit."""

_HEAD_OCTETS = wire.HEAD_OCTETS
_FINAL = (Verdict.ACCEPT, Verdict.DISCARD, Verdict.REJECT, Verdict.TEMPFAIL)
_CONTINUE = wire.CONTINUE


class Conversation:
    """A connection of an MTA, as octets.

    Args:
        service: What it is served with.

    Attributes:
        need: What it needs to go on.
        work: What to call, by any thread, while `need` is `Need.WORK`; it does not raise.
        zone: Whose name servers it waits for; None if for a key that is kept elsewhere.
        under_way: Whether a message began and was not answered yet.
    """

    __slots__ = (
        "_agreement",
        "_connection",
        "_fields",
        "_header_ended",
        "_inbox",
        "_is_concluding",
        "_leading_space",
        "_macros",
        "_mute_fields",
        "_mute_recipients",
        "_mute_senders",
        "_octets",
        "_service",
        "need",
        "under_way",
        "work",
        "zone",
    )

    def __init__(self, service: Service) -> None:
        self._service = service
        self._macros = MacroTable()
        self._agreement: Agreement | None = None
        self._leading_space = False
        self._mute_fields = self._mute_senders = self._mute_recipients = False
        self._inbox = Inbox()
        self.need = Need.OCTETS
        self.work: Work | None = None
        self.zone: str | None = None
        self._is_concluding = False
        self._connection = self._connect()
        self._begin()

    def _connect(self) -> Connection:
        service = self._service
        return Connection(
            service.engine, log=service.log, macros=self._macros.value, meter=service.meter
        )

    def _begin(self) -> None:
        """Forget what belongs to a message."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._octets = 0
        self._header_ended = False
        self.under_way = False

    @property
    def job_id(self) -> str | None:
        """The message's queue id, as far as the MTA told it."""
        return self._macros.value("i")

    def receive(self, octets: bytes) -> bytes:
        """Take what the MTA sent, and return what to send.

        Args:
            octets: Any number of them; none if `need` was `Need.TURN`.
        """
        self.need = _OCTETS
        out: list[bytes] = []
        try:
            if self._inbox.rest:
                octets = self._inbox.join(octets)
            at = self._handle(octets, out)
            if at < len(octets):
                self._inbox.keep(octets, at)
        except ProtocolError as exc:
            if isinstance(exc, PacketTooLong):
                self._service.meter.count(Count.LIMIT_PACKET_LENGTH)
            self._say(f"milter protocol error: {exc}", "protocol-error")
            self.need = Need.END
            return b"".join(out)
        return out[0] if len(out) == 1 else b"".join(out)

    def begin(self, notify: Callable[[], None]) -> Callable[[], bytes] | None:
        """Begin what `Need.SIGNAL` asks for, in the loop's thread.

        Args:
            notify: Called once, by any thread, when `resume` is to be called with `complete`.

        Returns:
            What to call `resume` with at once; then nobody is notified.
        """
        conclusion = self._connection.begin_end_of_message(notify)
        return None if conclusion is None else partial(self._conclude, conclusion)

    def complete(self) -> bytes:
        """Return what to send when keys have answered; for `resume`."""
        conclusion = self._connection.complete_end_of_message()
        if conclusion is not None:
            return self._conclude(conclusion)
        self._is_concluding = True  # other keys sign instead
        return self._wait(self._wait_for_end)

    def resume(self, go_on: Callable[[], bytes]) -> bytes:
        """Go on with what `work` or `begin` returned, or `complete`; return what to send."""
        self.need, self.work = _OCTETS, None
        self._is_concluding = False
        answer = go_on()
        if self.need is not _OCTETS:  # there is more to wait for
            return answer
        return answer + self.receive(self._inbox.take())

    @property
    def is_within_packet(self) -> bool:
        """Whether the rest of a packet has to come."""
        return self.need is _OCTETS and bool(self._inbox.rest)

    def progress(self) -> bytes:
        """Return what tells the MTA that we still work; nothing where it may not be told."""
        return wire.PROGRESS if self._is_concluding else b""

    def close(self) -> None:
        """Free everything; not while `work` runs."""
        self.need, self.work = Need.END, None
        self._connection.close()

    def _handle(self, octets: bytes, out: list[bytes]) -> int:
        """Handle complete packets; return how many octets that were."""
        at, end, left, head = 0, len(octets), _TURN, wire.HEAD
        while end - at >= _HEAD_OCTETS:
            size, letter = head(octets, at)
            following = at + 4 + size
            if following > end or size == 0:  # the inbox says whether that may be
                break
            if letter == _FIELD and self._agreement is not None:
                following = self._take_fields(octets, at, out)
                left -= (following - at) // _UNIT_OCTETS
            else:
                if letter not in _HANDLERS:
                    raise ProtocolError(f"unknown command 0x{letter:02x}")
                handle, weight = _HANDLERS[letter]
                if self._agreement is None and letter not in _BEFORE_NEGOTIATION:
                    raise ProtocolError("the MTA did not negotiate")
                answer = handle(self, octets[at + 5 : following])
                if answer is None:  # it waits for the end of the header
                    break
                if answer:
                    out.append(answer)
                left -= weight
            at = following
            if self.need is not _OCTETS:
                break
            if left <= 0 and at < end:
                self.need = Need.TURN
                break
        return at

    def _take_fields(self, octets: bytes, at: int, out: list[bytes]) -> int:
        """Take fields that follow each other."""
        head, fields, end = wire.HEAD, self._fields, len(octets)
        lead = not self._leading_space
        before, begun = len(fields), at
        last_head = min(end, at + _RUN_OCTETS) - _HEAD_OCTETS
        try:
            while at <= last_head:
                size, letter = head(octets, at)
                following = at + 4 + size
                if letter != _FIELD or following > end or size == 0:
                    break
                name, value, _ = octets[at + 5 : following].split(b"\0", 2)
                if b"\n" in value:
                    value = value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                fields.append((name, b" " + value if lead else value))
                at = following
        except ValueError:
            raise ProtocolError("a field without a value") from None
        self._octets = count = self._octets + at - begun
        answers = 0 if self._mute_fields else len(fields) - before
        last = CONTINUE if count < _FIELD_OCTETS else self._hand_on()
        if answers:
            out.append(_CONTINUE * (answers - 1) + self._answer(last))
        return at

    def _hand_on(self) -> Reply:
        """Give the connection the fields that came so far."""
        fields = self._fields
        self._fields, self._octets = [], 0
        return self._connection.fields(fields)

    def _answer(self, reply: Reply) -> bytes:
        if reply is CONTINUE:
            return _CONTINUE
        if reply.verdict in _FINAL:
            self.under_way = False
            self._macros.forget_message()
        elif reply.verdict is Verdict.SKIP and not (self._agreement and self._agreement.skip):
            return _CONTINUE
        return wire.print_reply(reply)

    def _wait_for_keys(self) -> Callable[[], bytes]:
        return partial(self._answer, self._connection.wait())

    def _wait_unheard(self) -> Callable[[], bytes]:
        self._connection.wait()
        return bytes

    def _wait_for_end(self) -> Callable[[], bytes]:
        return partial(self._conclude, self._connection.finish_end_of_message())

    def _wait(self, work: Work) -> bytes:
        self.need, self.work, self.zone = Need.WORK, work, self._connection.zone
        return b""

    def _negotiate(self, data: bytes) -> bytes:
        if self._agreement is not None:  # not even behind SMFIC_QUIT_NC, as libmilter has it
            raise ProtocolError("a second negotiation")
        engine, inet = self._service.engine, self._service.inet
        made = negotiate(data, engine.settings, symbols=engine.symbols(), inet=inet)
        if isinstance(made, str):
            self._say(made, "actions-not-available")
            return self._quit(b"")
        self._agreement, answer = made
        self._leading_space = self._agreement.leading_space
        self._mute_fields, self._mute_senders, self._mute_recipients = (
            step in self._agreement.steps for step in (Steps.NR_HDR, Steps.NR_MAIL, Steps.NR_RCPT)
        )
        return answer

    def _define_macros(self, data: bytes) -> bytes:
        self._macros.define(data)
        return b""

    def _client(self, data: bytes) -> bytes:
        self._begin()
        self._macros.begin(Command.CONNECT)
        return self._answer(self._connection.connect(wire.parse_client(data)))

    def _envelope_sender(self, data: bytes) -> bytes:
        self._begin()
        self._macros.begin(Command.MAIL)
        self.under_way = True
        answer = self._answer(self._connection.envelope_sender(wire.strings(data)[0]))
        return b"" if self._mute_senders else answer

    def _envelope_recipient(self, data: bytes) -> bytes:
        # A refusal concerns only this recipient.
        reply = self._connection.envelope_recipient(wire.strings(data)[0])
        return b"" if self._mute_recipients else wire.print_reply(reply)

    def _acknowledge(self, _data: bytes) -> bytes:
        return _CONTINUE

    def _end_of_header(self, _data: bytes) -> bytes:
        reply = self._try_end_of_header()
        return self._wait(self._wait_for_keys) if reply is None else self._answer(reply)

    def _try_end_of_header(self) -> Reply | None:
        self._header_ended = True
        if self._fields:
            self._hand_on()
        return self._connection.try_end_of_header()

    def _has_to_wait(self) -> bool:
        """End a header that the MTA did not end."""
        if self._header_ended or self._try_end_of_header() is not None:
            return False
        self._wait(self._wait_unheard)
        return True

    def _body(self, chunk: bytes) -> bytes | None:
        if not self._header_ended and self._has_to_wait():
            return None
        return self._answer(self._connection.body(chunk))

    def _end_of_message(self, data: bytes) -> bytes | None:
        if not self._header_ended and self._has_to_wait():
            return None
        connection = self._connection
        if data:  # the rest of the body may come with it
            connection.body(data)
        if connection.may_be_slow:
            self._is_concluding = True
            self.need = Need.SIGNAL
            return b""
        return self._conclude(connection.end_of_message())

    def _conclude(self, conclusion: Conclusion) -> bytes:
        answer = wire.print_reply(conclusion.reply)
        if conclusion.modifications:
            lead = self._leading_space
            changes = [
                wire.print_modification(change, leading_space=lead)
                for change in conclusion.modifications
            ]
            answer = b"".join((*changes, answer))
        self._begin()
        self._macros.forget_message()
        return answer

    def _abort(self, _data: bytes) -> bytes:
        self._begin()
        self._connection.abort()
        self._macros.forget_message()
        return b""

    def _quit(self, _data: bytes) -> bytes:
        self.need = Need.END
        return b""

    def _new_connection(self, _data: bytes) -> bytes:
        """The MTA has another client: SMFIC_QUIT_NC."""
        before = self._connection
        self._begin()
        self._macros = MacroTable()
        self._connection = self._connect()
        before.close()
        return b""

    def _say(self, text: str, event: str) -> None:
        self._service.log(LogLine(level=Level.ERR, text=text, event=event, job_id=self.job_id))


_HANDLERS: dict[int, tuple[Callable[[Conversation, bytes], bytes | None], int]] = {
    Command.ABORT: (Conversation._abort, 2),
    Command.BODY: (Conversation._body, 2),
    Command.BODYEOB: (Conversation._end_of_message, 32),
    Command.CONNECT: (Conversation._client, 8),
    Command.DATA: (Conversation._acknowledge, 1),
    Command.EOH: (Conversation._end_of_header, 32),
    Command.HELO: (Conversation._acknowledge, 1),
    Command.MACRO: (Conversation._define_macros, 1),
    Command.MAIL: (Conversation._envelope_sender, 4),
    Command.OPTNEG: (Conversation._negotiate, 8),
    Command.QUIT: (Conversation._quit, 1),
    Command.QUIT_NC: (Conversation._new_connection, 8),
    Command.RCPT: (Conversation._envelope_recipient, 2),
    Command.UNKNOWN: (Conversation._acknowledge, 1),
}
_BEFORE_NEGOTIATION = frozenset({Command.ABORT, Command.MACRO, Command.OPTNEG, Command.QUIT})
