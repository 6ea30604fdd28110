"""`dkimcore.sign` and `dkimcore.verify`: the blocking loop."""

import asyncio
import io
import threading
import time

import pytest

import dkimcore
from dkimcore import (
    Cause,
    KeyDenied,
    KeyUnavailable,
    MessageError,
    Signer,
    Status,
    VerifyPolicy,
    aio,
)
from dkimcore.keys import KeyContext
from dkimcore.keys.sections import Sections, StoreSettings
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from tests.keys.remotes import Gate, Heard, Service, endpoints
from tests.protocol import material
from tests.protocol.material import MESSAGE, NOW, QUERY, found

ED, RSA = material.ed25519(), material.rsa()
rfc = pytest.mark.rfc


def signer(key=ED, **changes):
    return Signer(domain=material.DOMAIN, selector=material.SELECTOR, key=key, **changes)


class Resolver:
    """Answers from a mapping and remembers what it was asked."""

    def __init__(self, answers=None):
        self.answers = {QUERY: found(ED.record(), RSA.record())} if answers is None else answers
        self.asked = []

    def lookup_txt(self, name):
        self.asked.append(name)
        return self.answers.get(name, material.NO_RECORD)


SIGNED = material.sign(MESSAGE, ED)


@rfc("6376", "5")
@rfc("6376", "6")
@pytest.mark.parametrize("key", [ED, RSA], ids=["ed25519", "rsa"])
@pytest.mark.parametrize(
    "source",
    [
        lambda octets: octets,
        bytearray,
        memoryview,
        io.BytesIO,
        lambda octets: (bytes([octet]) for octet in octets),
        lambda octets: [octets[:30], b"", octets[30:]],
    ],
)
def test_a_message_from_anywhere_is_signed_and_verified(source, key):
    (field,) = dkimcore.sign(source(MESSAGE), [signer(key)], now=NOW)
    results = dkimcore.verify(source(field.raw + b"\r\n" + MESSAGE), resolver=Resolver(), now=NOW)
    assert results.passed
    assert results[0].signature.algorithm is key.algorithm


@rfc("8463", "6")
def test_several_signers_get_a_field_each_in_their_order():
    fields = dkimcore.sign(MESSAGE, [signer(ED), signer(RSA)], now=NOW)
    signed = b"".join(field.raw + b"\r\n" for field in fields) + MESSAGE
    results = dkimcore.verify(signed, resolver=Resolver(), now=NOW)
    algorithms = [result.signature.algorithm for result in results]
    assert algorithms == [ED.algorithm, RSA.algorithm]
    assert all(result.passed for result in results)


def test_nobody_signs_nothing():
    assert dkimcore.sign(MESSAGE, [], now=NOW) == ()


@rfc("6376", "3.5")
def test_without_a_time_it_is_now():
    before = int(time.time())
    (field,) = dkimcore.sign(MESSAGE, [signer()])
    signature = dkimcore.Signature.parse(field.value)
    assert before <= signature.timestamp <= time.time()
    results = dkimcore.verify(field.raw + b"\r\n" + MESSAGE, resolver=Resolver())
    assert results.passed
    assert dkimcore.verify(SIGNED, resolver=Resolver(), now=NOW - 9999).cause is (
        Cause.SIGNATURE_IN_FUTURE
    )


def test_the_policy_is_asked():
    policy = VerifyPolicy(must_be_signed=frozenset({"x"}))
    results = dkimcore.verify(b"X: y\r\n" + SIGNED, resolver=Resolver(), now=NOW, policy=policy)
    assert results.cause is Cause.UNACCEPTABLE_SIGNATURE


def test_an_unsigned_message_asks_nobody():
    resolver = Resolver()
    results = dkimcore.verify(MESSAGE, resolver=resolver, now=NOW)
    assert (results, results.status, resolver.asked) == ((), Status.NONE, [])
    assert dkimcore.verify(MESSAGE) == ()


