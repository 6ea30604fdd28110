"""The published aids: keys that sign, and a check that finds what backends get wrong."""

from __future__ import annotations

import itertools
import os
import threading
import time
import traceback
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dkimcore.errors import (
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
)
from dkimcore.keys import KeyContext, MadeKey
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.generation import generate_pem
from dkimcore.keys.memory import MemoryKey, decode_private_key
from dkimcore.keys.remote import RemoteKeyBase
from dkimcore.keys.sections import BackendSection
from dkimcore.protocol.algorithm import Algorithm, KeyType
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.resolvers import static
from dkimcore.testing import (
    BackendFault,
    EphemeralKey,
    StaticResolver,
    check_key_backend,
    check_key_maker,
)

DIGEST = bytes(range(32))
TOKEN = "tok-CANARY-en"
CONTEXT = KeyContext(secret=lambda _: TOKEN)


@pytest.fixture(scope="module")
def good():
    return EphemeralKey.ed25519(bytes(32))


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: EphemeralKey.rsa(1024), Algorithm.RSA_SHA256),
        (EphemeralKey.ed25519, Algorithm.ED25519_SHA256),
    ],
)
def test_an_ephemeral_key_signs_and_prints_its_record_and_its_pem(make, algorithm):
    key = make()
    assert key.algorithm is algorithm
    record = KeyRecord.parse(key.key_record())
    assert record.public_key == key.public_key
    assert record.key_type is algorithm.key_type
    assert record.public_key.verifies(key.sign_digest(DIGEST), DIGEST, algorithm)
    loaded = load_pem_private_key(key.private_pem(), None)
    assert loaded.public_key() == key._private_key.public_key()
    assert "ephemeral" in repr(key)
    assert make().public_key != key.public_key


def test_a_seed_makes_the_same_key_every_time(good):
    assert EphemeralKey.ed25519(bytes(32)).public_key == good.public_key


def test_the_static_resolver_is_the_real_one():
    assert StaticResolver is static.StaticResolver


class Backend:
    """A backend with good manners; each test spoils one of them."""

    def __init__(self, key):
        self.key = key

    def __call__(self, uri, context):
        if uri.path != "k":
            raise KeyNotFound("no such key", uri=str(uri))
        if context.secret("token") != TOKEN:
            raise KeyDenied("the token was refused", uri=str(uri))
        return self.make()

    def make(self):
        return Key(self.key, self.sign)

    def sign(self, digest):
        return self.key.sign_digest(digest)


class Key:
    def __init__(self, key, sign):
        self.algorithm, self.public_key, self.sign_digest = key.algorithm, key.public_key, sign


def test_a_backend_with_good_manners_passes(good):
    assert check_key_backend(Backend(good), "acme:k", context=CONTEXT) == (
        "opens",
        "key pair",
        "deterministic",
        "digest length",
        "threads",
        "unknown key",
        "wrong secrets",
        "no secrets",
    )


def fault(backend, **options):
    with pytest.raises(BackendFault) as caught:
        check_key_backend(backend, "acme:k", context=CONTEXT, **options)
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value, AssertionError)
    return str(caught.value)


def test_the_uri_must_be_one(good):
    with pytest.raises(KeyUriError):
        check_key_backend(Backend(good), "acme:")


def test_a_key_that_does_not_open(good):
    with pytest.raises(BackendFault, match=r"^acme: opens: .*KeyNotFound: acme:no: no such key"):
        check_key_backend(Backend(good), "acme:no", context=CONTEXT)


def test_an_error_that_quotes_the_token(good):
    class Quotes(Backend):
        def __call__(self, uri, context):
            raise RuntimeError(f"{context.secret('token')} has expired")

    assert "a secret shows in its text" in fault(Quotes(good))


def test_a_digest_that_is_hashed_again(good):
    class Again(Backend):
        def sign(self, digest):
            return self.key.sign_digest(sha256(digest).digest() if len(digest) == 32 else digest)

    assert fault(Again(good)).startswith("acme: key pair: the key is unfit to sign: KeyUnusable")


