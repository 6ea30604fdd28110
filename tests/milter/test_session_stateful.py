"""Whatever an MTA calls, in whatever order: nothing raises, and each message has one verdict."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dkimcore.settings.model import Action, Source
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

# All On-* options at once, so that each verdict comes up.
STERN = {
    "bad_signature": Action.REJECT,
    "key_not_found": Action.DISCARD,
    "security": Action.QUARANTINE,
    "signature_error": Action.QUARANTINE,
}
SITES = [
    {},
    {"actions": STERN, "verifying": {"maximum_header_octets": 1500}},
    {"hosts": {"verifies": False}},
    {"hosts": {"signs": False}, "verifying": {"always_add_results": True}},
    {"hosts": {"peers": Source("192.0.2.7")}, "verifying": {"required_headers": True}},
    {
        "actions": {"redirect_failures_to": "x@example.net", "quarantine": True},
        "verifying": {"maximum_signatures": 0, "strict_headers": True},
        "logging": {"software_header": True, "results": True},
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
SIGNED, _ = parse(mail())
BROKEN, _ = parse(tampered().replace(b"dinner", b"winner"))

octets = strategies.binary(max_size=60)
names = strategies.sampled_from(
    [b"From", b"DKIM-Signature", b"Authentication-Results", b"Reply-To", b"Date", b"X;Y", b"", b" "]
)
fields = strategies.one_of(
    strategies.sampled_from([*SIMPLE, *SIGNED, *BROKEN, FORGED]),
    strategies.tuples(names, octets),
    strategies.tuples(octets, octets),
)
addresses = strategies.one_of(
    octets, strategies.sampled_from([b"<list@example.net>", b"<bob@example.net>"])
)
peers = strategies.sampled_from(
    [
        Peer(host="localhost", address="127.0.0.1"),
        Peer(host="mail.example.org", address="192.0.2.1"),
        Peer(host=None, address="192.0.2.7"),
        Peer(host="[2001:db8::1]", address="2001:db8::1"),
        Peer(host=None, address=None, local=True),
        Peer(host="\udcff\x00", address="nonsense"),
    ]
)
macros = strategies.dictionaries(
    strategies.sampled_from(["i", "j", "{auth_type}", "{daemon_name}"]),
    strategies.sampled_from(["", "mx.example.net", "x\r\nY: z", "PLAIN", "\udcff"]),
)


class Callbacks(RuleBasedStateMachine):
    """An MTA gone mad."""

    @initialize(groups=strategies.sampled_from(SITES), macros=macros)
    def begin(self, groups, macros):
        self.folder = tempfile.TemporaryDirectory()
        engine = Engine.load(site(Path(self.folder.name), **groups), clock=lambda: float(NOW))
        self.lines = []
        self.session = Session(engine, log=self.lines.append, macros=macros.get)
        self.refused = None

    def teardown(self):
        if hasattr(self, "session"):
            self.session.close()
            self.folder.cleanup()

    def take(self, reply, *, allowed=(CONTINUE,)):
        """A reply before the end of a message; once it is refused, it stays refused."""
        if self.refused is not None:
            assert reply == self.refused
        elif reply not in allowed and reply != ACCEPT:
            assert isinstance(reply, Reply)
            assert reply.verdict in (Verdict.REJECT, Verdict.TEMPFAIL, Verdict.DISCARD)
            self.refused = reply

    @rule(peer=peers)
    def connect(self, peer):
        self.refused = None
        assert self.session.connect(peer) in (CONTINUE, ACCEPT)

    @rule(address=addresses)
    def mail(self, address):
        self.refused = None
        assert self.session.envelope_sender(address) in (CONTINUE, ACCEPT)

    @rule(address=addresses)
    def rcpt(self, address):
        assert self.session.envelope_recipient(address) in (CONTINUE, ACCEPT)

    @rule(field=fields)
    def header(self, field):
        self.take(self.session.field(*field))

    @rule(fields=strategies.sampled_from([SIMPLE, SIGNED, BROKEN]))
    def whole_header(self, fields):
        for field in fields:
            self.take(self.session.field(*field))

    @rule()
    def eoh(self):
        self.take(self.session.end_of_header())

    @rule(chunk=strategies.one_of(octets, strategies.just(b"Are you hungry?\r\n")))
    def body(self, chunk):
        self.take(self.session.body(chunk), allowed=(CONTINUE, SKIP))

    @rule()
    def eom(self):
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

    @rule()
    def abort(self):
        self.session.abort()
        self.refused = None

    @invariant()
    def log_lines_are_lines(self):
        for line in getattr(self, "lines", ()):
            assert line.text.isprintable()
            line.text.encode()
        if hasattr(self, "lines"):
            self.lines.clear()


def check(conclusion):
    """Deletions come first and bottom up; what is inserted is one field each."""
    deleted = True
    last = {}
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


TestCallbacks = Callbacks.TestCase
TestCallbacks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("reply", [CONTINUE, SKIP])
def test_the_check_of_the_check(reply):
    with pytest.raises(AssertionError):
        check(Conclusion((DeleteField(b"A", 1), DeleteField(b"A", 2)), reply))