@pytest.mark.parametrize("message", [b"", b"\r\n", b"From: a", b"DKIM-Signature: x"])
def test_a_message_without_a_body_ends_in_its_header(message):
    assert not dkimcore.verify(message, resolver=Resolver(), now=NOW).passed
    assert not dkimcore.verify(iter([]), resolver=Resolver(), now=NOW).passed


@rfc("6376", "8.4")
def test_one_name_is_asked_for_once():
    """Statement 165."""
    twice = material.sign(SIGNED, RSA)
    resolver = Resolver()
    assert dkimcore.verify(twice, resolver=resolver, now=NOW).passed
    assert resolver.asked == [QUERY]


def test_a_body_that_no_result_depends_on_is_not_read():
    """A file may be large: after a failed header nothing more of it is needed."""
    file = io.BytesIO(SIGNED.replace(b"dinner", b"winner") + bytes(1_000_000))
    results = dkimcore.verify(file, resolver=Resolver(), now=NOW)
    assert results.cause is Cause.SIGNATURE
    assert file.tell() < 100_000
    assert results.usage.body_octets == 0


def test_the_whole_body_is_read_where_a_result_depends_on_it():
    body = b"x" * 70 + b"\r\n"
    message = MESSAGE + body * 5000
    (field,) = dkimcore.sign(io.BytesIO(message), [signer()], now=NOW)
    results = dkimcore.verify(
        io.BytesIO(field.raw + b"\r\n" + message), resolver=Resolver(), now=NOW
    )
    assert results.passed
    assert results.usage.body_octets == len(message.partition(b"\r\n\r\n")[2])


@rfc("6376", "6.1.2")
def test_queries_that_take_too_long_are_temporary_failures():
    """Statement 86: the time is for all queries of a message together."""
    signed = material.sign(SIGNED, RSA, selector=dkimcore.Selector.parse("s2"))
    answers = {"s2._domainkey.example.com.": found(RSA.record()), QUERY: found(ED.record())}
    results = dkimcore.verify(signed, resolver=Resolver(answers), now=NOW, timeout=0)
    assert [result.cause for result in results] == [Cause.KEY_UNAVAILABLE] * 2
    assert "took over 0 seconds" in results[0].detail
    assert dkimcore.verify(signed, resolver=Resolver(answers), now=NOW, timeout=60).passed


def test_a_resolver_that_takes_a_timeout_gets_what_is_left():
    """So that one slow name cannot use up more than the whole message's time."""

    class Bounded(Resolver):
        takes_timeout = True

        def lookup_txt(self, name, *, timeout=None):
            self.asked.append(timeout)
            return self.answers[name]

    resolver = Bounded({QUERY: found(ED.record()), "s2._domainkey.example.com.": found(b"p=")})
    signed = material.sign(SIGNED, RSA, selector=dkimcore.Selector.parse("s2"))
    assert dkimcore.verify(signed, resolver=resolver, now=NOW, timeout=7).passed
    first, second = resolver.asked
    assert 0 < second <= first <= 7


def test_a_body_over_its_limit_is_not_read_to_its_end():
    policy = VerifyPolicy(limits=dkimcore.Limits(body_octets=1000))
    file = io.BytesIO(SIGNED + bytes(10_000_000))
    results = dkimcore.verify(file, resolver=Resolver(), now=NOW, policy=policy)
    assert results.cause is Cause.LIMIT_EXCEEDED
    assert file.tell() < 1_000_000


def test_a_failed_query_is_told():
    answer = TxtAnswer(TxtStatus.FAILED, detail="SERVFAIL from 192.0.2.1")
    results = dkimcore.verify(SIGNED, resolver=Resolver({QUERY: answer}), now=NOW)
    assert (results.status, results[0].detail) == (Status.TEMPERROR, "SERVFAIL from 192.0.2.1")