def test_signatures_that_differ():
    """PSS is random; the probe alone would find that, so this one is random later."""
    keys = [EphemeralKey.ed25519(), EphemeralKey.ed25519()]

    class Moves(Backend):
        calls = itertools.count()

        def sign(self, digest):
            return keys[next(self.calls) % 2].sign_digest(digest)

    assert "deterministic: two signatures of one digest differ" in fault(Moves(keys[0]))


@pytest.mark.parametrize(
    ("public", "says"), [(True, "gave another public half"), (False, "signs differently")]
)
def test_a_key_that_changes_when_it_is_opened_anew(public, says):
    keys = [EphemeralKey.ed25519(), EphemeralKey.ed25519()]

    class Newest(Backend):
        opened = itertools.count()

        def make(self):
            newest = keys[min(next(self.opened), 1)]
            return Key(newest if public else keys[0], newest.sign_digest)

    assert says in fault(Newest(keys[0]))


def test_a_digest_of_another_length_that_is_signed(good):
    class Lax(Backend):
        def sign(self, digest):
            return self.key._private_key.sign(digest)

    assert "a digest of 0 octets is signed" in fault(Lax(good))


def test_a_digest_of_another_length_that_raises_what_it_likes(good):
    class Foreign(Backend):
        def sign(self, digest):
            if len(digest) != 32:
                raise ValueError("CANARY-" + TOKEN)
            return self.key.sign_digest(digest)

    assert "ValueError and not KeyBackendError" in fault(Foreign(good))


def test_a_session_that_two_threads_must_not_share(good):
    class Session(Backend):
        """Returns what the last caller asked for, as an HSM session does."""

        barrier = threading.Barrier(8, timeout=30)
        digest = b""

        def sign(self, digest):
            if len(digest) == 32 and threading.current_thread() is not threading.main_thread():
                self.digest = digest
                self.barrier.wait()
                digest = self.digest
                self.barrier.wait()
            return self.key.sign_digest(digest)

    assert "threads: with 8 threads a signature is wrong" in fault(Session(good))


def test_a_session_that_fails_in_other_threads(good):
    class Bound(Backend):
        def sign(self, digest):
            if threading.current_thread() is not threading.main_thread():
                raise KeyUnusable("wrong thread", uri="acme:k")
            return self.key.sign_digest(digest)

    assert "threads: signing a digest of 32 octets failed: KeyUnusable" in fault(Bound(good))


def test_an_unknown_key_that_opens_or_raises_something_else(good):
    assert "a key that does not exist is opened" in fault(Backend(good), unknown_uri="acme:k")

    class Foreign(Backend):
        def __call__(self, uri, context):
            if uri.path != "k":
                raise KeyError(uri.path)
            return super().__call__(uri, context)

    assert "KeyError and not KeyNotFound" in fault(Foreign(good))


def test_a_wrong_secret_that_raises_something_else(good):
    class Foreign(Backend):
        def __call__(self, uri, context):
            if context.secret("token") != TOKEN:
                raise RuntimeError(context.secret("token"))
            return super().__call__(uri, context)

    text = fault(Foreign(good))
    assert "wrong secrets: a wrong secret raises RuntimeError" in text
    assert "canary" not in text


def test_a_wrong_secret_that_is_quoted(good):
    class Quotes(Backend):
        def __call__(self, uri, context):
            if (token := context.secret("token")) != TOKEN:
                raise KeyDenied(f"{token} is wrong", uri=str(uri))
            return super().__call__(uri, context)

    assert "no secrets: a secret shows" in fault(Quotes(good))


def test_a_key_that_prints_its_token(good):
    class Prints(Backend):
        def make(self):
            key = super().make()
            key.__class__ = type("Shown", (Key,), {"__repr__": lambda _: TOKEN})
            return key

    assert "no secrets: a secret shows" in fault(Prints(good))


def test_a_backend_without_secrets_passes(good):
    class Open(Backend):  # asks, and does without
        def __call__(self, uri, context):
            if uri.path != "k":
                raise KeyNotFound("no such key", uri=str(uri))
            context.secret("token")
            return self.make()

    assert len(check_key_backend(Open(good), "acme:k")) == 8


