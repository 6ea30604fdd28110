"""The key store: once per key, checked, contained, closed; also with many threads."""

from __future__ import annotations

import os
import threading
import time
import traceback
from hashlib import sha256

import pytest

from dkimcore.errors import (
    ConfigError,
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
    StateError,
)
from dkimcore.keys import KeyContext
from dkimcore.keys.fetched import FetchedKey
from dkimcore.keys.secrets import secret_from
from dkimcore.keys.sections import Sections, StoreSettings
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.testing import EphemeralKey
from tests.forked import fork
from tests.keys.remotes import Gate, Heard, Service, eventually, threads_named
from tests.keys.test_forking import in_child

DIGEST = bytes(range(32))

# A third party's module.  What a test needs of it, the test puts into BEHAVIOUR.
BACKEND = """
BEHAVIOUR = {}

def open_key(uri, context):
    return BEHAVIOUR["open"](uri, context)
"""


@pytest.fixture(scope="module")
def good():
    return EphemeralKey.ed25519(bytes(32))


@pytest.fixture
def acme(install):
    """Installs a backend for ``acme:``; called with the function that opens its keys."""
    import importlib
    import sys

    sys.modules.pop("acme_store", None)
    install("acme-keys", {"acme": "acme_store:open_key"}, "acme_store", BACKEND)

    def behave(open_key):
        importlib.import_module("acme_store").BEHAVIOUR["open"] = open_key

    yield behave
    sys.modules.pop("acme_store", None)


class Key:
    """A backend's key: signs as `good` does unless told otherwise."""

    def __init__(self, good, sign=None, close=None):
        self.algorithm, self.public_key = good.algorithm, good.public_key
        self.sign_digest = sign or good.sign_digest
        self.close = close


class Failing:
    """Signs the probe, then fails."""

    def __init__(self, good, then):
        self.good, self.then, self.calls = good, then, 0

    def __call__(self, digest):
        self.calls += 1
        return self.good.sign_digest(digest) if self.calls == 1 else self.then()


def failing(exc):
    def raises():
        raise exc

    return raises


def test_a_key_file_signs(key_file):
    with KeyStore() as keys:
        key = keys.get(key_file())
        assert key.algorithm is Algorithm.RSA_SHA256
        assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)
        assert repr(key) == f"<key file:{key_file()} rsa-sha256, 2048 bits>"
        assert repr(keys) == "<KeyStore of 1 keys>"


def test_one_key_under_all_its_spellings(key_file):
    path = key_file()
    with KeyStore() as keys:
        key = keys.get(path)
        assert keys.get(f"file:{path}") is key
        assert keys.get(path) is key
        os.unlink(path)
        assert keys.get(f"FILE:{path}") is key
        assert repr(keys) == "<KeyStore of 1 keys>"


def test_an_encrypted_key_with_its_passphrase_from_the_environment(key_file, passphrase):
    path = key_file(secret=passphrase)
    context = KeyContext(secret=secret_from(environ={"DKIMCORE_PASSPHRASE": passphrase}))
    with KeyStore(context=context) as keys:
        assert keys.get(path).public_key.bits == 2048
    with KeyStore() as keys, pytest.raises(KeyDenied, match="DKIMCORE_PASSPHRASE"):
        keys.get(path)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), bytearray(32), "x" * 32, None, 32])
def test_only_a_digest_is_signed(key_file, digest):
    with KeyStore() as keys:
        key = keys.get(key_file())
        with pytest.raises(KeyUnusable, match="32 octets"):
            key.sign_digest(digest)


def test_a_key_whose_numbers_do_not_fit_does_not_survive_the_probe(keep):
    from tests.keys.conftest import RSA
    from tests.keys.test_memory import PEM, PKCS8, NoEncryption, damaged

    path = keep(damaged(RSA).private_bytes(PEM, PKCS8, NoEncryption()))
    with KeyStore() as keys, pytest.raises(KeyUnusable, match=r"damaged"):
        keys.get(path)


def test_a_failure_is_tried_again(tmp_path, key_file):
    path = f"{tmp_path}/s1.pem"
    with KeyStore() as keys:
        with pytest.raises(KeyNotFound):
            keys.get(path)
        assert key_file() == path
        assert keys.get(path)


def test_errors_of_configuration_stay_so(acme):
    acme(lambda uri, context: uri.allow_options("zone"))
    with KeyStore() as keys:
        with pytest.raises(KeyUriError, match="no option 'zoen'"):
            keys.get("acme:k?zoen=eu")
        with pytest.raises(KeyUriError, match=r"acme:, .*file:"):
            keys.get("nope:k")
        with pytest.raises(KeyUriError, match="no secrets"):
            keys.get("acme:k?pin=CANARY")


