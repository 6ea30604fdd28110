"""`dkimcore.aio`: the asyncio loop."""

import asyncio
import io
import threading
import time

import pytest

import dkimcore
from dkimcore import Cause, KeyDenied, KeyUnavailable, MessageError, Selector, Status, aio
from dkimcore.keys import KeyContext
from dkimcore.keys.sections import Sections, StoreSettings
from dkimcore.keys.store import KeyStore
from tests.keys.remotes import Gate, Heard, Service, endpoints, eventually
from tests.protocol import material
from tests.protocol.material import MESSAGE, NOW, QUERY, found
from tests.test_blocking import BrokenKey, signer

ED, RSA = material.ed25519(), material.rsa()
rfc = pytest.mark.rfc
SIGNED = material.sign(MESSAGE, ED)
SECOND = "s2._domainkey.example.com."
TWICE = material.sign(SIGNED, RSA, selector=Selector.parse("s2"))


class Resolver:
    """Answers from a mapping; a name can wait for an event before it is answered."""

    def __init__(self, answers=None, *, wait=()):
        self.answers = {QUERY: found(ED.record(), RSA.record())} if answers is None else answers
        self.wait = dict(wait)
        self.asked = []

    async def lookup_txt(self, name):
        self.asked.append(name)
        if name in self.wait:
            await self.wait[name].wait()
        return self.answers.get(name, material.NO_RECORD)


async def awaited(octets, size=16):
    for start in range(0, len(octets), size):
        await asyncio.sleep(0)
        yield octets[start : start + size]


def verify(message, **options):
    options.setdefault("resolver", Resolver())
    return asyncio.run(aio.verify(message, now=NOW, **options))


@rfc("6376", "5")
@rfc("6376", "6")
@pytest.mark.parametrize("key", [ED, RSA], ids=["ed25519", "rsa"])
@pytest.mark.parametrize(
    "source", [bytes, bytearray, memoryview, io.BytesIO, awaited, lambda x: [x]]
)
def test_a_message_from_anywhere_is_signed_and_verified(source, key):
    (field,) = asyncio.run(aio.sign(source(MESSAGE), [signer(key)], now=NOW))
    assert (field,) == dkimcore.sign(MESSAGE, [signer(key)], now=NOW)
    assert verify(source(field.raw + b"\r\n" + MESSAGE)).passed


def test_an_unsigned_message_asks_nobody():
    resolver = Resolver()
    assert verify(MESSAGE, resolver=resolver) == ()
    assert resolver.asked == []


def test_messages_without_a_body_end_in_their_header():
    assert verify(b"") == ()
    assert verify(b"From: a") == ()
    assert not verify(SIGNED.partition(b"\r\n\r\n")[0]).passed


def test_without_a_time_it_is_now():
    async def run():
        (field,) = await aio.sign(MESSAGE, [signer()])
        return await aio.verify(field.raw + b"\r\n" + MESSAGE, resolver=Resolver())

    assert asyncio.run(run()).passed


@rfc("6376", "4.2")
def test_all_queries_are_under_way_at_once():
    """The first is answered only after the second was asked, and the other way."""

    async def run():
        class Meeting(Resolver):
            async def lookup_txt(self, name):
                self.asked.append(name)
                if len(self.asked) == 2:
                    both.set()
                await both.wait()
                return self.answers[name]

        both = asyncio.Event()
        resolver = Meeting({QUERY: found(ED.record()), SECOND: found(RSA.record())})
        return await aio.verify(TWICE, resolver=resolver, now=NOW)

    assert [result.passed for result in asyncio.run(run())] == [True, True]


def test_the_body_is_read_while_queries_are_under_way():
    """The answer comes only when the last octet of the body has been read."""

    async def run():
        read = asyncio.Event()

        async def source():
            async for chunk in awaited(SIGNED):
                yield chunk
            read.set()

        resolver = Resolver(wait={QUERY: read})
        return await aio.verify(source(), resolver=resolver, now=NOW)

    assert asyncio.run(run()).passed


def test_a_body_that_no_result_depends_on_is_not_read():
    file = io.BytesIO(SIGNED.replace(b"dinner", b"winner") + bytes(10_000_000))
    assert verify(file).cause is Cause.SIGNATURE
    assert file.tell() < 1_000_000


@rfc("6376", "6.1.2")
def test_a_query_that_takes_too_long_is_a_temporary_failure():
    """Statement 86; the others are not harmed (103)."""

    async def run():
        resolver = Resolver(
            {QUERY: found(ED.record()), SECOND: found(RSA.record())},
            wait={SECOND: asyncio.Event()},
        )
        return await aio.verify(TWICE, resolver=resolver, now=NOW, timeout=0.05)

    results = asyncio.run(run())
    assert [result.cause for result in results] == [Cause.KEY_UNAVAILABLE, None]
    assert "no answer within 0.05 seconds" in results[0].detail
    assert results.status is Status.PASS


class StreamError(Exception):
    """What a source of octets may fail with."""


async def torn(octets):
    yield octets
    raise StreamError("the connection was reset") from TimeoutError("of the network")


@pytest.mark.parametrize("upto", [20, len(SIGNED)])
def test_what_the_source_raises_arrives_as_it_was_raised(upto):
    """Not wrapped in a group: `except ConnectionError` of the caller must see it."""
    with pytest.raises(StreamError) as caught:
        verify(torn(SIGNED[:upto]))
    assert isinstance(caught.value.__cause__, TimeoutError)
    with pytest.raises(StreamError):
        asyncio.run(aio.sign(torn(MESSAGE), [signer()], now=NOW))


