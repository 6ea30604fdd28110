"""What a key does whose backend is slow, down, wrong or hostile: the same for all of them.

Each fault is one of our errors, with the key's URI and a cure; what may pass is told from what
will not; a signature comes before the deadline or not at all; and when the fault is over the same
key signs again, without a restart.
"""

from __future__ import annotations

import contextlib
import threading
import time
from hashlib import sha256

import pytest

from dkimcore.errors import KeyBackendError, KeyUnavailable
from tests.backends.subject import Recorder, endpoint_of, eventually, signs
from tests.backends.subjects import KINDS

pytestmark = pytest.mark.usefixtures("ambient")

DIGEST = sha256(b"a header").digest()
SIGNERS = 20
DEADLINE = 0.6  # seconds
# Nothing is measured here: it only has to end long before the server's own patience, or ours.
SOON = 5 * DEADLINE
HASTY = {"connect_timeout": 0.3, "read_timeout": 0.3}

# What is on the way is tried with one key of each backend.
OPENING = [
    (name, fault)
    for name, kind in KINDS.items()
    for fault in kind.backend.opening_faults
    if kind.algorithm == "ed25519" or not fault.way
]
SIGNING = [
    (name, fault)
    for name, kind in KINDS.items()
    for fault in kind.backend.signing_faults
    if kind.algorithm == "ed25519" or not fault.way
]
REMOTE = [name for name, kind in KINDS.items() if kind.backend.signs_elsewhere]
FETCHED = [name for name, kind in KINDS.items() if not kind.backend.signs_elsewhere]


def each_fault(cases):
    return pytest.mark.parametrize(
        ("subject", "fault"),
        cases,
        indirect=["subject"],
        ids=[f"{name}-{fault.name}" for name, fault in cases],
    )


def demand_mapped(error, fault, uri):
    """Demands that an error is what the fault is to become."""
    assert type(error) is fault.kind, error
    assert error.temporary is (fault.kind is KeyUnavailable)
    assert error.uri.partition("?")[0] == uri.partition("?")[0]
    assert str(error).startswith(f"{error.uri}: ")
    assert fault.found_in(error.problem), error.problem
    assert "\n" not in str(error)
    assert error.__cause__ is None or not isinstance(error.__cause__, KeyBackendError)


def signs_again(key):
    """Whether a key signs, where that may take a moment."""
    with contextlib.suppress(KeyUnavailable):
        return signs(key, DIGEST)
    return False


def opens_again(store, uri):
    with contextlib.suppress(KeyUnavailable):
        return signs(store.get(uri), DIGEST)
    return False


def patience(fault):
    """For a server that does not answer little patience is enough; else a busy machine is none."""
    return {"settings": HASTY, "deadline": 1.5} if fault.hangs else {}


@each_fault(OPENING)
def test_a_key_that_cannot_be_opened(subject, fault):
    heard = Recorder()
    with subject.store(observer=heard, **patience(fault)) as store:
        with fault.breaks(subject) as other:
            uri = other or subject.uri
            with pytest.raises(KeyBackendError) as caught:
                store.get(uri)
            demand_mapped(caught.value, fault, uri)
            if subject.kind and not fault.hangs:
                assert heard.wait_for("key-refused").uri.startswith(uri.partition("?")[0])
        eventually(lambda: opens_again(store, subject.uri))


@each_fault(SIGNING)
def test_a_key_that_cannot_sign(subject, fault):
    with subject.store(**patience(fault)) as store:
        eventually(lambda: opens_again(store, subject.uri))
        key = store.get(subject.uri)
        with fault.breaks(subject):
            with pytest.raises(KeyBackendError) as caught:
                key.sign_digest(DIGEST)
            demand_mapped(caught.value, fault, subject.uri)
        eventually(lambda: signs_again(key))


@pytest.mark.parametrize("subject", REMOTE, indirect=True)
def test_the_deadline_is_kept_while_the_server_hangs(subject):
    """By each of many, though the first ones take all of the threads that ask."""
    outcomes = []

    def work(key):
        begin = time.monotonic()
        with pytest.raises(KeyUnavailable):
            key.sign_digest(DIGEST)
        outcomes.append(time.monotonic() - begin)

    # It opens while the server answers, also on a busy machine.
    with subject.store(deadline=DEADLINE, settings={"threads": 4, "queue": 64}) as store:
        eventually(lambda: opens_again(store, subject.uri))
        key = store.get(subject.uri)
        with subject.hanging():
            threads = [threading.Thread(target=work, args=(key,)) for _ in range(SIGNERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        assert len(outcomes) == SIGNERS
        assert max(outcomes) < SOON
        eventually(lambda: signs_again(key))


@pytest.mark.parametrize(
    "subject", [name for name in KINDS if not name.startswith("file")], indirect=True
)
def test_the_deadline_is_kept_by_who_opens_a_key(subject):
    with subject.store(deadline=DEADLINE, settings=HASTY) as store:
        with subject.hanging():
            begin = time.monotonic()
            with pytest.raises(KeyUnavailable, match=r"slow|not answer|hang"):
                store.get(subject.uri)
            assert time.monotonic() - begin < SOON
        eventually(lambda: opens_again(store, subject.uri))


@pytest.mark.parametrize("subject", FETCHED, indirect=True)
def test_an_open_key_that_was_fetched_needs_nobody(subject):
    with subject.store() as store:
        key = store.get(subject.uri)
        with subject.stopped():
            assert signs(key, DIGEST)
        with subject.hanging():
            assert signs(key, DIGEST)


@pytest.mark.parametrize("subject", REMOTE, indirect=True)
def test_a_backend_that_is_down_is_left_alone_and_found_again(subject):
    heard = Recorder()
    with subject.store(observer=heard) as store:
        key, endpoint = store.get(subject.uri), endpoint_of(store)
        with subject.stopped():
            while not endpoint.is_down:
                with pytest.raises(KeyUnavailable):
                    key.sign_digest(DIGEST)
            with pytest.raises(KeyUnavailable, match="is down, and is asked again in") as caught:
                key.sign_digest(DIGEST)
            assert caught.value.retry_after > 0
            assert heard.wait_for("breaker-opened").endpoint == endpoint.name
        eventually(lambda: signs_again(key))
        heard.wait_for("breaker-closed")
        assert not endpoint.is_down