def test_a_secret_in_an_error_of_configuration_is_withheld(acme):
    def open_key(uri, context):
        raise ConfigError(f"bad token {context.secret('token')}")

    acme(open_key)
    context = KeyContext(secret=lambda _: "s3-CANARY")
    with KeyStore(context=context) as keys, pytest.raises(KeyBackendError) as caught:
        keys.get("acme:k")
    assert "withheld" in str(caught.value)
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


def test_what_opening_raises_is_contained(acme):
    def open_key(uri, context):
        raise TimeoutError("no answer within 3 s")

    acme(open_key)
    with KeyStore() as keys, pytest.raises(KeyUnavailable, match="no answer") as caught:
        keys.get("acme:k")
    assert caught.value.uri == "acme:k"
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_what_is_no_key_is_contained(acme):
    acme(lambda uri, context: None)
    with KeyStore() as keys, pytest.raises(KeyBackendError, match="AttributeError"):
        keys.get("acme:k")


def test_a_backend_that_hashes_again_is_refused(acme, good):
    from hashlib import sha256

    acme(lambda *_: Key(good, lambda digest: good.sign_digest(sha256(digest).digest())))
    with KeyStore() as keys, pytest.raises(KeyUnusable, match="hashes the digest again"):
        keys.get("acme:k")


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (KeyUnavailable("x", uri="acme:k"), KeyUnavailable),
        (ConnectionResetError("x"), KeyUnavailable),
        (ValueError("x"), KeyBackendError),
        (KeyUriError("x"), KeyBackendError),
        (RuntimeError("token s3-CANARY refused"), KeyBackendError),
    ],
)
def test_signing_raises_key_backend_errors_only_and_no_secret(acme, good, exc, kind):
    def open_key(uri, context):
        context.secret("token")
        return Key(good, Failing(good, failing(exc)))

    acme(open_key)
    with KeyStore(context=KeyContext(secret=lambda _: "s3-CANARY")) as keys:
        key = keys.get("acme:k")
        with pytest.raises(KeyBackendError) as caught:
            key.sign_digest(DIGEST)
    assert type(caught.value) is kind
    assert "CANARY" not in str(caught.value)
    assert "CANARY" not in str(caught.value.__cause__)


@pytest.mark.parametrize("answer", [b"", bytes(63), bytes(65), None, "x" * 64])
def test_what_is_no_signature_is_not_returned(acme, good, answer):
    acme(lambda *_: Key(good, Failing(good, lambda: answer)))
    with KeyStore() as keys:
        key = keys.get("acme:k")
        with pytest.raises(KeyUnusable, match="else than a signature"):
            key.sign_digest(DIGEST)


def test_eight_threads_open_a_key_once_and_share_it(acme, good):
    opened, entered, release = [], threading.Event(), threading.Event()

    def open_key(uri, context):
        opened.append(uri.path)
        entered.set()
        release.wait(30)
        return Key(good)

    acme(open_key)
    got = []
    with KeyStore() as keys:
        threads = [threading.Thread(target=lambda: got.append(keys.get("acme:k"))) for _ in "x" * 8]
        for thread in threads:
            thread.start()
        entered.wait(30)
        keys.add("inline:other", good)  # another key is not held up
        release.set()
        for thread in threads:
            thread.join(30)
    assert opened == ["k"]
    assert len(got) == 8
    assert len(set(got)) == 1


def test_threads_that_wait_share_a_failure_instead_of_repeating_it(acme):
    opened, entered, release = [], threading.Event(), threading.Event()

    def open_key(uri, context):
        opened.append(uri.path)
        entered.set()
        release.wait(30)
        raise TimeoutError

    acme(open_key)
    errors = []

    def get():
        with pytest.raises(KeyUnavailable) as caught:
            keys.get("acme:k")
        errors.append(caught.value)

    with KeyStore() as keys:
        first = threading.Thread(target=get)
        first.start()
        entered.wait(30)
        opening = keys._openings["acme:k"]
        waiting = CountingEvent(opening, 4)
        others = [threading.Thread(target=get) for _ in "x" * 4]
        for thread in others:
            thread.start()
        assert waiting.reached.wait(30)
        release.set()
        for thread in [first, *others]:
            thread.join(30)
    assert opened == ["k"]
    assert len(errors) == 5


