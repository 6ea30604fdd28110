"""What tests of the milter's decisions are made of: a site on disk, and an MTA in memory.

A site's settings name real tables, keys and records, which a real engine loads; the MTA plays
a message to a session, keeps what it is told, and makes the changes it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dkimcore.protocol.message import HeaderField
from dkimcore.settings import (
    Actions,
    Hosts,
    Logging,
    MilterLimits,
    Resolving,
    Settings,
    Signing,
    Source,
    Verifying,
)
from dkimcore_milter.action import (
    ACCEPT,
    CONTINUE,
    SKIP,
    AddRecipient,
    Conclusion,
    DeleteField,
    DeleteRecipient,
    InsertField,
    Quarantine,
    Verdict,
)
from dkimcore_milter.engine import Engine
from dkimcore_milter.meter import Meter
from dkimcore_milter.peer import Peer
from dkimcore_milter.session import Session
from tests.protocol import material

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dkimcore_milter.action import Reply
    from dkimcore_milter.logline import LogLine

NOW = material.NOW
HOST = "mx.example.net"
INSIDE = Peer(host="localhost", address="127.0.0.1")
OUTSIDE = Peer(host="mail.example.org", address="192.0.2.1")
MACROS = {"i": "4Bq1", "j": HOST}
SIMPLE = [
    (b"From", b" Alice <alice@example.com>"),
    (b"To", b" bob@example.net"),
    (b"Subject", b" dinner"),
    (b"Date", b" Mon, 1 Jan 2024 00:00:00 +0000"),
]
BODY = b"Are you hungry?\r\n"
KEYS = Path(material.__file__).with_name("keys")


def site(folder: Path, **groups: Mapping[str, object]) -> Settings:
    """The settings of a site that signs for example.com with a key s1, and verifies.

    Args:
        folder: Where its files are put.
        groups: Values to set: ``signing={...}``, ``verifying={...}``, and so on.
    """
    pem = KEYS.joinpath("rsa2048.pem").read_text()
    key = folder / "s1.private"
    key.write_text(pem)
    key.chmod(0o600)
    (folder / "KeyTable").write_text(f"main example.com:s1:{key}\n")
    (folder / "SigningTable").write_text("example.com main\n")
    record = material.rsa().record().decode()
    (folder / "records").write_text(f"s1._domainkey.example.com {record}\n")
    signing = {
        "signing_table": Source(f"file:{folder}/SigningTable"),
        "key_table": Source(f"file:{folder}/KeyTable"),
        "require_safe_keys": False,
    }
    resolving = {"test_public_keys": Source(f"{folder}/records")}
    return Settings(
        signing=Signing(**{**signing, **groups.get("signing", {})}),
        verifying=Verifying(**groups.get("verifying", {})),
        hosts=Hosts(**groups.get("hosts", {})),
        actions=Actions(**groups.get("actions", {})),
        resolving=Resolving(**{**resolving, **groups.get("resolving", {})}),
        logging=Logging(**{"success": True, "why": True, **groups.get("logging", {})}),
        limits=MilterLimits(**groups.get("limits", {})),
    )


def publish(folder: Path, **records: bytes) -> None:
    """Write the site's key records anew: selectors of example.com and their records."""
    lines = (f"{name}._domainkey.example.com {text.decode()}\n" for name, text in records.items())
    (folder / "records").write_text("".join(lines))


