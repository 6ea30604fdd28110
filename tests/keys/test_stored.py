"""A key as a store gives it out: local ones are called at once, others with a deadline."""

from __future__ import annotations

import threading
import time

import pytest

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys import KeyContext
from dkimcore.keys.contain import Containment
from dkimcore.keys.stored import RemoteStoredKey, StoredKey, is_local_scheme, stored_key
from dkimcore.testing import EphemeralKey
from tests.keys.remotes import GOOD, Gate, Service, eventually, threads_named

DIGEST = bytes(range(32))
SIGNED = GOOD.sign_digest(DIGEST)


@pytest.fixture
def containment():
    made = Containment(KeyContext(secret=lambda _: "s3-CANARY"))
    assert made.context.secret("token")
    yield made
    made.context.resources.close()
    eventually(lambda: not threads_named("acme:default-"))


@pytest.fixture
def store(containment):
    def store(key, uri="acme:k", seconds=30.0):
        return stored_key(key, uri=uri, containment=containment, seconds=seconds)

    return store


class Plain:
    """A key of a backend that knows nothing of endpoints."""

    def __init__(self, sign=GOOD.sign_digest):
        self.algorithm, self.public_key, self.sign_digest = GOOD.algorithm, GOOD.public_key, sign


def test_schemes_that_wait_for_nobody():
    assert [is_local_scheme(name) for name in ("file", "inline", "acme")] == [True, True, False]


def test_a_key_in_memory_is_called_in_the_callers_thread(store):
    key = store(GOOD)
    assert type(key) is StoredKey
    assert key.is_local
    assert key.sign_digest(DIGEST) == SIGNED
    pending = key.start(DIGEST)
    assert pending.done
    assert pending.result() == SIGNED


def test_a_plain_key_of_a_local_scheme_is_local(store):
    threads = []

    def sign(digest):
        threads.append(threading.current_thread())
        return GOOD.sign_digest(digest)

    key = store(Plain(sign), uri="inline:k")
    assert type(key) is StoredKey
    assert key.start(DIGEST).result() == SIGNED
    assert set(threads) == {threading.current_thread()}


def test_an_error_of_a_local_key_is_the_outcome_and_not_raised_by_start(store):
    calls = []

    def sign(digest):
        calls.append(digest)
        if len(calls) > 1:
            raise ValueError("token s3-CANARY")
        return GOOD.sign_digest(digest)

    key = store(Plain(sign), uri="inline:k")
    pending = key.start(DIGEST)
    with pytest.raises(KeyBackendError, match="withheld"):
        pending.result()
    with pytest.raises(KeyUnusable, match="32 octets"):
        key.start(b"").result()


def test_any_other_key_is_asked_in_the_threads_of_its_endpoint(store, make_endpoint):
    service = Service(make_endpoint(), batch=8)
    key = store(service)
    assert type(key) is RemoteStoredKey
    assert not key.is_local
    assert key.sign_digest(DIGEST) == SIGNED
    assert key.start(DIGEST).result() == SIGNED
    assert key.backend_key is service
    assert len(service.calls) == 3  # the self-check is the first
    assert repr(key) == "<key acme:k ed25519-sha256, 256 bits>"


def test_a_backend_that_knows_no_endpoints_gets_the_same_deadline(store):
    gate, calls = Gate(), []

    def sign(digest):
        calls.append(threading.current_thread().name)
        if len(calls) > 1:
            gate(None)
        return GOOD.sign_digest(digest)

    key = store(Plain(sign), seconds=0.1)
    begun = time.monotonic()
    with pytest.raises(KeyUnavailable, match="before the deadline"):
        key.sign_digest(DIGEST)
    assert time.monotonic() - begun < 5
    assert all(name.startswith("acme:default-") for name in calls)
    gate.open()


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), bytearray(32), "x" * 32, None])
def test_only_digests_are_asked_for(store, make_endpoint, digest):
    service = Service(make_endpoint())
    key = store(service)
    with pytest.raises(KeyUnusable, match="32 octets"):
        key.sign_digest(digest)
    assert len(service.calls) == 1


def test_a_deadline_of_ones_own(store, make_endpoint):
    service = Service(make_endpoint())
    key, gate = store(service), Gate()
    service.behave = gate
    begun = time.monotonic()
    with pytest.raises(KeyUnavailable):
        key.start(DIGEST, begun + 0.05).result()
    assert time.monotonic() - begun < 5
    gate.open()


def test_a_first_failure_is_not_the_last_word_of_the_check(store, make_endpoint):
    failures = [KeyUnavailable("one reset", uri="acme:k")]

    def behave(_):
        if failures:
            raise failures.pop()

    assert store(Service(make_endpoint(), behave=behave))


def test_a_key_that_signs_wrong_does_not_pass_the_check(store, make_endpoint):
    other = EphemeralKey.ed25519()
    service = Service(make_endpoint(), behave=lambda wanted: map(other.sign_digest, wanted))
    with pytest.raises(KeyUnusable, match="does not verify"):
        store(service)


def test_what_signing_raises_is_contained(store, make_endpoint):
    service = Service(make_endpoint())
    key = store(service)

    def behave(_):
        raise RuntimeError("token s3-CANARY refused")

    service.behave = behave
    with pytest.raises(KeyBackendError) as caught:
        key.sign_digest(DIGEST)
    assert "withheld" in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("remote", [True, False])
def test_a_key_that_is_withdrawn_signs_no_more(store, make_endpoint, remote):
    key = store(Service(make_endpoint()) if remote else GOOD)
    error = KeyDenied("it was deleted", uri="acme:k")
    key.withdraw(error)
    for _ in range(3):
        with pytest.raises(KeyDenied, match="deleted") as caught:
            key.sign_digest(DIGEST)
        with pytest.raises(KeyDenied, match="deleted"):
            key.start(DIGEST).result()
    assert caught.value is not error
    assert error.__traceback__ is None


def test_another_copy_takes_its_place(store):
    key = store(GOOD)
    copy = EphemeralKey.ed25519(bytes(32))
    key.replace(copy)
    assert key.backend_key is copy
    assert key.sign_digest(DIGEST) == SIGNED


def test_closing_closes_what_can_be_closed(store, make_endpoint):
    service, closed = Service(make_endpoint()), []
    assert not store(service).can_be_closed
    service.close = lambda: closed.append(True)
    key = store(service)
    assert key.can_be_closed
    key.close()
    assert closed == [True]
    with pytest.raises(KeyUnusable, match="closed"):
        key.sign_digest(DIGEST)