class CountingEvent:
    """Tells when so many threads wait for an opening."""

    def __init__(self, opening, number):
        self.reached, self.number = threading.Event(), number
        self.event, self.lock = opening.done, threading.Lock()
        self.set = self.event.set
        opening.done = self

    def wait(self, timeout):
        with self.lock:
            self.number -= 1
            if self.number == 0:
                self.reached.set()
        return self.event.wait(timeout)


def test_who_waits_for_an_opening_that_is_interrupted_is_woken(acme):
    entered, release = threading.Event(), threading.Event()

    def open_key(uri, context):
        entered.set()
        release.wait(30)
        raise KeyboardInterrupt

    acme(open_key)
    errors = []

    def get():
        with pytest.raises(KeyUnavailable, match="interrupted") as caught:
            keys.get("acme:k")
        errors.append(caught.value)

    with KeyStore() as keys:
        threads = [threading.Thread(target=get), threading.Thread(target=get)]
        threads[0].start()
        entered.wait(30)
        waiting = CountingEvent(keys._openings["acme:k"], 1)
        threads[1].start()
        assert waiting.reached.wait(30)
        release.set()
        for thread in threads:
            thread.join(30)
    assert [error.temporary for error in errors] == [True, True]


def test_keys_can_be_added_and_are_checked(good):
    with KeyStore() as keys:
        keys.add("inline:s1", good)
        assert keys.get("inline:s1").sign_digest(DIGEST) == good.sign_digest(DIGEST)
        with pytest.raises(StateError, match="inline:s1 is in this KeyStore"):
            keys.add("inline:s1", good)
        with pytest.raises(KeyNotFound, match="no key was added"):
            keys.get("inline:s2")
        with pytest.raises(KeyUnusable):
            keys.add("inline:s3", Key(good, lambda digest: b""))
        with pytest.raises(KeyUriError):
            keys.add("-----BEGIN PRIVATE KEY-----", good)


def test_after_closing_nothing_signs(key_file, good):
    closed = []
    keys = KeyStore()
    keys.add("inline:s1", Key(good, close=lambda: closed.append(True)))
    key, file = keys.get("inline:s1"), keys.get(key_file())
    keys.close()
    keys.close()
    assert closed == [True]
    for each in (key, file):
        with pytest.raises(KeyUnusable, match="closed"):
            each.sign_digest(DIGEST)
    with pytest.raises(StateError, match="closed"):
        keys.get(key_file())
    with pytest.raises(StateError, match="closed"):
        keys.add("inline:s2", good)


def test_closing_closes_all_and_raises_the_first_error(good):
    closed = []
    keys = KeyStore()
    keys.add("inline:s1", Key(good, close=failing(ConnectionResetError("gone"))))
    keys.add("inline:s2", Key(good, close=lambda: closed.append(True)))
    with pytest.raises(KeyUnavailable, match=r"inline:s1.*gone"):
        keys.close()
    assert closed == [True]


def test_a_forgotten_key_is_opened_anew_and_goes_on_signing(key_file):
    path = key_file()
    with KeyStore() as keys:
        old = keys.get(path)
        keys.forget(f"FILE:{path}")
        assert repr(keys) == "<KeyStore of 0 keys>"
        new = keys.get(path)
        assert new is not old
        assert old.sign_digest(DIGEST) == new.sign_digest(DIGEST)
        keys.forget("file:/never/opened")
        assert keys.get(path) is new


def test_a_forgotten_key_with_a_connection_is_closed_with_the_store(good):
    closed = []
    with KeyStore() as keys:
        keys.add("inline:s1", Key(good, close=lambda: closed.append(True)))
        key = keys.get("inline:s1")
        keys.forget("inline:s1")
        assert key.sign_digest(DIGEST)
        assert closed == []
    assert closed == [True]


def test_a_key_that_opens_while_the_store_closes_is_closed(acme, good):
    closed = []
    keys = KeyStore()

    def open_key(uri, context):
        keys.close()
        return Key(good, close=lambda: closed.append(True))

    acme(open_key)
    with pytest.raises(StateError, match="closed"):
        keys.get("acme:k")
    assert closed == [True]


def test_keys_that_were_opened_before_a_fork_sign_after_it(key_file):
    with KeyStore() as keys:
        key = keys.get(key_file())
        reader, writer = os.pipe()
        child = fork()
        if child == 0:
            os.write(writer, key.sign_digest(DIGEST))
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as file:
            signature_data = file.read()
        os.waitpid(child, 0)
        assert key.public_key.verifies(signature_data, DIGEST, key.algorithm)