def test_errors_that_are_ours_are_accepted_for_a_digest(good):
    class Own(Backend):
        def sign(self, digest):
            if len(digest) != 32:
                raise KeyBackendError("32 octets, please", uri="acme:k")
            return self.key.sign_digest(digest)

    assert check_key_backend(Own(good), "acme:k", context=CONTEXT)


def test_an_event_that_quotes_a_token(good):
    class Tells(Backend):
        def __call__(self, uri, context):
            token = context.secret("token")
            context.observer.event(
                KeyEvent(level=10, event="login", text=f"logged in with {token}")
            )
            return super().__call__(uri, context)

    assert "no secrets: a secret shows" in fault(Tells(good))


def test_a_token_that_the_backend_came_by_itself_is_a_secret_too(good):
    class Prints(Backend):
        def __call__(self, uri, context):
            context.conceal("tok-of-a-login-CANARY")
            key = super().__call__(uri, context)
            shown = {"__repr__": lambda _: "tok-of-a-login-CANARY"}
            key.__class__ = type("Shown", (Key,), shown)
            return key

    assert "no secrets: a secret shows" in fault(Prints(good))


def test_wrong_secrets_meet_no_login_that_was_made_with_the_right_ones(good):
    seen = []

    class LogsIn(Backend):
        def __call__(self, uri, context):
            seen.append(context.resources.get("login", lambda: context.secret("token")))
            return super().__call__(uri, context)

    assert check_key_backend(LogsIn(good), "acme:k", context=CONTEXT)
    assert len(set(seen)) == 2


# Keys that sign elsewhere


class RemoteKey(RemoteKeyBase):
    def __init__(self, uri, *, backend, endpoint, batch=8):
        super().__init__(
            uri,
            algorithm=backend.key.algorithm,
            public_key=backend.key.public_key,
            endpoint=endpoint,
            batch=batch,
        )
        self.backend = backend

    def _sign(self, digests, *, timeout):
        return self.backend.answer(digests, timeout)


class RemoteBackend(Backend):
    """A service with good manners; each test spoils one of them."""

    threads = 3

    def __call__(self, uri, context):
        super().__call__(uri, context)
        return self.opened(uri, context)

    def opened(self, uri, context):
        values = {"threads": self.threads}
        section = BackendSection(name="default", kind="acme", values=values)
        return RemoteKey(str(uri), backend=self, endpoint=context.endpoint(section))

    def answer(self, digests, timeout):
        return [self.key.sign_digest(digest) for digest in digests]


REMOTE = ("endpoint", "batch", "batch length", "many threads", "timeout", "fork")


def test_a_service_with_good_manners_passes(good):
    names = check_key_backend(RemoteBackend(good), "acme:k", context=CONTEXT)
    assert names[-7:] == (*REMOTE, "no secrets")
    assert len(names) == 14


def test_the_check_leaves_no_thread(good):
    before = set(threading.enumerate())
    check_key_backend(RemoteBackend(good), "acme:k", context=CONTEXT)
    assert set(threading.enumerate()) <= before  # those of others may end meanwhile


def test_a_service_that_signs_one_digest_at_a_time_passes(good):
    class One(RemoteBackend):
        def opened(self, uri, context):
            key = super().opened(uri, context)
            key.batch = 1
            return key

        def answer(self, digests, timeout):
            assert len(digests) == 1
            return super().answer(digests, timeout)

    assert len(check_key_backend(One(good), "acme:k", context=CONTEXT)) == 14


def test_an_endpoint_of_ones_own_or_none(good):
    class Own(RemoteBackend):
        def opened(self, uri, context):
            section = BackendSection(name=f"own-{time.monotonic_ns()}", kind="acme")
            return RemoteKey(str(uri), backend=self, endpoint=context.endpoint(section))

    assert "endpoint: opening the key again gave another endpoint" in fault(Own(good))

    class NoneAtAll(RemoteBackend):
        def opened(self, uri, context):
            key = super().opened(uri, context)
            key.endpoint = type("Url", (), {"limits": key.endpoint.limits})()
            return key

    assert "endpoint: its endpoint is no Endpoint" in fault(NoneAtAll(good))


