"""Keys are compared with the key records in the DNS before a selector is first used."""

from __future__ import annotations

import base64
import os
import threading

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import KeyUnavailable, KeyUnusable
from dkimcore.keys.memory import decode_private_key
from dkimcore.keys.sections import RecordMode as Mode
from dkimcore.keys.sections import StoreSettings
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.recordcheck import Fit, RecordCheck, judge
from dkimcore.resolvers.static import StaticResolver
from dkimcore.signer import Signer
from dkimcore.testing import EphemeralKey
from tests.forked import fork

ED, OTHER_ED = EphemeralKey.ed25519(bytes(32)), EphemeralKey.ed25519(bytes(31) + b"\1")
RSA, OTHER_RSA = EphemeralKey.rsa(1024), EphemeralKey.rsa(1024)
NAME = "s1._domainkey.example.com."
DOWN = TxtAnswer(TxtStatus.FAILED, detail="timed out")
NOTHING = TxtAnswer(TxtStatus.NO_RECORD)


class Far:
    """A key under a URI of a service."""

    def __init__(self, key, uri="far:one/key"):
        self.uri = uri
        self.algorithm, self.public_key = key.algorithm, key.public_key
        self.sign_digest = key.sign_digest


class Dns:
    """A DNS whose answer can be changed, and which may be slow."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()

    def lookup_txt(self, name):
        self.asked.append(name)
        self.gate.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Observer:
    """Keeps events, and tells when one came."""

    def __init__(self):
        self.events = []
        self.came = threading.Semaphore(0)

    def event(self, event):
        self.events.append(event)
        self.came.release()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def found(*records):
    return TxtAnswer(TxtStatus.FOUND, records)


def signer(key=ED, **options):
    return Signer.make("example.com", "s1", Far(key), **options)


def fit(key, *records, **options):
    return judge(signer(key, **options), found(*records)).fit


def bare(key):
    """The record of an RSA key as RFC 6376 has it: RSAPublicKey without an envelope."""
    pem = decode_private_key(key.private_pem(), uri="x", passphrase=lambda: None)
    der = pem.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return b"p=" + base64.b64encode(der)


@pytest.fixture
def observer():
    return Observer()


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize("key", [ED, RSA])
def test_what_is_published_fits(key):
    assert fit(key, key.key_record()) is Fit.FITS
    assert fit(key, b"junk", key.key_record()) is Fit.FITS
    assert fit(key, key.key_record() + b"; t=s:y; s=email; h=sha256; x=y") is Fit.FITS


@pytest.mark.rfc("6376", "3.6.1")
def test_an_rsa_key_may_be_published_in_two_forms():
    assert fit(RSA, bare(RSA)) is Fit.FITS
    assert fit(RSA, bare(OTHER_RSA)) is Fit.DIFFERS


@pytest.mark.parametrize(
    ("key", "record", "problem"),
    [
        (ED, OTHER_ED.key_record(), "the DNS has another key, ed25519, 256 bits, p="),
        (RSA, OTHER_RSA.key_record(), "the DNS has another key, rsa, 1024 bits, p=..."),
        (ED, RSA.key_record(), "the DNS has another key, rsa"),
        (ED, b"v=DKIM1; k=ed25519; p=", "the key is revoked"),
        (ED, b"v=spf1 -all", "what is no key record"),
        (ED, ED.key_record() + b"; s=tlsrpt", "its s= excludes email"),
        (ED, ED.key_record() + b"; h=sha1", "its h= excludes sha256"),
    ],
)
def test_what_is_published_and_does_not_fit(key, record, problem):
    verdict = judge(signer(key), found(record))
    assert verdict.fit is Fit.DIFFERS
    assert problem in verdict.text
    assert "the key record s1._domainkey.example.com does not fit" in verdict.text
    assert key.key_record().decode() in verdict.text  # what to do


@pytest.mark.rfc("6376", "3.6.1")
def test_a_strict_record_forbids_other_identities():
    strict = ED.key_record() + b"; t=s"
    assert fit(ED, strict, auid="a@example.com") is Fit.FITS
    assert fit(ED, strict, auid="a@mail.example.com") is Fit.DIFFERS
    assert fit(ED, ED.key_record(), auid="a@mail.example.com") is Fit.FITS


def test_no_record_and_no_answer():
    absent = judge(signer(), NOTHING)
    assert absent.fit is Fit.ABSENT
    assert ED.key_record().decode() in absent.text
    unknown = judge(signer(), DOWN)
    assert (unknown.fit, unknown.text) == (
        Fit.UNKNOWN,
        "the key record s1._domainkey.example.com cannot be asked for: timed out",
    )


@given(st.lists(st.binary(max_size=80) | st.just(ED.key_record()), min_size=1, max_size=5))
def test_whatever_stands_in_the_dns_is_judged(records):
    verdict = judge(signer(), found(*records))
    assert (verdict.fit is Fit.FITS) == (ED.key_record() in records)
    assert bool(verdict.text) == (verdict.fit is not Fit.FITS)
    assert verdict.text.isprintable()


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_keys_fit_their_own_record_and_no_other(seed, other):
    key, record = EphemeralKey.ed25519(seed), EphemeralKey.ed25519(other).key_record()
    assert (fit(key, record) is Fit.FITS) == (seed == other)


@pytest.mark.parametrize(
    ("mode", "uri", "expected"),
    [
        (None, "far:one/key", Mode.WARN),
        (None, "vault-kv:secret/x", Mode.WARN),
        (None, "file:/etc/dkim/s1.pem", Mode.IGNORE),
        (None, "inline:s1/0011", Mode.IGNORE),
        (None, "", Mode.IGNORE),
        (Mode.REFUSE, "file:/etc/dkim/s1.pem", Mode.REFUSE),
        (Mode.IGNORE, "far:one/key", Mode.IGNORE),
    ],
)
def test_which_keys_are_looked_at(mode, uri, expected):
    assert RecordCheck(StaticResolver({}), mode).mode_of(uri) is expected


def test_ignore_asks_nobody(observer):
    dns = Dns(NOTHING)
    check = RecordCheck(dns, Mode.IGNORE, observer=observer)
    check.admit(signer())
    assert check.is_known(signer())
    assert dns.asked == []


class TestWarn:
    def test_mail_is_not_held_up_and_a_difference_is_told_once(self, observer, clock):
        dns = Dns(found(OTHER_ED.key_record()))
        dns.gate.clear()
        check = RecordCheck(dns, observer=observer, clock=clock)
        for _ in range(10):
            check.admit(signer())  # returns though nobody has answered
        assert check.is_known(signer())
        dns.gate.set()
        assert observer.came.acquire(timeout=30)
        for _ in range(10):
            check.admit(signer())
        assert dns.asked == [NAME]
        (event,) = observer.events
        assert (event.event, event.uri) == ("record-differs", "far:one/key")
        assert event.fields == {"domain": "example.com", "selector": "s1"}

    def test_it_is_asked_again_after_a_while_until_it_fits(self, observer, clock):
        dns = Dns(NOTHING)
        check = RecordCheck(dns, observer=observer, clock=clock)
        check.admit(signer())
        assert observer.came.acquire(timeout=30)
        clock.now += 299
        check.admit(signer())
        dns.answer = found(ED.key_record())
        clock.now += 2
        check.admit(signer())
        assert observer.came.acquire(timeout=30)
        assert [event.event for event in observer.events] == ["record-absent", "record-fits"]
        clock.now += 1_000_000
        check.admit(signer())
        assert dns.asked == [NAME] * 2

    def test_a_key_that_fits_is_nothing_to_tell(self, observer, clock):
        dns = Dns(found(ED.key_record()))
        check = RecordCheck(dns, observer=observer, clock=clock)
        check.admit(signer())
        check.admit(signer(RSA))  # another key under the same name
        assert observer.came.acquire(timeout=30)
        assert [event.event for event in observer.events] == ["record-differs"]
        assert sorted(dns.asked) == [NAME] * 2

    @pytest.mark.parametrize("answer", [DOWN, RuntimeError("a bug")])
    def test_a_dns_that_fails_is_asked_again_soon(self, observer, clock, answer):
        dns = Dns(answer)
        check = RecordCheck(dns, observer=observer, clock=clock)
        check.admit(signer())
        assert observer.came.acquire(timeout=30)
        assert observer.events[0].event == "record-unknown"
        clock.now += 61
        check.admit(signer())
        assert observer.came.acquire(timeout=30)
        assert len(dns.asked) == 2

    def test_many_keys_take_few_threads(self, observer):
        dns = Dns(NOTHING)
        dns.gate.clear()
        before = threading.active_count()
        check = RecordCheck(dns, observer=observer)
        for number in range(3000):
            check.admit(Signer.make(f"d{number}.example", "s1", Far(ED)))
        assert threading.active_count() <= before + 4
        assert len(check._waiting) <= 1024
        dns.gate.set()
        for _ in range(1024):
            assert observer.came.acquire(timeout=30)

    def test_what_is_remembered_is_bounded(self, observer):
        check = RecordCheck(Dns(found(ED.key_record())), Mode.REFUSE, observer=observer)
        for number in range(5000):
            check.admit(Signer.make(f"d{number}.example", "s1", Far(ED)))
        assert len(check._states) <= 4096

    def test_without_threads_nothing_is_compared(self, observer, monkeypatch):
        def refuse(_thread):
            raise RuntimeError("can't start new thread")

        dns = Dns(NOTHING)
        check = RecordCheck(dns, observer=observer)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            check.admit(signer())
        assert dns.asked == []
        check.admit(signer())
        assert observer.came.acquire(timeout=30)


class TestRefuse:
    def test_a_key_that_fits_signs(self, observer):
        dns = Dns(found(ED.key_record()))
        check = RecordCheck(dns, Mode.REFUSE, observer=observer)
        assert not check.is_known(signer())
        for _ in range(3):
            check.admit(signer())
        assert check.is_known(signer())
        assert dns.asked == [NAME]
        assert observer.events == []

    @pytest.mark.parametrize("answer", [NOTHING, found(OTHER_ED.key_record()), found(b"p=")])
    def test_a_key_that_does_not_is_refused_for_a_while(self, observer, clock, answer):
        dns = Dns(answer)
        check = RecordCheck(dns, Mode.REFUSE, observer=observer, clock=clock)
        for _ in range(3):
            with pytest.raises(KeyUnusable, match=r"s1\._domainkey\.example\.com") as caught:
                check.admit(signer())
        assert caught.value.uri == "far:one/key"
        assert check.is_known(signer())
        assert dns.asked == [NAME]
        clock.now += 16
        assert not check.is_known(signer())
        dns.answer = found(ED.key_record())
        check.admit(signer())
        assert [event.event for event in observer.events][1:] == ["record-fits"]

    def test_without_an_answer_nothing_is_signed(self, observer, clock):
        dns = Dns(DOWN)
        check = RecordCheck(dns, Mode.REFUSE, observer=observer, clock=clock)
        with pytest.raises(KeyUnavailable, match="timed out") as caught:
            check.admit(signer())
        assert caught.value.temporary
        clock.now += 1.5
        dns.answer = found(ED.key_record())
        check.admit(signer())

    def test_one_asks_for_all(self, observer):
        dns = Dns(found(ED.key_record()))
        dns.gate.clear()
        check = RecordCheck(dns, Mode.REFUSE, observer=observer)
        threads = [threading.Thread(target=check.admit, args=(signer(),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        dns.gate.set()
        for thread in threads:
            thread.join(30)
        assert dns.asked == [NAME]

    def test_patience_ends_at_the_deadline(self, observer):
        dns = Dns(found(ED.key_record()))
        dns.gate.clear()
        check = RecordCheck(
            dns, Mode.REFUSE, settings=StoreSettings(deadline=0.1), observer=observer
        )
        first = threading.Thread(target=check.admit, args=(signer(),))
        first.start()
        while not dns.asked:
            pass
        with pytest.raises(KeyUnavailable, match="the DNS is slow"):
            check.admit(signer())
        dns.gate.set()
        first.join(30)
        check.admit(signer())

    def test_a_resolver_that_knows_patience_is_told_of_it(self, observer):
        class Patient:
            takes_timeout = True

            def lookup_txt(self, name, *, timeout=None):
                self.timeout = timeout
                return found(ED.key_record())

        dns = Patient()
        settings = StoreSettings(deadline=2.0)
        RecordCheck(dns, Mode.REFUSE, settings=settings, observer=observer).admit(signer())
        assert 1.0 < dns.timeout <= 2.0


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_asks_for_itself(observer):
    dns = Dns(NOTHING)
    dns.gate.clear()
    check = RecordCheck(dns, observer=observer)
    check.admit(signer())
    while not dns.asked:
        pass  # a thread of ours is in the middle of it, and holds its lock
    pid = fork()
    if pid == 0:
        dns.gate.set()
        check.admit(signer())
        os._exit(0 if observer.came.acquire(timeout=30) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    dns.gate.set()
    assert observer.came.acquire(timeout=30)