@pytest.mark.parametrize("both", [lambda text: text, lambda text: [text], io.StringIO])
def test_text_is_not_a_message(both):
    with pytest.raises(TypeError):
        dkimcore.verify(both(SIGNED.decode()), resolver=Resolver(), now=NOW)
    with pytest.raises(TypeError):
        dkimcore.sign(both(MESSAGE.decode()), [signer()], now=NOW)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"To: a\r\n\r\n", "0 From fields"),
        (b"From: a\r\nFrom: b\r\n\r\n", "2 From fields"),
        (b"From: a\n\nbody\n", "to_crlf"),
        (b"From: a\r\n\r\nbody\n", "to_crlf"),
        (b"From: a\r\nX: " + b"x" * 300_000, "larger"),
        (b"", "0 From fields"),
    ],
)
def test_a_message_that_cannot_be_signed_honestly_is_refused(message, problem):
    with pytest.raises(MessageError, match=problem):
        dkimcore.sign(message, [signer()], now=NOW)


class BrokenKey:
    """A key whose backend refuses to sign."""

    algorithm = ED.algorithm
    public_key = ED.public_key

    def sign_digest(self, digest):
        raise KeyDenied("the token is locked", uri="acme:s1")


def test_a_key_that_refuses_means_no_field_at_all():
    with pytest.raises(KeyDenied, match="acme:s1: the token is locked"):
        dkimcore.sign(MESSAGE, [signer(ED), signer(BrokenKey())], now=NOW)


def test_without_a_resolver_it_is_the_systems(monkeypatch):
    """The one that resolvers.system makes, and it is made when a name must be asked for."""
    made = []

    def system_resolver():
        made.append(Resolver())
        return made[-1]

    monkeypatch.setattr("dkimcore.resolvers.system.system_resolver", system_resolver)
    dkimcore.verify(MESSAGE, now=NOW)
    assert made == []
    assert dkimcore.verify(SIGNED, now=NOW).passed
    assert [resolver.asked for resolver in made] == [[QUERY]]


def test_both_front_ends_have_the_same_two_functions():
    assert dkimcore.blocking.__all__ == aio.__all__ == ["sign", "verify"]


@rfc("6376", "6.1.2")
@pytest.mark.parametrize("exc", [OSError("unreachable"), TimeoutError(), RuntimeError("a bug")])
def test_what_a_resolver_raises_is_a_failed_query(exc):
    class Raising:
        def lookup_txt(self, name):
            raise exc

    class AsyncRaising:
        async def lookup_txt(self, name):
            raise exc

    async def run():
        return await aio.verify(SIGNED, resolver=AsyncRaising(), now=NOW)

    for (result,) in (dkimcore.verify(SIGNED, resolver=Raising(), now=NOW), asyncio.run(run())):
        assert (result.status, result.cause) == (Status.TEMPERROR, Cause.KEY_UNAVAILABLE)
    (result,) = dkimcore.verify(SIGNED, resolver=Raising(), now=NOW)
    assert type(exc).__name__ in result.detail


@pytest.fixture
def make_endpoint():
    yield from endpoints(Heard())


def test_keys_that_are_kept_elsewhere_are_all_asked_before_one_is_awaited(make_endpoint):
    """So that two signatures take the time of one."""
    endpoint, meeting = make_endpoint(), threading.Barrier(2)
    services = [Service(endpoint, key=key) for key in (ED, RSA)]
    with KeyStore() as keys:
        for number, service in enumerate(services):
            keys.add(f"acme:{number}", service)
            service.behave = lambda _: meeting.wait(30) < 0 or None
        signers = [signer(keys.get(f"acme:{number}")) for number in range(2)]
        fields = dkimcore.sign(MESSAGE, [*signers, signer(ED)], now=NOW)
    assert fields == dkimcore.sign(MESSAGE, [signer(ED), signer(RSA), signer(ED)], now=NOW)


def test_a_key_that_does_not_answer_takes_no_longer_than_its_store_allows(make_endpoint):
    gate = Gate()
    service = Service(make_endpoint(), key=ED)
    context = KeyContext(sections=Sections(store=StoreSettings(deadline=0.1)))
    with KeyStore(context=context) as keys:
        keys.add("acme:k", service)
        service.behave = gate
        begun = time.monotonic()
        with pytest.raises(KeyUnavailable, match="before the deadline"):
            dkimcore.sign(MESSAGE, [signer(keys.get("acme:k"))], now=NOW)
        assert time.monotonic() - begun < 5
        gate.open()