@pytest.mark.parametrize("batch", [0, None, "8", True])
def test_a_batch_that_is_no_number(good, batch):
    class Odd(RemoteBackend):
        def opened(self, uri, context):
            key = super().opened(uri, context)
            key.batch = batch
            return key

    assert f"endpoint: its batch is {batch!r}" in fault(Odd(good))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda right: right[::-1], "another digest's; keep their order"),
        (lambda right: [*right[1:], bytes(64)], "another digest's; keep their order"),
        (lambda right: [*right[:-1], bytes(64)], "one is wrong"),
        (lambda right: right[:-1], "are not answered with as many signatures"),
        (lambda right: None, "are not answered with as many signatures"),
        (lambda right: [*right[:-1], KeyDenied("no", uri="acme:k")], "KeyDenied: acme:k: no"),
    ],
)
def test_a_batch_whose_answer_is_wrong(good, answer, says):
    class Mixes(RemoteBackend):
        def answer(self, digests, timeout):
            right = super().answer(digests, timeout)
            return answer(right) if len(digests) > 1 else right

    text = fault(Mixes(good))
    assert "acme: batch: " in text
    assert says in text


def test_a_batch_that_raises_what_it_likes(good):
    class Foreign(RemoteBackend):
        def answer(self, digests, timeout):
            if len(digests) > 1:
                raise ValueError("x")
            return super().answer(digests, timeout)

    assert "batch: signing raises no KeyBackendError: ValueError: x" in fault(Foreign(good))


class LaxKey(RemoteKey):
    """Forgets to look at what it is given, among several."""

    def sign_digests(self, digests, *, timeout):
        if len(digests) == 1:
            return super().sign_digests(digests, timeout=timeout)
        return self.lax(digests)


@pytest.mark.parametrize(
    ("lax", "says"),
    [
        (lambda key, wanted: [key._private_key.sign(each) for each in wanted], "is signed"),
        (lambda key, wanted: [key.sign_digest(each) for each in wanted[:1]], "is signed"),
    ],
)
def test_a_digest_of_another_length_in_a_batch(good, lax, says):
    class Lax(RemoteBackend):
        def opened(self, uri, context):
            key = super().opened(uri, context)
            key.__class__ = LaxKey
            key.lax = lambda wanted: (
                lax(good, wanted)
                if len(wanted[-1]) != 32
                else [good.sign_digest(each) for each in wanted]
            )
            return key

    assert f"batch length: a digest of 31 octets in a call {says}" in fault(Lax(good))


def test_a_digest_of_another_length_in_a_batch_that_raises_what_it_likes(good):
    class Foreign(RemoteBackend):
        def opened(self, uri, context):
            key = super().opened(uri, context)
            key.__class__ = LaxKey
            key.lax = lambda wanted: [bytes([len(each)]) and self.sign32(each) for each in wanted]
            return key

        def sign32(self, digest):
            if len(digest) != 32:
                raise ValueError("x")
            return good.sign_digest(digest)

    assert "batch length: " in fault(Foreign(good))


def test_an_answer_that_says_which_digest_it_does_not_sign_is_accepted(good):
    class Single(RemoteBackend):
        def opened(self, uri, context):
            key = super().opened(uri, context)
            key.__class__ = LaxKey
            key.lax = lambda wanted: [
                good.sign_digest(each) if len(each) == 32 else KeyUnusable("32!", uri="acme:k")
                for each in wanted
            ]
            return key

    assert len(check_key_backend(Single(good), "acme:k", context=CONTEXT)) == 14


def test_sessions_that_more_threads_than_sessions_share(good):
    class Sessions(RemoteBackend):
        """Its sessions get mixed up when more than three are wanted at once."""

        threads = 12

        def __init__(self, key):
            super().__init__(key)
            self.busy, self.lock = 0, threading.Lock()

        def answer(self, digests, timeout):
            with self.lock:
                self.busy += 1
                mixed = self.busy > 9
            time.sleep(0.005)
            with self.lock:
                self.busy -= 1
            return [bytes(64)] if mixed else super().answer(digests, timeout)

    assert "many threads: with 16 threads: of 1 signatures in a call one is wrong" in fault(
        Sessions(good)
    )