# Keys that are kept elsewhere


def settings(observer=None, **store):
    options = {} if observer is None else {"observer": observer}
    return KeyContext(sections=Sections(store=StoreSettings(**store)), **options)


def remote(good, **options):
    """Opens keys that sign elsewhere, in the endpoint of their scheme."""

    def open_key(uri, context):
        endpoint = context.endpoint(context.sections.get(uri.scheme))
        return Service(endpoint, key=good, uri=str(uri), **options)

    return open_key


def test_a_remote_key_is_opened_checked_told_and_used(acme, good):
    heard = Heard()
    acme(remote(good, batch=8))
    with KeyStore(context=settings(heard)) as keys:
        key = keys.get("acme:k")
        assert keys.is_open("acme:k")
        assert key.sign_digest(DIGEST) == good.sign_digest(DIGEST)
        assert keys.get("acme:k") is key
    (event,) = heard.events
    digest = sha256(good.public_key.encode()).hexdigest()
    assert (event.event, event.uri) == ("key-opened", "acme:k")
    assert event.fields == {"algorithm": "ed25519-sha256", "public_key_sha256": digest}
    assert digest[:16] in event.text
    eventually(lambda: not threads_named("acme:default-"))


def test_a_failure_to_open_is_remembered_and_told_once(acme, good):
    heard, opened = Heard(), []

    def open_key(uri, context):
        opened.append(uri.path)
        raise KeyNotFound("no such key", uri=str(uri))

    acme(open_key)
    with KeyStore(context=settings(heard, negative=60.0)) as keys:
        for _ in range(5):
            with pytest.raises(KeyNotFound, match="no such key"):
                keys.get("acme:k")
        assert opened == ["k"]
        assert heard.names() == ["key-refused"]
        assert heard.events[0].text == "cannot be used: no such key"
        keys.forget("acme:k")  # as when the configuration is loaded again
        acme(remote(good))
        assert keys.get("acme:k")


def test_a_failure_that_may_pass_is_remembered_for_a_second_at_most(acme, good, monkeypatch):
    acme(lambda *_: failing(TimeoutError())())
    with KeyStore(context=settings(negative=60.0)) as keys:
        with pytest.raises(KeyUnavailable):
            keys.get("acme:k")
        acme(remote(good))
        with pytest.raises(KeyUnavailable):
            keys.get("acme:k")

        def opens():
            try:
                return keys.get("acme:k")
            except KeyUnavailable:
                return None

        begun = time.monotonic()
        eventually(opens)
        assert 0.3 < time.monotonic() - begun < 5


def test_without_a_memory_of_failures_each_is_tried_again(acme):
    opened = []

    def open_key(uri, context):
        opened.append(uri.path)
        raise KeyNotFound("no such key", uri=str(uri))

    acme(open_key)
    with KeyStore(context=settings(negative=0.0)) as keys:
        for _ in range(3):
            with pytest.raises(KeyNotFound):
                keys.get("acme:k")
    assert len(opened) == 3


def test_nobody_waits_for_an_opening_beyond_the_deadline_and_it_goes_on(acme, good):
    gate = Gate()

    def open_key(uri, context):
        gate(None)
        return remote(good)(uri, context)

    acme(open_key)
    with KeyStore(context=settings(deadline=0.1)) as keys:
        begun = time.monotonic()
        for _ in range(3):
            with pytest.raises(KeyUnavailable, match="not open yet"):
                keys.get("acme:k")
        assert time.monotonic() - begun < 5
        assert gate.entered.acquire(timeout=1)
        assert not gate.entered.acquire(blocking=False)  # one opening, that goes on
        gate.open()
        eventually(lambda: keys.is_open("acme:k"))
        assert keys.get("acme:k").sign_digest(DIGEST) == good.sign_digest(DIGEST)


def test_a_hundred_keys_of_a_backend_that_hangs_take_few_threads(acme):
    gate = Gate()
    acme(lambda *_: gate(None))
    eventually(lambda: not threads_named("opens keys"))
    with KeyStore(context=settings(deadline=0.1)) as keys:
        waiting = [
            threading.Thread(target=lambda number=number: failing_get(keys, f"acme:{number}"))
            for number in range(100)
        ]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()
        assert len(threads_named("opens keys")) == 32
        gate.open()
        eventually(lambda: not threads_named("opens keys"))


