"""An MTA gone mad: any calls of a session in any order, and what must hold after each.

`MadMta` makes one call at a time and checks it.  Which calls, is the choice of Hypothesis
(`test_session_stateful`) or of a fuzzer (`tests.fuzz.fuzz_session`); both draw from the lists here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.settings.model import Action, Source
from dkimcore.testing import EphemeralKey
from dkimcore_milter.action import (
    ACCEPT,
    CONTINUE,
    SKIP,
    Conclusion,
    DeleteField,
    InsertField,
    Quarantine,
    Reply,
    Verdict,
)
from dkimcore_milter.engine import Engine
from dkimcore_milter.peer import Peer
from dkimcore_milter.session import Session
from tests.milter.sessions import NOW, SIMPLE, parse, site
from tests.milter.test_verifying import FORGED, mail, tampered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dkimcore.protocol.keyrecord import TxtAnswer as Answer
    from dkimcore_milter.logline import LogLine

__all__ = ["ADDRESSES", "FIELDS", "HEADERS", "NAMES", "PEERS", "SITES", "MadMta", "check", "load"]

# All On-* options at once, so that each verdict comes up.
STERN = {
    "bad_signature": Action.REJECT,
    "key_not_found": Action.DISCARD,
    "security": Action.QUARANTINE,
    "signature_error": Action.QUARANTINE,
}
SITES: list[Mapping[str, Mapping[str, object]]] = [
    {},
    {"actions": STERN, "verifying": {"maximum_header_octets": 1500}},
    {"hosts": {"verifies": False}, "limits": {"header_fields": 10, "recipients": 3}},
    {"hosts": {"signs": False}, "verifying": {"always_add_results": True}},
    {"hosts": {"peers": Source("192.0.2.7")}, "verifying": {"required_headers": True}},
    {
        "actions": {"redirect_failures_to": "x@example.net", "quarantine": True},
        "verifying": {"maximum_signatures": 0, "strict_headers": True},
        "logging": {"software_header": True, "results": True},
        "limits": {"queries": 1},
    },
    {
        "signing": {
            "remove_old_signatures": True,
            "fix_crlf": True,
            "resign_recipients": Source("list@example.net=main"),
            "resign_all": True,
            "identity_header": "Reply-To",
            "identity_header_remove": True,
        }
    },
]
WAITING = len(SITES)
"""One more site: nothing is at hand there, neither key records nor the private key."""

SIGNED, _ = parse(mail())
BROKEN, _ = parse(tampered().replace(b"dinner", b"winner"))
HEADERS = [SIMPLE, SIGNED, BROKEN]
FIELDS = [*SIMPLE, *SIGNED, *BROKEN, FORGED]
NAMES = [b"From", b"DKIM-Signature", b"Authentication-Results", b"Reply-To", b"Date"]
NAMES += [b"X;Y", b"", b" "]
ADDRESSES = [b"<bob@example.net>", b"<list@example.net>"]
PEERS = [
    Peer(host="localhost", address="127.0.0.1"),
    Peer(host="mail.example.org", address="192.0.2.1"),
    Peer(host=None, address="192.0.2.7"),
    Peer(host="[2001:db8::1]", address="2001:db8::1"),
    Peer(host=None, address=None, local=True),
    Peer(host="\udcff\x00", address="nonsense"),
]


class _AsksElsewhere:
    """A resolver that has nothing at hand, and fails for what it does not know."""

    def __init__(self, resolver: object) -> None:
        self._resolver = resolver

    def lookup_txt(self, name: str) -> Answer:
        found = self._resolver.lookup_txt(name)
        return found if found.records else TxtAnswer(TxtStatus.FAILED, detail="timed out")


def load(folder: Path, number: int) -> Engine:
    """Loads a site's engine.

    Args:
        folder: Where its files are put.
        number: Of `SITES`, or `WAITING`.
    """
    if number != WAITING:
        return Engine.load(site(folder, **SITES[number]), clock=lambda: float(NOW))
    settings = site(folder)
    (folder / "KeyTable").write_text("main example.com:s1:far:key\n")
    engine = Engine.load(settings, clock=lambda: float(NOW))
    engine._keys.add("far:key", EphemeralKey.ed25519(bytes(32)))
    engine.resolver = _AsksElsewhere(engine.resolver)
    return engine


class MadMta:
    """Calls a session, and checks what it says.

    Args:
        engine: What the session decides with.
        macros: What the MTA says of itself.
    """

    def __init__(self, engine: Engine, macros: Mapping[str, str]) -> None:
        self.lines: list[LogLine] = []
        self.session = Session(engine, log=self.lines.append, macros=macros.get)
        self.refused: Reply | None = None

    def _take(self, reply: Reply, allowed: Sequence[Reply] = (CONTINUE,)) -> None:
        """A reply before the end of a message; once it is refused, it stays refused."""
        if self.refused is not None:
            assert reply == self.refused
        elif reply not in allowed and reply != ACCEPT:
            assert isinstance(reply, Reply)
            assert reply.verdict in (Verdict.REJECT, Verdict.TEMPFAIL, Verdict.DISCARD)
            self.refused = reply

    def connect(self, peer: Peer) -> None:
        self.refused = None
        assert self.session.connect(peer) in (CONTINUE, ACCEPT)

    def mail(self, address: bytes) -> None:
        self.refused = None
        assert self.session.envelope_sender(address) in (CONTINUE, ACCEPT)

    def rcpt(self, address: bytes) -> None:
        assert self.session.envelope_recipient(address) in (CONTINUE, ACCEPT)

    def header(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        for field in fields:
            self._take(self.session.field(*field))

    def eoh(self, *, patient: bool) -> None:
        if patient:
            self._take(self.session.end_of_header())
        else:
            reply = self.session.try_end_of_header()
            self._take(self.session.wait() if reply is None else reply)

    def body(self, chunk: bytes) -> None:
        self._take(self.session.body(chunk), allowed=(CONTINUE, SKIP))

    def eom(self) -> None:
        assert isinstance(self.session.may_be_slow, bool)
        conclusion = self.session.end_of_message()
        assert isinstance(conclusion, Conclusion)
        assert conclusion.reply.verdict not in (Verdict.CONTINUE, Verdict.SKIP)
        if self.refused is not None:
            assert conclusion == Conclusion((), self.refused)
        if conclusion.reply.verdict is not Verdict.ACCEPT:
            assert conclusion.modifications == ()
        self.refused = None
        check(conclusion)

    def abort(self) -> None:
        self.session.abort()
        self.refused = None

    def check_log(self) -> None:
        """Log lines are lines."""
        for line in self.lines:
            assert line.text.isprintable()
            line.text.encode()
        self.lines.clear()

    def close(self) -> None:
        self.session.close()


def check(conclusion: Conclusion) -> None:
    """Deletions come first and bottom up; what is inserted is one field each."""
    deleted = True
    last: dict[bytes, int] = {}
    for change in conclusion.modifications:
        if isinstance(change, DeleteField):
            assert deleted
            assert 0 < change.index < last.get(change.name, 1 << 30)
            last[change.name] = change.index
            continue
        deleted = False
        if isinstance(change, InsertField):
            raw = change.field.raw
            assert re.match(rb"[A-Za-z-]+: ", raw)
            unfolded = re.sub(rb"\r\n[ \t]+(?=\S)", b" ", raw)
            assert not re.search(rb"[\r\n\x00]", unfolded)
            raw.decode()
        elif isinstance(change, Quarantine):
            assert change.reason