def test_threads_of_which_none_gets_a_signature(good):
    class Refuses(RemoteBackend):
        was_joined = False  # the check before last

        def answer(self, digests, timeout):
            self.was_joined |= len(digests) > 1
            if self.was_joined and threading.current_thread() is not threading.main_thread():
                raise KeyUnavailable("all sessions are busy", uri="acme:k")
            return super().answer(digests, timeout)

    assert "many threads: with 7 threads nobody gets a signature" in fault(Refuses(good))


def test_a_call_that_takes_no_notice_of_its_time(good):
    class Hangs(RemoteBackend):
        def answer(self, digests, timeout):
            if timeout < 0.01:
                time.sleep(2.1)
            return super().answer(digests, timeout)

    assert "timeout: a call that may take 0.001 s took 2.1 s" in fault(Hangs(good))


def test_a_call_that_says_it_had_too_little_time_passes(good):
    class Honest(RemoteBackend):
        def answer(self, digests, timeout):
            if timeout < 0.01:
                raise KeyUnavailable("no answer in time", uri="acme:k")
            return super().answer(digests, timeout)

    assert len(check_key_backend(Honest(good), "acme:k", context=CONTEXT)) == 14


@pytest.mark.parametrize(
    ("in_child", "says"),
    [
        (lambda right: KeyUnusable("CANARY", uri="acme:k"), "does not sign: KeyUnusable"),
        (lambda right: bytes(64), "does not sign: "),
        (lambda right: 1 / 0, "does not sign: ZeroDivisionError"),
        (lambda right: os._exit(3), "does not sign: nothing came"),
    ],
)
def test_a_connection_that_a_child_shares_with_its_parent(good, in_child, says):
    class Shares(RemoteBackend):
        pid = os.getpid()

        def answer(self, digests, timeout):
            right = super().answer(digests, timeout)
            return right if os.getpid() == self.pid else [in_child(right)]

    assert f"fork: in a child process the key {says}" in fault(Shares(good))


def test_a_key_that_cannot_be_opened_in_a_child(good):
    class Shares(RemoteBackend):
        pid = os.getpid()

        def opened(self, uri, context):
            if os.getpid() != self.pid:
                raise KeyUnavailable("the parent's connection", uri="acme:k")
            return super().opened(uri, context)

    assert "the key opened there does not sign: KeyUnavailable" in fault(Shares(good))


# What makes keys


class Maker:
    """Keys in a dictionary; each test spoils something."""

    def __init__(self):
        self.keys = {}

    def open_key(self, uri, context):
        if uri.path not in self.keys:
            raise KeyNotFound("no such key", uri=str(uri))
        return MemoryKey(self.keys[uri.path], name=str(uri))

    def create_key(self, uri, context, *, key_type, bits):
        pem = generate_pem(key_type, bits=bits)
        return self.keep(uri, decode_private_key(pem, uri=str(uri), passphrase=lambda: None))

    def import_key(self, uri, context, private_key):
        return self.keep(uri, private_key)

    def keep(self, uri, private_key):
        if uri.path in self.keys:
            raise KeyUnusable("there is a key already", uri=str(uri))
        self.keys[uri.path] = private_key
        return MadeKey(uri=str(uri), public_key=MemoryKey(private_key, name=str(uri)).public_key)


def places():
    numbers = itertools.count()
    return lambda: f"acme:new{next(numbers)}"


def check_maker(maker, **options):
    return check_key_maker(maker, maker.open_key, places(), context=CONTEXT, **options)


def maker_fault(maker, **options):
    options.setdefault("key_types", [KeyType.ED25519])
    with pytest.raises(BackendFault) as caught:
        check_maker(maker, **options)
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_a_maker_with_good_manners_passes():
    maker = Maker()
    assert check_maker(maker) == (
        *("creates rsa", "creates no other", "imports rsa", "imports no other"),
        *("creates ed25519", "creates no other", "imports ed25519", "imports no other"),
        "no secrets",
    )
    assert len(maker.keys) == 4