def failing_get(keys, uri):
    with pytest.raises(KeyUnavailable):
        keys.get(uri)


def test_where_the_system_has_no_thread_opening_fails_at_once_and_later_works(
    acme, good, monkeypatch
):
    acme(remote(good))

    def start(_):
        raise RuntimeError("can't start new thread")

    with KeyStore(context=settings(negative=0.0)) as keys:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(KeyUnavailable, match="no thread to open it"):
                keys.get("acme:k")
        assert keys.get("acme:k")


def test_a_key_that_fails_its_check_is_closed(acme, good):
    closed = []
    acme(lambda *_: Key(good, lambda _: b"", close=lambda: closed.append(True)))
    with KeyStore() as keys, pytest.raises(KeyUnusable):
        keys.get("acme:k")
    assert closed == [True]


def test_a_key_that_was_added_and_fails_its_check_is_still_its_owners(good):
    closed = []
    with KeyStore() as keys, pytest.raises(KeyUnusable):
        keys.add("inline:k", Key(good, lambda _: b"", close=lambda: closed.append(True)))
    assert closed == []


def test_closing_while_a_key_opens_tells_who_waits_and_closes_it(acme, good):
    gate, closed, errors = Gate(), [], []

    def open_key(uri, context):
        gate(None)
        return Key(good, close=lambda: closed.append(True))

    def get():
        with pytest.raises(StateError, match="closed") as caught:
            keys.get("acme:k")
        errors.append(caught.value)

    acme(open_key)
    keys = KeyStore()
    threads = [threading.Thread(target=get) for _ in range(3)]
    for thread in threads:
        thread.start()
    gate.await_calls()
    keys.close()
    gate.open()
    for thread in threads:
        thread.join()
    eventually(lambda: closed == [True])
    assert len(set(map(id, errors))) == 3
    eventually(lambda: not threads_named("acme:default-"))


def test_closing_leaves_no_thread(acme, good):
    before = set(threading.enumerate())
    acme(remote(good))
    with KeyStore() as keys:
        pending = [keys.get(f"acme:{number}").start(DIGEST) for number in range(20)]
        assert {each.result() for each in pending} == {good.sign_digest(DIGEST)}
    eventually(lambda: set(threading.enumerate()) <= before)


def test_closing_while_signatures_are_awaited_lets_nobody_wait(acme, good):
    gate = Gate()
    acme(remote(good))
    keys = KeyStore(context=settings(deadline=60.0))
    key = keys.get("acme:k")
    key.backend_key.behave = gate
    pending, told = key.start(DIGEST), threading.Event()
    pending.when_done(told.set)
    gate.await_calls()
    keys.close()
    assert told.wait(5)
    with pytest.raises(KeyUnavailable, match="closed before"):
        pending.result()
    gate.open()


def test_an_observer_that_raises_does_no_harm(acme, good, caplog):
    class Broken(Heard):
        def event(self, event):
            raise RuntimeError("CANARY")

        round_trip = event

    acme(remote(good))
    with KeyStore(context=settings(Broken())) as keys:
        assert keys.get("acme:k").sign_digest(DIGEST) == good.sign_digest(DIGEST)
        acme(lambda *_: failing(TimeoutError())())
        with pytest.raises(KeyUnavailable):
            keys.get("acme:other")
    assert "RuntimeError" in caplog.text
    assert "CANARY" not in caplog.text


def test_frames_of_a_backend_with_a_secret_in_a_variable_do_not_leave(acme):
    def open_key(uri, context):
        token = context.secret("token")
        assert token
        raise ValueError("refused")

    acme(open_key)
    with KeyStore(context=KeyContext(secret=lambda _: "s3-CANARY")) as keys:
        for _ in range(2):  # from the opening, and from memory
            with pytest.raises(KeyBackendError, match="ValueError: refused") as caught:
                keys.get("acme:k")
            shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            text = "".join(line for line in shown.format() if "test_store.py" not in line)
            assert "CANARY" not in text
            assert "in open_key" in caught.value.__notes__[0]


class Vault:
    """Where keys are fetched from; what is in `octets` is the answer, or raised."""

    def __init__(self, octets):
        self.octets, self.fetched = octets, threading.Semaphore(0)

    def fetch(self):
        self.fetched.release()
        if isinstance(self.octets, Exception):
            raise self.octets
        return bytearray(self.octets)

    def open_key(self, uri, context):
        return FetchedKey(self.fetch(), name=str(uri), fetch=self.fetch)


