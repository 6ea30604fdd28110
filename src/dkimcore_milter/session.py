"""One connection, one message at a time: what the MTA says, and what it is told.

Nothing here knows the milter protocol.  Calls may come in any order and some may be missing; none
raises for what a stranger sent, and each message gets one verdict.  Who is signed, verified or
left alone is left to `deciding`.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from dkimcore_milter.action import ACCEPT, CONTINUE, SKIP, Conclusion
from dkimcore_milter.deciding import decide
from dkimcore_milter.identity import UNKNOWN_HOST, host_name
from dkimcore_milter.limits import limit_reached
from dkimcore_milter.logline import Level
from dkimcore_milter.meter import Meter
from dkimcore_milter.metrics import Count
from dkimcore_milter.outcome import Deferred, Settled, conclude
from dkimcore_milter.peer import Peer
from dkimcore_milter.printable import printable
from dkimcore_milter.transaction import UNKNOWN_JOB, Mode, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore_milter.action import Reply
    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.outcome import Work
    from dkimcore_milter.peer import Macros

__all__ = ["Session"]


class Session:
    """The decisions of one connection.

    Args:
        engine: What decisions need; the session uses it until `close`.
        log: Takes lines.
        macros: Gives the MTA's macros; asked during calls only.
        meter: Counts what happens; None: nobody wants to know.
    """

    def __init__(
        self, engine: Engine, *, log: LogSink, macros: Macros, meter: Meter | None = None
    ) -> None:
        self._engine = engine
        self._limits = engine.settings.limits
        self._maximum_octets = engine.settings.verifying.maximum_header_octets
        self._log = log
        self._meter = Meter.alone() if meter is None else meter
        self._macros = macros
        self._peer = Peer(host=None, address=None)
        self._host = UNKNOWN_HOST
        self._is_left_alone = False
        self._closed = False
        self._warned = False
        self._mode = Mode.NONE
        self._forget()
        engine.retain()

    def _forget(self) -> None:
        """Drop what is known about a message."""
        self._message: Transaction | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._octets = 0
        self._work: Work | None = None
        self._deferred: Deferred | None = None
        self._reply: Reply | None = None

    def connect(self, peer: Peer) -> Reply:
        """Take the client; ACCEPT if it is left alone (PeerList)."""
        self._forget()
        self._peer = peer
        self._learn_host()
        self._is_left_alone = self._engine.is_peer(peer)
        return ACCEPT if self._is_left_alone else CONTINUE

    def _learn_host(self) -> None:
        if self._host == UNKNOWN_HOST:
            self._host = host_name(self._macros("j"))

    def envelope_sender(self, address: bytes) -> Reply:
        """Begin a message.

        Args:
            address: Its envelope sender; decides nothing.
        """
        self._forget()
        self._mode = Mode.NONE
        if self._is_left_alone:
            return ACCEPT
        self._begin()
        return CONTINUE

    def envelope_recipient(self, address: bytes) -> Reply:
        """Take a recipient.

        Args:
            address: As it was given, in angle brackets or not.
        """
        if self._is_left_alone:
            return ACCEPT
        recipients = self._begin().recipients
        if len(recipients) <= self._limits.recipients:  # one too many is kept, for all others
            recipients.append(address)
        return CONTINUE

    def _begin(self) -> Transaction:
        if self._message is None:
            self._message = Transaction(engine=self._engine, log=self._log, meter=self._meter)
        return self._message

    def field(self, name: bytes, value: bytes) -> Reply:
        """Take a header field.

        Args:
            name: Its name.
            value: Exactly the octets behind the colon, folds as CRLF.
        """
        if self._is_left_alone:
            return ACCEPT
        if self._reply is not None:
            return self._reply
        message = self._message or self._begin()
        if self._work is not None:
            return CONTINUE
        fields = self._fields
        fields.append((name, value))
        self._octets += len(name) + len(value) + 3  # the colon and the CRLF
        if self._octets > self._maximum_octets or len(fields) > self._limits.header_fields:
            return self._too_much(message)
        return CONTINUE

    def fields(self, fields: Sequence[tuple[bytes, bytes]]) -> Reply:
        """Take header fields that follow each other, as `field` takes each of them.

        Args:
            fields: Their names, and exactly the octets behind the colons, folds as CRLF.
        """
        if self._is_left_alone or self._reply is not None or self._work is not None:
            return self.field(b"", b"")  # as all of them: nobody looks at them
        known = self._fields
        octets = self._octets + sum(map(len, chain.from_iterable(fields))) + 3 * len(fields)
        if (
            self._message is None
            or octets > self._maximum_octets
            or len(known) + len(fields) > self._limits.header_fields
        ):
            # One by one, for it depends on the field what becomes of the message.
            reply = CONTINUE
            for name, value in fields:
                reply = self.field(name, value)
                if self._work is not None:
                    break
            return reply
        known += fields
        self._octets = octets
        return CONTINUE

    def _too_much(self, message: Transaction) -> Reply:
        """Say which limit the header exceeds."""
        self._identify(message)
        if self._octets > self._maximum_octets:
            self._meter.count(Count.LIMIT_HEADER_OCTETS)
            message.say(Level.NOTICE, "too much header data", event="header-too-large")
        else:
            text = f"header fields, {self._limits.header_fields} allowed"
            limit_reached(message, Count.LIMIT_HEADER_FIELDS, text)
        return self._refuse()

    def _refuse(self) -> Reply:
        """Do what is done with a message that exceeds a limit (On-Security)."""
        return self._start(Settled(conclude(self._engine.settings.actions.security)))

    def end_of_header(self) -> Reply:
        """Decide what is done with the message, waiting for the DNS where that has to be."""
        reply = self.try_end_of_header()
        return self.wait() if reply is None else reply

    def try_end_of_header(self) -> Reply | None:
        """Decide what is done with the message; None means to call `wait` before anything else."""
        if self._is_left_alone:
            return ACCEPT
        if self._reply is not None:
            return self._reply
        message = self._begin()
        if self._work is not None:
            return CONTINUE
        self._identify(message)
        if len(message.recipients) > self._limits.recipients:
            text = f"recipients, {self._limits.recipients} allowed"
            limit_reached(message, Count.LIMIT_RECIPIENTS, text)
            return self._refuse()
        work = decide(message, tuple(self._fields), peer=self._peer, macros=self._macros)
        if isinstance(work, Deferred):
            self._deferred = work
            return None
        return self._start(work)

    @property
    def zone(self) -> str | None:
        """Whose name servers `wait` waits for; None if for a key that is kept elsewhere."""
        return None if self._deferred is None else self._deferred.zone

    def wait(self) -> Reply:
        """Wait for what `try_end_of_header` did not wait for; may be called by another thread."""
        deferred, self._deferred = self._deferred, None
        return CONTINUE if deferred is None else self._start(deferred.resolve())

    def _identify(self, message: Transaction) -> None:
        """Ask for the queue id, which Postfix knows late, and for the MTA's name."""
        if self._host == UNKNOWN_HOST:
            self._learn_host()
        message.host = self._host
        job_id = self._macros("i")
        if job_id is not None and job_id != message.job_id:
            message.job_id = printable(job_id or message.job_id)

    def _start(self, work: Work) -> Reply:
        self._work = work
        self._fields.clear()
        if isinstance(work, Settled) and work.reply is not None:
            self._reply = work.reply
            return self._reply
        return CONTINUE

    def body(self, chunk: bytes) -> Reply:
        """Take the next octets of the body; SKIP as soon as nothing wants more."""
        reply = self.end_of_header() if self._reply is None else self._reply
        if self._work is None or reply is not CONTINUE:
            return reply
        if not self._work.wants_body:
            return SKIP
        self._work.feed(chunk)
        return CONTINUE

    @property
    def mode(self) -> Mode:
        """What is done with the message, or was done with the one that ended last."""
        return self._mode if self._message is None else self._message.mode

    @property
    def may_be_slow(self) -> bool:
        """Whether `end_of_message` may wait for a key that is kept elsewhere."""
        return self._work is not None and self._work.may_be_slow

    def end_of_message(self) -> Conclusion:
        """End the message: what to change, and the verdict.  Waits for whom it has to."""
        ended = self._end()
        return ended if isinstance(ended, Conclusion) else ended.finish()

    def begin_end_of_message(self, notify: Callable[[], None]) -> Conclusion | Work:
        """End the message as far as nobody has to be waited for.

        Args:
            notify: Called, by any thread, as soon as there is more to say.

        Returns:
            What to change and the verdict; or what `complete` is to be called of once somebody
            was notified, or, if that gives nothing, `finish` by a thread that may wait.
        """
        ended = self._end()
        if isinstance(ended, Conclusion):
            return ended
        begun = ended.begin(notify)
        return ended if begun is None else begun

    def _end(self) -> Conclusion | Work:
        """Return the fate of the message, or what is to end; the next one may come."""
        if self._work is None:
            self.end_of_header()
        work, reply, message = self._work, self._reply, self._message
        self._mode = self.mode
        self._forget()
        if work is None or message is None:
            return Conclusion((), ACCEPT)
        if reply is not None:
            return Conclusion((), reply)
        self._identify(message)
        if message.job_id == UNKNOWN_JOB and not self._warned:
            self._warned = True
            text = "WARNING: sendmail symbol 'i' not available"
            message.say(Level.WARNING, text, event="no-queue-id")
        return work

    def abort(self) -> None:
        """Forget the message."""
        self._forget()

    def close(self) -> None:
        """End the connection.

        Raises:
            KeyBackendError: A backend failed to close its key, after a reload.
        """
        self._forget()
        if not self._closed:
            self._closed = True
            self._engine.release()