def test_text_is_not_a_message():
    with pytest.raises(TypeError, match="'rb'"):
        verify(SIGNED.decode())


def test_cancelling_cancels_the_queries():
    async def run():
        class Silent(Resolver):
            async def lookup_txt(self, name):
                asked.set()
                await asyncio.Event().wait()

        asked = asyncio.Event()
        task = asyncio.create_task(aio.verify(SIGNED, resolver=Silent(), now=NOW))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(run()) == []


def test_keys_are_used_side_by_side_in_threads():
    """Key backends block: each of two keys signs only once the other has begun."""
    meeting = threading.Barrier(2, timeout=30)

    class SlowKey(BrokenKey):
        def sign_digest(self, digest):
            meeting.wait()
            return ED.sign_digest(digest)

    fields = asyncio.run(aio.sign(MESSAGE, [signer(SlowKey()), signer(SlowKey())], now=NOW))
    assert len(fields) == 2
    assert fields[0] == fields[1]


def test_refusals_are_those_of_the_blocking_front_end():
    with pytest.raises(KeyDenied, match="the token is locked"):
        asyncio.run(aio.sign(MESSAGE, [signer(), signer(BrokenKey())], now=NOW))
    with pytest.raises(MessageError, match="0 From fields"):
        asyncio.run(aio.sign(b"To: a\r\n\r\n", [signer()], now=NOW))
    with pytest.raises(MessageError, match="to_crlf"):
        asyncio.run(aio.sign(awaited(b"From: a\r\n\r\na\nb"), [signer()], now=NOW))


def test_without_a_resolver_it_is_the_systems(monkeypatch):
    made = []

    def async_system_resolver():
        made.append(Resolver())
        return made[-1]

    monkeypatch.setattr("dkimcore.resolvers.system.async_system_resolver", async_system_resolver)
    asyncio.run(aio.verify(MESSAGE, now=NOW))
    assert made == []
    assert asyncio.run(aio.verify(SIGNED, now=NOW)).passed
    assert [resolver.asked for resolver in made] == [[QUERY]]


@pytest.fixture
def make_endpoint():
    yield from endpoints(Heard())


def remote(keys, endpoint, **options):
    """A key that signs elsewhere, in a store; and its service."""
    service = Service(endpoint, key=ED, batch=64, **options)
    keys.add("acme:k", service)
    return keys.get("acme:k"), service


def test_many_messages_wait_for_a_key_that_is_kept_elsewhere_and_take_no_thread(make_endpoint):
    """Two hundred at once: the pool of asyncio has a few dozen threads at most."""
    endpoint, gate = make_endpoint(threads=2), Gate()

    async def run(key):
        tasks = [asyncio.create_task(aio.sign(MESSAGE, [signer(key)], now=NOW)) for _ in "x" * 200]
        await asyncio.to_thread(eventually, lambda: endpoint.waiting >= 72)
        names = [thread.name for thread in threading.enumerate()]
        gate.open()
        return names, await asyncio.gather(*tasks)

    with KeyStore(context=patient(60.0)) as keys:
        key, service = remote(keys, endpoint)
        service.behave = gate
        names, fields = asyncio.run(run(key))
    assert [name for name in names if name.startswith("asyncio")] == ["asyncio_0"]  # ours
    assert set(fields) == {dkimcore.sign(MESSAGE, [signer(ED)], now=NOW)}


def patient(seconds):
    return KeyContext(sections=Sections(store=StoreSettings(deadline=seconds)))


def test_a_key_that_does_not_answer_takes_no_longer_than_its_store_allows(make_endpoint):
    gate = Gate()
    with KeyStore(context=patient(0.1)) as keys:
        key, service = remote(keys, make_endpoint())
        service.behave = gate
        begun = time.monotonic()
        with pytest.raises(KeyUnavailable, match="before the deadline"):
            asyncio.run(aio.sign(MESSAGE, [signer(key)], now=NOW))
        assert time.monotonic() - begun < 5
        gate.open()


def test_a_message_that_is_cancelled_leaves_the_others_their_signatures(make_endpoint):
    gate = Gate()

    async def run(key):
        one, other = (
            asyncio.create_task(aio.sign(MESSAGE, [signer(key)], now=NOW)) for _ in range(2)
        )
        await asyncio.to_thread(gate.await_calls)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        gate.open()
        return await other

    with KeyStore() as keys:
        key, service = remote(keys, make_endpoint())
        service.behave = gate
        assert len(asyncio.run(run(key))) == 1


def test_a_loop_that_ended_before_the_signature_came_harms_nobody(make_endpoint):
    gate = Gate()

    async def run(key):
        task = asyncio.create_task(aio.sign(MESSAGE, [signer(key)], now=NOW))
        await asyncio.to_thread(gate.await_calls)
        task.cancel()

    with KeyStore() as keys:
        key, service = remote(keys, make_endpoint(threads=1))
        service.behave = gate
        asyncio.run(run(key))
        gate.open()
        assert key.sign_digest(bytes(32)) == ED.sign_digest(bytes(32))


def test_a_store_that_is_closed_tells_who_waits(make_endpoint):
    endpoint, gate = make_endpoint(), Gate()

    async def run(key):
        task = asyncio.create_task(aio.sign(MESSAGE, [signer(key)], now=NOW))
        await asyncio.to_thread(gate.await_calls)
        endpoint.close()
        with pytest.raises(KeyUnavailable, match="closed"):
            await task

    with KeyStore(context=patient(60.0)) as keys:
        key, service = remote(keys, endpoint)
        service.behave = gate
        asyncio.run(run(key))
        gate.open()
