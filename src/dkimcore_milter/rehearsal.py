"""Plays the mail server to a session, for ``dkimcore why --verify``: nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore_milter.action import CONTINUE, Conclusion, InsertField, Verdict
from dkimcore_milter.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dkimcore.protocol.message import HeaderField
    from dkimcore_milter.action import Reply
    from dkimcore_milter.engine import Engine
    from dkimcore_milter.explanation import Envelope
    from dkimcore_milter.logline import LogLine

__all__ = ["Rehearsal", "rehearse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What the milter would do.

    Attributes:
        conclusion: What it would change, and its verdict.
        lines: What it would log.
    """

    conclusion: Conclusion
    lines: tuple[LogLine, ...]

    @property
    def inserted(self) -> tuple[HeaderField, ...]:
        """The fields that it would add, the topmost first."""
        changes = self.conclusion.modifications
        return tuple(one.field for one in reversed(changes) if isinstance(one, InsertField))


def rehearse(
    engine: Engine,
    fields: Sequence[tuple[bytes, bytes]],
    body: Iterable[bytes],
    envelope: Envelope,
) -> Rehearsal:
    """Let a session decide about a message.  Asks the engine's resolver.

    Args:
        engine: The site's settings and tables.
        fields: Names of header fields, and the octets behind their colons.
        body: The body in parts, with CRLF.
        envelope: How the message comes.
    """
    lines: list[LogLine] = []
    session = Session(engine, log=lines.append, macros=envelope.macros.get)
    try:
        conclusion = _conclude(session, fields, body, envelope)
    finally:
        session.close()
    return Rehearsal(conclusion=conclusion, lines=tuple(lines))


def _conclude(
    session: Session,
    fields: Sequence[tuple[bytes, bytes]],
    body: Iterable[bytes],
    envelope: Envelope,
) -> Conclusion:
    replies = _replies(session, fields, envelope)
    for reply in replies:
        if reply is not CONTINUE:
            return Conclusion((), reply)
    for chunk in body:
        reply = session.body(chunk)
        if reply.verdict is Verdict.SKIP:
            break
        if reply is not CONTINUE:
            return Conclusion((), reply)
    return session.end_of_message()


def _replies(
    session: Session, fields: Sequence[tuple[bytes, bytes]], envelope: Envelope
) -> Iterable[Reply]:
    yield session.connect(envelope.peer)
    yield session.envelope_sender(b"<>")
    for recipient in envelope.recipients:
        yield session.envelope_recipient(recipient)
    for name, value in fields:
        yield session.field(name, value)
    yield session.end_of_header()
