"""The published aids: keys that sign, and a check that finds what backends get wrong."""

from __future__ import annotations

import itertools
import threading
import traceback
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dkimcore.errors import KeyBackendError, KeyDenied, KeyNotFound, KeyUnusable, KeyUriError
from dkimcore.keys import KeyContext
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.resolvers import static
from dkimcore.testing import BackendFault, EphemeralKey, StaticResolver, check_key_backend

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
