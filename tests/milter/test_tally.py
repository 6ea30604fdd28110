"""Each message of a connection is counted once: what was done with it, and the final answer."""

from __future__ import annotations

import pytest

from dkimcore.errors import KeyUnavailable
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers import TimedAnswer
from dkimcore.settings.model import Action, Source
from dkimcore_milter.action import CONTINUE, SKIP, Verdict
from dkimcore_milter.connection import Connection
from dkimcore_milter.engine import Engine
from dkimcore_milter.keymeter import backend_of, sign_and_count
from dkimcore_milter.measuredresolver import MeasuredResolver
from dkimcore_milter.meter import Board, Meter
from dkimcore_milter.metrics import Count, Gauge, Timer, cells_of
from dkimcore_milter.vitals import show_vitals
from tests.milter.sessions import BODY, INSIDE, MACROS, NOW, OUTSIDE, SIMPLE, site

RESIGNED = {"resign_recipients": Source("b@example.net=main"), "resign_all": True}


class Mta:
    """An MTA that sends messages over one connection."""

    def __init__(self, settings, peer=OUTSIDE):
        self.meter = Meter.alone()
        engine = Engine.load(settings, clock=lambda: float(NOW))
        self.connection = Connection(engine, log=print, macros=MACROS.get, meter=self.meter)
        self.connection.connect(peer)

    def begin(self, fields=SIMPLE):
        self.connection.envelope_sender(b"<a@example.com>")
        self.connection.envelope_recipient(b"<b@example.net>")
        return self.connection.fields(fields)

    def send(self, fields=SIMPLE, body=BODY):
        reply = self.begin(fields)
        if reply is CONTINUE:
            reply = self.connection.try_end_of_header()
        if reply is None:
            reply = self.connection.wait()
        if reply is CONTINUE:
            reply = self.connection.body(body)
        if reply in (CONTINUE, SKIP):
            self.connection.end_of_message()

    def counts(self):
        """What was counted, but for the signatures and the time."""
        return counted(self.meter, "messages", "messages_abandoned", "internal_errors")


def counted(meter, *families):
    values = {count.name: meter.value(count) for count in Count if count.family in families}
    return {name: value for name, value in values.items() if value}


def times(meter, timer):
    """How many durations were counted."""
    return sum(meter._row[cell] for cell in cells_of(timer))


@pytest.mark.parametrize("action", Action)
def test_verdicts_of_unsigned_mail(tmp_path, action):
    mta = Mta(site(tmp_path, actions={"no_signature": action}))
    mta.send()
    mta.send()
    assert mta.counts() == {f"MESSAGES_VERIFY_{action.name}": 2}
    assert counted(mta.meter, "signatures_verified") == {"VERIFIED_NONE": 2}
    assert times(mta.meter, Timer.VERIFY) == 2
    assert mta.meter.value(Gauge.MESSAGES) == 0


def test_signed_mail(tmp_path):
    mta = Mta(site(tmp_path), INSIDE)
    mta.send()
    assert mta.counts() == {"MESSAGES_SIGN_ACCEPT": 1}
    assert counted(mta.meter, "signatures_made") == {"SIGNED_RSA": 1}
    assert times(mta.meter, Timer.SIGN) == times(mta.meter, Timer.KEYS_FILE) == 1
    assert 0 < mta.meter._row[Timer.KEYS_FILE.sum_cell] < mta.meter._row[Timer.SIGN.sum_cell]


def test_mail_that_is_signed_again(tmp_path):
    mta = Mta(site(tmp_path, signing=RESIGNED))
    mta.send()
    assert mta.counts() == {"MESSAGES_RESIGN_ACCEPT": 1}
    assert counted(mta.meter, "signatures_made", "signatures_verified") == {
        "SIGNED_RSA": 1,
        "VERIFIED_NONE": 1,
    }


def test_a_key_that_is_gone(tmp_path):
    settings = site(tmp_path)
    (tmp_path / "s1.private").unlink()
    mta = Mta(settings, INSIDE)
    mta.send()
    assert mta.counts() == {"MESSAGES_SIGN_TEMPFAIL": 1}
    assert counted(mta.meter, "key_errors") == {"KEY_ERRORS_FILE_NOT_FOUND": 1}
    assert counted(mta.meter, "signatures_made") == {}


def test_mail_that_is_left_alone_and_mail_beyond_a_limit(tmp_path):
    mta = Mta(site(tmp_path, hosts={"verifies": False}, limits={"header_fields": 10}))
    mta.send()
    mta.send([*SIMPLE, *[(b"X-A", b" b")] * 10])
    assert mta.counts() == {"MESSAGES_NONE_ACCEPT": 1, "MESSAGES_NONE_TEMPFAIL": 1}


