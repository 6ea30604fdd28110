"""Several keys at once: who waits, waits for the slowest only."""

from __future__ import annotations

import threading
import time

import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable
from dkimcore.keys.signing import sign_side_by_side, start_signing
from dkimcore.keys.store import KeyStore
from tests.keys.remotes import GOOD, Gate, Service

DIGEST = bytes(range(32))
SIGNED = GOOD.sign_digest(DIGEST)


@pytest.fixture
def keys():
    with KeyStore() as keys:
        yield keys


def opened(keys, service, uri="acme:k"):
    keys.add(uri, service)
    return keys.get(uri)


def test_a_key_that_is_in_no_store_is_called_at_once():
    pending = start_signing(GOOD, DIGEST)
    assert pending.done
    assert pending.result() == SIGNED


def test_what_such_a_key_raises_is_its_outcome():
    class Refuses:
        def sign_digest(self, digest):
            raise KeyDenied("locked", uri="acme:k")

    pending = start_signing(Refuses(), DIGEST)
    with pytest.raises(KeyDenied, match="locked"):
        pending.result()


def test_a_key_of_ones_own_may_have_a_method_of_any_name():
    class Session:
        sign_digest = staticmethod(GOOD.sign_digest)

        def start(self):
            raise AssertionError("this starts a session")

    assert start_signing(Session(), DIGEST).result() == SIGNED


def test_all_are_asked_before_one_is_awaited(keys, make_endpoint):
    endpoint, meeting = make_endpoint(), threading.Barrier(2)
    services = [Service(endpoint) for _ in range(2)]
    stored = [opened(keys, each, f"acme:{number}") for number, each in enumerate(services)]
    for service in services:
        service.behave = lambda _: meeting.wait(30) < 0 or None
    assert sign_side_by_side((key, DIGEST) for key in [GOOD, *stored]) == [SIGNED] * 3


def test_an_error_of_one_is_raised(keys, make_endpoint):
    service = Service(make_endpoint())
    key = opened(keys, service)
    service.behave = lambda _: [KeyDenied("no", uri="acme:k")]
    with pytest.raises(KeyDenied):
        sign_side_by_side([(GOOD, DIGEST), (key, DIGEST)])


def test_a_deadline_is_kept(keys, make_endpoint):
    service, gate = Service(make_endpoint()), Gate()
    key = opened(keys, service)
    service.behave = gate
    begun = time.monotonic()
    with pytest.raises(KeyUnavailable):
        start_signing(key, DIGEST, deadline=begun + 0.05).result()
    assert time.monotonic() - begun < 5
    gate.open()