def test_a_maker_that_takes_in_nothing_passes():
    class Closed(Maker):
        def import_key(self, uri, context, private_key):
            raise KeyUnusable("keys are made there, and not brought", uri=str(uri))

    names = check_maker(Closed(), key_types=[KeyType.ED25519], imports=False)
    assert names == ("creates ed25519", "creates no other", "refuses imports", "no secrets")
    assert "refuses imports: bringing in a key works" in maker_fault(Maker(), imports=False)
    assert "imports ed25519: no key is made: KeyUnusable" in maker_fault(Closed())


def other_key(key_type=KeyType.ED25519, bits=2048):
    pem = generate_pem(key_type, bits=bits)
    return decode_private_key(pem, uri="acme:x", passphrase=lambda: None)


def test_a_maker_of_the_wrong_keys():
    class Wrong(Maker):
        def create_key(self, uri, context, *, key_type, bits):
            return self.keep(uri, other_key(KeyType.RSA, 1024))

    assert "asked for ed25519, it makes rsa" in maker_fault(Wrong())
    assert "asked for 2048 bits, it makes 1024" in maker_fault(Wrong(), key_types=[KeyType.RSA])


def test_a_maker_that_returns_something_else():
    class Returns(Maker):
        def create_key(self, uri, context, *, key_type, bits):
            super().create_key(uri, context, key_type=key_type, bits=bits)
            return str(uri)

    assert "what is returned is no MadeKey" in maker_fault(Returns())


def test_a_maker_that_returns_another_public_half_or_uri():
    class Half(Maker):
        def keep(self, uri, private_key):
            made = super().keep(uri, private_key)
            return MadeKey(uri=made.uri, public_key=EphemeralKey.ed25519().public_key)

    assert "another public half than was returned" in maker_fault(Half())

    class Elsewhere(Maker):
        def keep(self, uri, private_key):
            return MadeKey(uri="acme:none", public_key=super().keep(uri, private_key).public_key)

    assert "the key acme:none is made and cannot be used: KeyNotFound" in maker_fault(Elsewhere())


@pytest.mark.parametrize("creates", [True, False])
def test_a_maker_that_writes_over_a_key(creates):
    class Overwrites(Maker):
        def create_key(self, uri, context, **options):
            if creates:
                self.keys.pop(uri.path, None)
            return super().create_key(uri, context, **options)

        def import_key(self, uri, context, private_key):
            self.keys.pop(uri.path, None)
            return super().import_key(uri, context, private_key)

    text = maker_fault(Overwrites())
    assert f"{'creates' if creates else 'imports'} no other: a second key in the place" in text


def test_a_maker_that_refuses_and_has_written_over_it_all_the_same():
    class Late(Maker):
        def keep(self, uri, private_key):
            was_there = uri.path in self.keys
            self.keys.pop(uri.path, None)
            made = super().keep(uri, private_key)
            if was_there:
                raise KeyUnusable("there was a key", uri=str(uri))
            return made

    assert "creates no other: acme:new0 opens a key with another public half" in maker_fault(Late())


def test_a_maker_that_brings_in_another_key():
    class Another(Maker):
        def import_key(self, uri, context, private_key):
            return super().import_key(uri, context, other_key())

    assert "the key that was brought in signs otherwise" in maker_fault(Another())


def test_a_maker_that_quotes_the_key():
    class Quotes(Maker):
        def import_key(self, uri, context, private_key):
            pem = EphemeralKey(private_key, name="x").private_pem().decode()
            if uri.path in self.keys:
                raise KeyUnusable(f"there is a key, and {pem} is not taken", uri=str(uri))
            return super().import_key(uri, context, private_key)

    assert "no secrets: a secret shows" in maker_fault(Quotes())


def test_a_maker_that_raises_what_it_likes():
    class Foreign(Maker):
        def create_key(self, uri, context, **options):
            raise RuntimeError(f"{context.secret('token')} has no rights")

    assert "no key is made: RuntimeError: a secret shows in its text" in maker_fault(Foreign())

    class Second(Maker):
        def keep(self, uri, private_key):
            if uri.path in self.keys:
                raise FileExistsError("x")
            return super().keep(uri, private_key)

    assert "raises FileExistsError and not KeyUnusable" in maker_fault(Second())