def parse(message: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """A message's fields and its body."""
    head, _, body = message.partition(b"\r\n\r\n")
    fields: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            name, value = fields[-1]
            fields[-1] = (name, value + b"\r\n" + line)
        else:
            name, _, value = line.partition(b":")
            fields.append((name, value))
    return fields, body


def compose(fields: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    """A message of its fields and its body."""
    return b"".join(b"%b:%b\r\n" % one for one in fields) + b"\r\n" + body


@dataclass
class Outcome:
    """What became of a message.

    Attributes:
        reply: What the client is told.
        step: The callback that said so.
        changes: What was to be changed.
        message: The message as it goes on; empty unless it was accepted.
        recipients: Who gets it.
        log: What was logged.
        skipped: Whether the rest of the body was not wanted.
        quarantine: Why it is held; None if it is not.
    """

    reply: Reply
    step: str
    changes: tuple[object, ...]
    log: list[LogLine]
    message: bytes = b""
    recipients: list[bytes] = field(default_factory=list)
    skipped: bool = False
    quarantine: str | None = None

    def values(self, name: str) -> list[str]:
        """The bodies of all fields of a name, unfolded, from the top."""
        fields, _ = parse(self.message)
        return [
            value.decode().replace("\r\n", "").replace("\t", " ").strip()
            for field_name, value in fields
            if field_name.lower() == name.lower().encode()
        ]

    @property
    def results(self) -> list[str]:
        """Our Authentication-Results fields."""
        return [value for value in self.values("Authentication-Results") if value.startswith(HOST)]

    def lines(self, event: str) -> list[str]:
        """The texts of the log lines of an event."""
        return [line.text for line in self.log if line.event == event]


class Mta:
    """An MTA that uses one filter.

    Args:
        settings: The site's.
        peer: Who connects.
        macros: What the MTA says.
        resolver: Answers key queries instead of the settings'.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        peer: Peer = OUTSIDE,
        macros: Mapping[str, str] | None = None,
        resolver: object = None,
    ) -> None:
        self.log: list[LogLine] = []
        self.engine = Engine.load(settings, clock=lambda: float(NOW), log=self.log.append)
        if resolver is not None:
            self.engine.resolver = resolver
        self.macros = dict(MACROS if macros is None else macros)
        self.meter = Meter.alone()
        self.session = Session(
            self.engine, log=self.log.append, macros=self.macros.get, meter=self.meter
        )
        self.greeting = self.session.connect(peer)

    def send(
        self,
        fields: Sequence[tuple[bytes, bytes]] = SIMPLE,
        body: bytes = BODY,
        *,
        sender: bytes = b"<alice@example.com>",
        recipients: Sequence[bytes] = (b"<bob@example.net>",),
        chunk: int = 65_535,
    ) -> Outcome:
        """Pass a message through the filter, and do what it says."""
        session, start = self.session, len(self.log)
        calls = [("mail", session.envelope_sender, (sender,))]
        calls += [("rcpt", session.envelope_recipient, (to,)) for to in recipients]
        calls += [("header", session.field, one) for one in fields]
        calls += [("eoh", session.end_of_header, ())]
        calls += [
            ("body", session.body, (body[at : at + chunk],)) for at in range(0, len(body), chunk)
        ]
        skipped = False
        for step, call, arguments in calls:
            if step == "body" and skipped:
                continue
            reply = call(*arguments)
            if reply is SKIP:
                assert step == "body"
                skipped = True
            elif reply is not CONTINUE:
                made = Outcome(reply, step, (), self.log[start:])
                if reply == ACCEPT:
                    made.message, made.recipients = compose(fields, body), list(recipients)
                session.abort()
                return made
        conclusion = session.end_of_message()
        outcome = Outcome(conclusion.reply, "eom", conclusion.modifications, self.log[start:])
        outcome.skipped = skipped
        if conclusion.reply.verdict is Verdict.ACCEPT:
            _apply(conclusion, outcome, fields=fields, recipients=recipients)
            outcome.message = compose(parse(outcome.message + b"\r\n\r\n")[0], body)
        else:
            assert conclusion.modifications == ()
        return outcome

    def pass_on(self, message: bytes, **options: object) -> Outcome:
        """Pass a message in octets through the filter."""
        fields, body = parse(message)
        return self.send(fields, body, **options)


def _apply(
    conclusion: Conclusion,
    outcome: Outcome,
    *,
    fields: Sequence[tuple[bytes, bytes]],
    recipients: Sequence[bytes],
) -> None:
    header = [HeaderField(name + b":" + value) for name, value in fields]
    outcome.recipients = list(recipients)
    for change in conclusion.modifications:
        match change:
            case InsertField():
                assert not change.field.raw.endswith(b"\r\n")
                header.insert(0, change.field)
            case DeleteField():
                same = [
                    at for at, one in enumerate(header) if one.name.lower() == change.name.lower()
                ]
                del header[same[change.index - 1]]
            case Quarantine():
                outcome.quarantine = change.reason
            case AddRecipient():
                outcome.recipients.append(change.address)
            case DeleteRecipient():
                outcome.recipients.remove(change.address)
    outcome.message = b"\r\n".join(one.raw for one in header)


def with_group(settings: Settings, group: str, **values: object) -> Settings:
    """Settings with other values in one group."""
    return replace(settings, **{group: replace(getattr(settings, group), **values)})
