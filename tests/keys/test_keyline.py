"""The signatures of one key: what is asked, what may come of it, and what never leaves."""

from __future__ import annotations

import time
from hashlib import sha256

import pytest

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys.pending import PendingSignature
from dkimcore.testing import EphemeralKey
from tests.keys.remotes import GOOD, Gate, Service
from tests.keys.test_forking import in_child

DIGEST = bytes(range(32))
OTHER = EphemeralKey.ed25519(bytes([1]) * 32)


def soon(seconds=30):
    return time.monotonic() + seconds


def pending(digest=DIGEST):
    return PendingSignature(digest, uri="acme:k", deadline=soon())


def asked(make_endpoint, behave, number=2):
    service = Service(make_endpoint(), batch=8, behave=behave)
    return service.line().ask([pending() for _ in range(number)], 1.0)


def raising(exc):
    def behave(_):
        raise exc

    return behave


def test_what_waits_is_taken_in_order_and_no_more_than_a_call_takes(make_endpoint):
    line = Service(make_endpoint(), batch=3).line()
    waiting = [pending() for _ in range(7)]
    for each in waiting:
        line.put(each)
    assert (line.waiting, line.calls) == (7, 3)
    waiting[1].settle(b"nobody waits for it any more")
    assert line.take() == [waiting[0], waiting[2], waiting[3]]
    assert line.take() == waiting[4:]
    assert (line.waiting, line.calls) == (0, 0)
    assert line.take() == []


@pytest.mark.parametrize("batch", [0, -1, 1])
def test_one_digest_is_always_taken(make_endpoint, batch):
    line = Service(make_endpoint(), batch=batch).line()
    line.put(pending())
    assert len(line.take()) == 1


@pytest.mark.parametrize("exc", [KeyDenied("no", uri="acme:k"), ValueError("x")])
def test_what_the_backend_raises_is_everybodys_outcome(make_endpoint, exc):
    assert asked(make_endpoint, raising(exc)) == [exc, exc]


@pytest.mark.parametrize("exc", [KeyboardInterrupt("CANARY"), SystemExit(3)])
def test_what_is_no_exception_is_contained(make_endpoint, exc):
    outcomes = asked(make_endpoint, raising(exc))
    assert [type(outcome) for outcome in outcomes] == [KeyBackendError] * 2
    assert type(exc).__name__ in str(outcomes[0])
    assert "CANARY" not in str(outcomes[0])


@pytest.mark.parametrize("answer", [[], [b"x"], [b"x"] * 3, {}, "x"])
def test_too_many_or_too_few_signatures_are_nobodys(make_endpoint, answer):
    outcomes = asked(make_endpoint, lambda _: answer)
    assert [type(outcome) for outcome in outcomes] == [KeyUnusable] * 2
    assert "answered 2 digests with" in str(outcomes[0])


@pytest.mark.parametrize("answer", [3, object()])
def test_what_is_no_list_is_contained(make_endpoint, answer):
    assert [type(outcome) for outcome in asked(make_endpoint, lambda _: answer)] == [TypeError] * 2


def test_an_answer_may_come_as_any_sequence(make_endpoint):
    signature_data = GOOD.sign_digest(DIGEST)
    answer = (signature_data for _ in range(2))
    assert asked(make_endpoint, lambda _: answer) == [signature_data] * 2


@pytest.mark.parametrize(
    ("signature_data", "says"),
    [
        (OTHER.sign_digest(DIGEST), "does not verify"),
        (GOOD.sign_digest(sha256(DIGEST).digest()), "hashes the digest again"),
        (bytes(64), "does not verify"),
        (GOOD.sign_digest(DIGEST)[:63], "else than a signature"),
        (GOOD.sign_digest(DIGEST) + b"\0", "else than a signature"),
        (bytearray(GOOD.sign_digest(DIGEST)), "else than a signature"),
        ("x" * 64, "else than a signature"),
        (None, "else than a signature"),
        (ValueError("x"), "else than a signature"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else type(value).__name__,
)
def test_a_wrong_signature_never_leaves_and_is_told(make_endpoint, heard, signature_data, says):
    line = Service(make_endpoint()).line()
    outcome = line.verified(signature_data, DIGEST)
    assert isinstance(outcome, KeyUnusable)
    assert says in str(outcome)
    (event,) = heard.events
    assert (event.event, event.uri) == ("signature-refused", "acme:k")
    assert event.text == outcome.problem


def test_rsa_that_is_padded_as_pss_never_leaves(make_endpoint, rsa_key):
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

    from dkimcore.keys.memory import MemoryKey

    key = MemoryKey(rsa_key, name="acme:k")
    line = Service(make_endpoint(), key=key).line()
    good = key.sign_digest(DIGEST)
    assert line.verified(good, DIGEST) is good
    padded = rsa_key.sign(DIGEST, PSS(MGF1(SHA256()), 32), Prehashed(SHA256()))
    assert "otherwise than PKCS#1 v1.5" in str(line.verified(padded, DIGEST))
    assert isinstance(line.verified(good[:-1], DIGEST), KeyUnusable)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_what_waits_at_a_fork_does_not_block_the_line_of_the_child(make_endpoint):
    gate = Gate()
    service = Service(make_endpoint(threads=1), behave=gate)
    line = service.line()
    waiting = [line.start(DIGEST, soon()) for _ in range(3)]
    gate.await_calls()

    def check():
        service.behave = None
        return line.waiting == 0 and line.start(DIGEST, soon()).result()

    assert in_child(check)
    gate.open()
    assert {each.result() for each in waiting} == {GOOD.sign_digest(DIGEST)}


def test_an_error_of_the_backend_keeps_what_it_knows(make_endpoint):
    error = KeyUnavailable("x", uri="acme:k", retry_after=60.0, request_id="r-7")
    one = Service(make_endpoint(), behave=raising(error)).line().start(DIGEST, soon(1))
    with pytest.raises(KeyUnavailable, match=r"request r-7") as caught:
        one.result()
    assert caught.value.retry_after == 60.0


def test_what_comes_while_four_calls_are_under_way_shares_the_next_one(make_endpoint):
    line = Service(make_endpoint(), batch=3).line()
    assert not line.may_go(1.0)  # nothing waits
    line.put(pending())
    for begun in (1.0, 1.01, 1.01, 1.01):
        assert line.may_go(1.01)
        line.begin(begun)
    assert not line.may_go(1.02)
    line.end(1.0)
    assert line.may_go(1.02)


def test_a_full_call_waits_for_no_other_and_nobody_for_one_that_takes_long(make_endpoint):
    line = Service(make_endpoint(), batch=3).line()
    for _ in range(4):
        line.begin(1.0)
    line.put(pending())
    assert not line.may_go(1.09)
    assert line.held_until == pytest.approx(1.1)
    assert line.may_go(1.11)
    line.begin(1.05)  # three of those before are young for no longer than 0.05 s
    assert line.held_until == pytest.approx(1.1)
    line.end(1.05)
    line.put(pending())
    assert not line.may_go(1.0)
    line.put(pending())
    assert line.may_go(1.0)


def test_a_call_that_the_parent_began_is_none_of_a_child(make_endpoint):
    line = Service(make_endpoint(), batch=3).line()
    line.begin(1.0)
    line.after_fork()
    line.end(1.0)
    line.put(pending())
    assert line.may_go(1.0)
