"""Between an MTA and a session: octets, what is asked for, and what goes wrong."""

from __future__ import annotations

import socket
import sys
import threading

import pytest

import dkimcore
from dkimcore.resolvers.static import StaticResolver
from dkimcore.testing import EphemeralKey
from dkimcore_milter.action import Verdict
from dkimcore_milter.activity import Activity
from dkimcore_milter.connection import Connection
from dkimcore_milter.logline import Level
from tests.milter.site import Site

KEY = EphemeralKey.ed25519()
SIGNING = "Domain example.com\nSelector s1\nKeyFile key\nCanonicalization simple/simple\n"
ALL_ACTIONS = 0x1FF
ALL_STEPS = 0x1FFFFF
CLIENT = ("localhost", socket.AF_INET, ("127.0.0.1", 4711))
FIELDS = [(b"From", b" a@example.com"), (b"Subject", b" hi")]


class Mta:
    """The MTA's end: keeps what it is asked for; `fails` makes a request fail."""

    def __init__(self, **macros):
        self.macros = {"i": "Q1", "j": "mx.example.net", **macros}
        self.asked = []
        self.fails = None
        self.waits = threading.Semaphore(0)

    def symbol(self, name):
        value = self.macros.get(name)
        if isinstance(value, Exception):
            raise value
        return value

    def _ask(self, *what):
        if what[0] == self.fails:
            raise OSError("gone")
        self.asked.append(what)

    def insert(self, name, value):
        self._ask("insert", name, value)

    def delete(self, name, index):
        self._ask("delete", name, index)

    def add_recipient(self, address):
        self._ask("add", address)

    def delete_recipient(self, address):
        self._ask("remove", address)

    def quarantine(self, reason):
        self._ask("quarantine", reason)

    def progress(self):
        self.waits.release()
        self._ask("progress")


class Talk:
    """A connection with everything around it."""

    def __init__(self, engine, *, mta=None, steps=ALL_STEPS, actions=ALL_ACTIONS):
        self.mta = mta or Mta()
        self.log = []
        self.activity = Activity()
        self.connection = Connection(
            engine,
            log=self.log.append,
            activity=self.activity,
            link=self.mta,
            inet=False,
            progress_seconds=0.01,
        )
        self.agreement = self.connection.negotiate(actions, steps)

    def play(self, fields=FIELDS, *, body=b"hello\r\n"):
        """Plays a message; returns the first answer that is not CONTINUE, or the last."""
        connection = self.connection
        calls = [
            lambda: connection.connect(*CLIENT),
            lambda: connection.envelope_sender(b"<a@example.com>"),
            lambda: connection.envelope_recipient(b"<b@example.net>"),
            *(lambda field=field: connection.field(*field) for field in fields),
            connection.end_of_header,
            lambda: connection.body(body),
            connection.end_of_message,
        ]
        for call in calls:
            reply = call()
            if reply.verdict not in (Verdict.CONTINUE, Verdict.SKIP):
                break
        return reply

    @property
    def errors(self):
        return [line for line in self.log if line.level is Level.ERR]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.key("key", KEY)
    return made


def verdict(fields, asked, *, body=b"hello\r\n"):
    """Verifies the message as the MTA has it after the requests."""
    inserted = b"".join(
        name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n"
        for what, name, value in asked
        if what == "insert"
    )
    own = b"".join(name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in fields)
    records = StaticResolver({"s1._domainkey.example.com": KEY.key_record()})
    (result,) = dkimcore.verify(inserted + own + b"\r\n" + body, resolver=records)
    return result


ODD = [
    (b"From", b" a@example.com"),
    (b"Subject", b"no blank"),
    (b"To", b"  two blanks\n\tand a fold\n  and another"),
    (b"Cc", b"\n folded at once"),
    (b"X-8bit", b" caf\xe9 \xf0\x9f\x98\x80 \xff\xfe"),
    (b"Date", b""),
    (b"Message-ID", b" <x@y> \t "),
]


def test_odd_header_octets_are_signed_as_they_are(site):
    talk = Talk(site.engine(SIGNING + "SignHeaders *,+X-8bit\n"))
    assert talk.play(ODD).verdict is Verdict.ACCEPT
    result = verdict(ODD, talk.mta.asked)
    assert result.status == "pass"
    assert "x-8bit" in [name.decode().lower() for name in result.signature.signed_fields]


def test_values_go_out_with_lf_and_their_blank(site):
    talk = Talk(site.engine(SIGNING))
    talk.play()
    ((_, name, value),) = talk.mta.asked
    assert name == b"DKIM-Signature"
    assert value.startswith(b" v=1;")
    assert b"\n" in value
    assert b"\r" not in value