def refresh_now(keys, name="acme:k"):
    keys._refreshers[name].refresh()


def test_a_fetched_key_is_fetched_again_and_withdrawn_when_it_is_gone(acme, good):
    heard, vault = Heard(), Vault(good.private_pem())
    acme(vault.open_key)
    with KeyStore(context=settings(heard, refresh=1.0, negative=0.0)) as keys:
        key = keys.get("acme:k")
        assert key.is_local
        assert vault.fetched.acquire(timeout=30)
        assert vault.fetched.acquire(timeout=30)  # by itself, after a second
        vault.octets = KeyUnavailable("down", uri="acme:k")
        refresh_now(keys)
        assert key.sign_digest(DIGEST)
        assert keys.oldest_confirmation > 0
        vault.octets = KeyDenied("revoked", uri="acme:k")
        refresh_now(keys)
        with pytest.raises(KeyDenied, match="revoked"):
            key.sign_digest(DIGEST)
        with pytest.raises(KeyDenied, match="revoked"):
            keys.get("acme:k")
        vault.octets = good.private_pem()
        assert keys.get("acme:k").sign_digest(DIGEST) == good.sign_digest(DIGEST)
    words = [name for name in heard.names() if name != "key-refreshed"]
    assert words == ["key-opened", "key-stale", "key-withdrawn", "key-refused", "key-opened"]


def test_a_key_that_was_forgotten_is_not_fetched_any_more(acme, good):
    vault = Vault(good.private_pem())
    acme(vault.open_key)
    with KeyStore() as keys:
        keys.get("acme:k")
        old = keys._refreshers["acme:k"]
        keys.forget("acme:k")
        assert keys._refreshers == {}
        keys.get("acme:k")
        vault.octets = KeyNotFound("gone", uri="acme:k")
        old.refresh()
        assert keys.is_open("acme:k")
        assert keys.oldest_confirmation < 60
    assert keys.oldest_confirmation == 0.0


# Forks

forks = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@forks
def test_a_child_uses_what_the_parent_opened_and_opens_more(acme, good):
    acme(remote(good))
    with KeyStore() as keys:
        key = keys.get("acme:k")

        def check():
            other = keys.get("acme:other")
            assert other.backend_key.endpoint is key.backend_key.endpoint
            signed = [each.sign_digest(DIGEST) for each in (key, other)]
            keys.close()
            eventually(lambda: not threads_named("acme:default-"))
            return signed == [good.sign_digest(DIGEST)] * 2

        assert in_child(check)
        assert key.sign_digest(DIGEST) == good.sign_digest(DIGEST)


@forks
def test_a_fork_while_a_key_is_being_opened(acme, good):
    gate = Gate()

    def open_key(uri, context):
        gate(None)
        return remote(good)(uri, context)

    acme(open_key)
    with KeyStore() as keys:
        thread = threading.Thread(target=keys.get, args=("acme:k",))
        thread.start()
        gate.await_calls()

        def check():
            acme(remote(good))
            return keys.get("acme:k").sign_digest(DIGEST) == good.sign_digest(DIGEST)

        assert in_child(check)
        gate.open()
        thread.join()
        assert keys.is_open("acme:k")


@forks
def test_forks_while_threads_open_and_forget_keys_leave_no_lock_behind(acme, good):
    acme(remote(good))
    stop = threading.Event()

    def work(number):
        while not stop.is_set():
            keys.get(f"acme:{number}")
            keys.forget(f"acme:{number}")

    with KeyStore() as keys:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                assert in_child(lambda: keys.get("acme:0").sign_digest(DIGEST))
        finally:
            stop.set()
            for thread in threads:
                thread.join()


@forks
def test_a_child_fetches_keys_again_by_itself(acme, good):
    vault = Vault(good.private_pem())
    acme(vault.open_key)
    with KeyStore(context=settings(refresh=1.0)) as keys:
        keys.get("acme:k")

        def check():
            while vault.fetched.acquire(blocking=False):
                pass
            return vault.fetched.acquire(timeout=30)

        assert in_child(check)


def test_eight_threads_a_thousand_signatures_each_through_the_store(acme, good):
    acme(remote(good, batch=64))
    wrong = []
    with KeyStore(context=settings(deadline=60.0)) as keys:
        key = keys.get("acme:k")

        def work(number):
            for each in range(1000):
                digest = sha256(b"%d %d" % (number, each)).digest()
                if not key.public_key.verifies(key.sign_digest(digest), digest, key.algorithm):
                    wrong.append(digest)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