def test_what_the_mta_gives_up(tmp_path):
    mta = Mta(site(tmp_path))
    for end in (mta.connection.abort, mta.begin, mta.connection.close):
        mta.begin()
        assert mta.meter.value(Gauge.MESSAGES) == 1
        end()
    assert mta.meter.value(Gauge.MESSAGES) == 0
    # The one that began in place of another is ended by the next.
    assert mta.counts() == {"MESSAGES_ABANDONED": 4}


def test_an_abort_after_the_answer_is_nothing(tmp_path):
    mta = Mta(site(tmp_path))
    mta.send()
    mta.connection.abort()
    mta.connection.close()
    assert mta.counts() == {"MESSAGES_VERIFY_ACCEPT": 1}


@pytest.mark.parametrize(
    ("action", "name"),
    [
        (Action.TEMPFAIL, "MESSAGES_VERIFY_TEMPFAIL"),
        (Action.QUARANTINE, "MESSAGES_VERIFY_QUARANTINE"),
    ],
)
def test_an_internal_error_is_counted_with_what_became_of_the_message(tmp_path, action, name):
    mta = Mta(site(tmp_path, actions={"internal_error": action}))
    diagnostics = mta.connection._engine.diagnostics
    mta.connection._engine.diagnostics = None  # so that the end of the message raises
    mta.send()
    assert mta.counts() == {name: 1, "INTERNAL_ERRORS": 1}
    mta.connection._engine.diagnostics = diagnostics
    mta.send()
    assert mta.counts() == {name: 1, "INTERNAL_ERRORS": 1, "MESSAGES_VERIFY_ACCEPT": 1}


class Asked:
    """A resolver that is asked over the network."""

    def __init__(self, status, ttl):
        self.timed = TimedAnswer(TxtAnswer(status), ttl)

    def lookup_txt_with_ttl(self, name, *, timeout=None):
        return self.timed


@pytest.mark.parametrize(
    ("status", "count"),
    [
        (TxtStatus.FOUND, Count.QUERIES_FOUND),
        (TxtStatus.NO_RECORD, Count.QUERIES_NO_RECORD),
        (TxtStatus.FAILED, Count.QUERIES_FAILED),
    ],
)
def test_queries_and_the_cache(status, count):
    meter = Meter.alone()
    resolver = MeasuredResolver(Asked(status, 60.0))
    resolver.lookup_txt("before.example.")  # by the supervisor
    resolver.measure(meter)
    for name in ("a.example.", "b.example.", "a.example.", "A.example."):
        assert resolver.lookup_txt(name).status is status
    assert resolver.peek_txt("b.example.").status is status
    assert resolver.peek_txt("c.example.") is None
    assert meter.value(count) == times(meter, Timer.DNS) == 2
    assert meter.value(Count.DNS_CACHE_MISSES) == 2
    assert meter.value(Count.DNS_CACHE_HITS) == 3
    assert meter.value(Gauge.DNS_CACHE_ENTRIES) == 3


@pytest.mark.parametrize(
    ("uri", "timer"),
    [
        ("/etc/keys/a:b.pem", Timer.KEYS_FILE),
        ("key.pem", Timer.KEYS_FILE),
        ("FILE:/key.pem", Timer.KEYS_FILE),
        ("vault-transit:transit/dkim?version=1", Timer.KEYS_VAULT),
        ("VAULT-KV:secret/dkim", Timer.KEYS_VAULT),
        ("awskms:alias/dkim", Timer.KEYS_AWS_KMS),
        ("awskms-envelope:/etc/dkim/blob", Timer.KEYS_AWS_KMS),
        ("pkcs11:token=x", Timer.KEYS_PKCS11),
        ("inline:name", Timer.KEYS_OTHER),
        ("stranger:x", Timer.KEYS_OTHER),
    ],
)
def test_where_a_key_is_kept(uri, timer):
    assert backend_of(uri) is timer


def test_a_key_service_that_fails():
    class Key:
        def sign_digest(self, digest):
            raise KeyUnavailable("no answer", uri="vault:x")

    meter = Meter.alone()
    with pytest.raises(KeyUnavailable):
        sign_and_count(Key(), bytes(32), timer=Timer.KEYS_VAULT, meter=meter)
    assert counted(meter, "key_errors") == {"KEY_ERRORS_VAULT_UNAVAILABLE": 1}
    assert times(meter, Timer.KEYS_VAULT) == 1


def test_vitals():
    board = Board(2)
    meter = board.meter(1)
    show_vitals(meter)
    assert 2**20 < meter.value(Gauge.RESIDENT_MEMORY) < 2**33
    before = meter.value(Gauge.OPEN_DESCRIPTORS)
    with open("/dev/null"):
        show_vitals(meter)
        assert meter.value(Gauge.OPEN_DESCRIPTORS) == before + 1
    assert meter.value(Gauge.HEARTBEAT) > 0


def test_every_verdict_of_the_protocol_is_counted_or_is_none():
    final = {Verdict.ACCEPT, Verdict.DISCARD, Verdict.REJECT, Verdict.TEMPFAIL}
    assert set(Verdict) - final == {Verdict.CONTINUE, Verdict.SKIP}