def test_without_leading_space_the_mta_adds_the_blank_itself(site):
    # milter_protocol 2: "Subject: hi" comes as "hi", and "v=1" becomes " v=1".
    talk = Talk(site.engine(SIGNING), steps=0x7F, actions=0x3F)
    assert talk.play([(name, value.strip()) for name, value in FIELDS]).verdict is Verdict.ACCEPT
    ((what, name, value),) = talk.mta.asked
    assert value.startswith(b"v=1;")
    assert verdict(FIELDS, [(what, name, b" " + value)]).status == "pass"


def test_a_body_is_skipped_only_where_that_was_agreed_on(site):
    conf = "Mode v\nInternalHosts 192.0.2.1\n"  # unsigned mail: nothing wants the body
    for steps, expected in ((ALL_STEPS, Verdict.SKIP), (0x7F, Verdict.CONTINUE)):
        talk = Talk(site.engine(conf), steps=steps)
        talk.connection.connect(*CLIENT)
        talk.connection.envelope_sender(b"<>")
        for field in FIELDS:
            talk.connection.field(*field)
        talk.connection.end_of_header()
        assert talk.connection.body(b"x\r\n").verdict is expected
        assert talk.connection.end_of_message().verdict is Verdict.ACCEPT


def test_an_mta_that_cannot_do_what_is_needed_is_told_in_opendkims_words(site):
    talk = Talk(site.engine(SIGNING), actions=0x01)
    assert talk.agreement is None
    (line,) = talk.errors
    assert line.text == "required milter action(s) not available (got 0x1, need 0x11)"
    assert talk.connection.connect(*CLIENT).verdict is Verdict.REJECT
    talk.connection.close()
    assert talk.activity.connections == 0


@pytest.mark.parametrize(
    ("family", "address", "signed"),
    [
        (socket.AF_INET, ("127.0.0.1", 1), True),
        (socket.AF_INET6, ("::1", 1, 0, 0), True),
        (socket.AF_INET, ("192.0.2.1", 1), False),
        (socket.AF_UNIX, "/run/x", False),
        (0, None, False),  # OpenDKIM takes an unknown client for 127.0.0.1
    ],
)
def test_the_clients_address_decides(site, family, address, signed):
    talk = Talk(site.engine(SIGNING))
    connection = talk.connection
    connection.connect("client.example.org", family, address)
    connection.envelope_sender(b"<>")
    for field in FIELDS:
        connection.field(*field)
    connection.end_of_header()
    connection.end_of_message()
    assert bool(talk.mta.asked) is signed


def test_messages_are_counted_from_mail_to_their_end(site):
    talk = Talk(site.engine(SIGNING))
    connection, activity = talk.connection, talk.activity
    connection.connect(*CLIENT)
    assert (activity.connections, activity.messages) == (1, 0)
    connection.envelope_sender(b"<>")
    assert activity.messages == 1
    connection.abort()
    assert activity.messages == 0
    connection.envelope_sender(b"<>")
    connection.envelope_sender(b"<>")  # an MTA may forget to abort
    assert activity.messages == 1
    connection.close()
    assert (activity.connections, activity.messages) == (0, 0)


def test_deletions_and_recipients_reach_the_mta(site):
    conf = (
        "Mode v\nInternalHosts 192.0.2.1\nAuthservID mx.example.net\nAlwaysAddARHeader yes\n"
        "TestDNSData csl:_=x\nRedirectFailuresTo postmaster@example.net\n"
    )
    forged = (b"Authentication-Results", b" mx.example.net; dkim=pass header.d=example.com")
    talk = Talk(site.engine(conf))
    assert talk.play([forged, *FIELDS, forged]).verdict is Verdict.ACCEPT
    deleted = [what[1:] for what in talk.mta.asked if what[0] == "delete"]
    assert deleted == [(b"Authentication-Results", 2), (b"Authentication-Results", 1)]
    inserted = [what[2].split() for what in talk.mta.asked if what[0] == "insert"]
    assert inserted == [[b"mx.example.net;", b"dkim=none"]]


def test_a_failed_message_is_redirected(site):
    signer = Talk(site.engine(SIGNING))
    signer.play()
    ((_, name, value),) = signer.mta.asked
    site.write("records", f"s1._domainkey.example.com {KEY.key_record().decode()}\n")
    conf = (
        "Mode v\nInternalHosts 192.0.2.1\nTestPublicKeys records\n"
        "RedirectFailuresTo postmaster@example.net\n"
    )
    talk = Talk(site.engine(conf))
    talk.play([(name, value), *FIELDS], body=b"not what was signed\r\n")
    assert ("add", b"<postmaster@example.net>") in talk.mta.asked
    assert ("remove", b"<b@example.net>") in talk.mta.asked


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("accept", (Verdict.ACCEPT, "")),
        ("discard", (Verdict.DISCARD, "")),
        ("reject", (Verdict.REJECT, "550")),
        ("tempfail", (Verdict.TEMPFAIL, "451")),
        ("quarantine", (Verdict.ACCEPT, "")),
    ],
)
def test_a_bug_in_a_callback_gets_the_operators_action(site, action, expected):
    mta = Mta(**{"{auth_type}": RuntimeError("a bug")})
    talk = Talk(site.engine(f"{SIGNING}On-InternalError {action}\n"), mta=mta)
    # An address that is not internal, so that the macro is asked for.
    talk.connection.connect("x", socket.AF_INET, ("192.0.2.1", 1))
    talk.connection.envelope_sender(b"<>")
    for field in FIELDS:
        talk.connection.field(*field)
    reply = talk.connection.end_of_header()
    if action == "quarantine":
        assert reply.verdict is Verdict.CONTINUE
        talk.connection.body(b"x\r\n")
        reply = talk.connection.end_of_message()
        assert mta.asked == [("quarantine", "internal DKIM error")]
    assert (reply.verdict, reply.code) == expected
    (line,) = talk.errors
    assert line.job_id == "Q1"
    assert line.text.startswith("internal error: RuntimeError: a bug (")
    assert "test_connection.py" in line.text
    assert "Traceback" in line.fields["traceback"]
    assert talk.activity.messages == 0
    # The next message on the same connection is not affected.
    del mta.macros["{auth_type}"]
    mta.asked.clear()
    assert talk.play().verdict is Verdict.ACCEPT
    assert [what[0] for what in mta.asked] == ["insert"]


def test_capture_unknown_errors_holds_what_a_bug_hit(site):
    mta = Mta(**{"{auth_type}": RuntimeError("a bug")})
    conf = f"{SIGNING}InternalHosts 192.0.2.1\nCaptureUnknownErrors yes\n"
    talk = Talk(site.engine(conf), mta=mta)
    assert talk.play().verdict is Verdict.ACCEPT
    assert mta.asked == [("quarantine", "internal DKIM error")]


def test_an_mta_that_refuses_a_request_gets_no_half_done_message(site):
    talk = Talk(site.engine(SIGNING))
    talk.mta.fails = "insert"
    assert talk.play().verdict is Verdict.TEMPFAIL
    assert talk.errors[0].event == "internal-error"


def test_a_bug_behind_a_slow_key_is_contained_as_well(site, slow, monkeypatch):
    talk = Talk(site.engine(TABLES))
    talk.play()
    monkeypatch.setattr(slow, "GATE", sys.exit)
    assert talk.play().verdict is Verdict.TEMPFAIL


def test_a_bug_at_connect_lasts_for_the_connection(site):
    mta = Mta(j=RuntimeError("a bug"))
    talk = Talk(site.engine(SIGNING), mta=mta)
    assert talk.connection.connect(*CLIENT).verdict is Verdict.TEMPFAIL
    assert len(talk.errors) == 1


SLOW = """
import threading
from dkimcore.testing import EphemeralKey

GATE = None

class SlowKey:
    def __init__(self, key):
        self._key = key
        self.algorithm = key.algorithm
        self.public_key = key.public_key

    def sign_digest(self, digest):
        if GATE is not None:
            GATE()
        return self._key.sign_digest(digest)

def open_key(uri, context):
    return SlowKey(EphemeralKey.ed25519())
"""


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A key backend of somebody else's, whose keys wait in `GATE`."""
    package = tmp_path / "packages"
    (package / "slowkey-1.dist-info").mkdir(parents=True)
    (package / "slowkey-1.dist-info" / "METADATA").write_text("Name: slowkey\nVersion: 1\n")
    (package / "slowkey-1.dist-info" / "entry_points.txt").write_text(
        "[dkimcore.keys]\nslow = slowkey:open_key\n"
    )
    (package / "slowkey.py").write_text(SLOW)
    monkeypatch.syspath_prepend(package)
    import slowkey

    return slowkey


TABLES = "KeyTable csl:k=example.com:s1:slow:x\nSigningTable csl:example.com=k\n"


def test_an_mta_is_told_to_wait_while_a_key_takes_its_time(site, slow, monkeypatch):
    talk = Talk(site.engine(TABLES))

    def twice():
        talk.mta.waits.acquire()
        talk.mta.waits.acquire()

    monkeypatch.setattr(slow, "GATE", None)
    talk.play()  # opens the key, which is tried once
    monkeypatch.setattr(slow, "GATE", twice)
    talk.mta.asked.clear()
    assert talk.play().verdict is Verdict.ACCEPT
    asked = [what[0] for what in talk.mta.asked]
    assert asked.count("progress") >= 2
    assert asked[-1] == "insert"


def test_an_mta_that_went_away_meanwhile_does_no_harm(site, slow, monkeypatch):
    talk = Talk(site.engine(TABLES))
    talk.mta.fails = "progress"
    talk.play()
    monkeypatch.setattr(slow, "GATE", talk.mta.waits.acquire)
    assert talk.play().verdict is Verdict.ACCEPT
