"""Keys on a token, as everybody else uses them: through a `KeyStore`."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

import dkimcore
from dkimcore.errors import KeyBackendError, KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.pkcs11.key import open_key
from dkimcore.keys.sections import StoreSettings
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.crypto import PublicKey
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.testing import StaticResolver, check_key_backend

pytestmark = pytest.mark.server("softhsm")

ROOT = Path(__file__).resolve().parents[3]
DIGEST = sha256(b"a message").digest()
MESSAGE = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: hello\r\n\r\nhello\r\n"

each_type = pytest.mark.parametrize("name", ["rsa", "ed25519"])


@pytest.fixture
def hasty_store(context):
    """A key store that waits for half a second."""
    made = []

    def make(**values):
        given = context(**values)
        sections = replace(given.sections, store=StoreSettings(deadline=0.5, negative=0.0))
        made.append(KeyStore(context=replace(given, sections=sections)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@each_type
def test_it_keeps_the_contract_of_key_backends(context, token, name):
    names = check_key_backend(
        open_key,
        token.uri(getattr(token, name), pin=False),
        context=context(lambda _: token.hsm.pin),
        unknown_uri=token.uri(f"token={token.hsm.label};object=nobody", pin=False),
    )
    assert names[-2:] == ("fork", "no secrets")


@each_type
def test_a_message_is_signed_and_verifies(store, token, name):
    hsm_key = getattr(token, name)
    key = store().get(token.uri(hsm_key))
    assert key.public_key == PublicKey.of(hsm_key.private_key.public_key())
    fields = dkimcore.sign(MESSAGE, [dkimcore.Signer.make("example.com", "s1", key)])
    record = KeyRecord(public_key=key.public_key, key_type=key.public_key.key_type).print()
    resolver = StaticResolver({"s1._domainkey.example.com": record})
    results = dkimcore.verify(fields.octets + MESSAGE, resolver=resolver)
    assert len(results) == 1
    assert results.passed


def test_it_says_what_it_is(store, token):
    key = store().get(token.uri(token.ed25519))
    assert key.algorithm is Algorithm.ED25519_SHA256
    backend_key = key.backend_key
    assert backend_key.batch == 1
    assert backend_key.endpoint.name == "pkcs11:hsm"
    assert repr(backend_key).startswith("<Pkcs11Key pkcs11:token=dkim;object=")


def test_a_digest_of_another_length_is_refused(store, token):
    backend_key = store().get(token.uri(token.rsa)).backend_key
    for length in (0, 20, 31, 33):
        with pytest.raises(KeyUnusable, match="32 octets"):
            backend_key.sign_digest(bytes(length))


def test_each_digest_has_its_outcome(store, token):
    backend_key = store().get(token.uri(token.ed25519)).backend_key
    digests = [sha256(bytes([number])).digest() for number in range(3)]
    outcomes = backend_key.sign_digests(digests, timeout=5.0)
    for digest, outcome in zip(digests, outcomes, strict=True):
        assert backend_key.public_key.verifies(outcome, digest, Algorithm.ED25519_SHA256)


@pytest.mark.parametrize(("name", "each"), [("ed25519", 1250), ("rsa", 50)])
def test_eight_threads_get_right_signatures(store, token, name, each):
    key = store().get(token.uri(getattr(token, name)))
    faults = []
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        for count in range(each):
            digest = sha256(b"%d %d" % (number, count)).digest()
            try:  # the endpoint verifies each
                key.sign_digest(digest)
            except KeyBackendError as exc:
                faults.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


@pytest.mark.server("gcc")
def test_a_token_is_asked_for_several_signatures_at_once(store, token, shim):
    key = store().get(token.uri(token.ed25519, module=shim.path))
    shim.delay("C_Sign", 0.05)
    pending = [key.start(sha256(bytes([number])).digest()) for number in range(16)]
    assert len({each.result() for each in pending}) == 16
    assert shim.most("C_Sign") == 8


@pytest.mark.server("gcc")
def test_a_deadline_holds_while_the_token_hangs(hasty_store, token, shim):
    key = hasty_store().get(token.uri(token.ed25519, module=shim.path))
    with shim.hanging("C_Sign"):
        before = time.monotonic()
        with pytest.raises(KeyUnavailable, match="no signature before the deadline"):
            key.sign_digest(DIGEST)
        assert time.monotonic() - before < 1.5
    assert len(key.sign_digest(DIGEST)) == 64


@pytest.mark.server("gcc")
@pytest.mark.parametrize("function", ["C_Initialize", "C_OpenSession", "C_Login"])
def test_a_deadline_holds_while_opening_hangs(hasty_store, token, shim, function):
    keys, uri = hasty_store(), token.uri(token.ed25519, module=shim.path)
    with shim.hanging(function):
        before = time.monotonic()
        with pytest.raises(KeyUnavailable, match="not open yet"):
            keys.get(uri)
        assert time.monotonic() - before < 1.5
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            key = keys.get(uri)
        except KeyUnavailable:
            continue
        break
    assert len(key.sign_digest(DIGEST)) == 64


@pytest.mark.server("gcc")
def test_a_store_can_be_closed_while_a_signature_hangs(token, shim, context):
    """And the module is not finalised below the call that hangs, which would crash."""
    given = context()
    sections = replace(given.sections, store=StoreSettings(deadline=0.5))
    keys = KeyStore(context=replace(given, sections=sections))
    key = keys.get(token.uri(token.ed25519, module=shim.path))
    with shim.hanging("C_Sign"):
        with pytest.raises(KeyUnavailable):
            key.sign_digest(DIGEST)
        keys.close()
        assert shim.calls("C_Finalize") == 0
    end = time.monotonic() + 20
    while not shim.calls("C_Finalize") and time.monotonic() < end:
        time.sleep(0.01)
    assert shim.calls("C_Finalize") == 1


@pytest.mark.server("gcc")
def test_a_wrong_signature_never_leaves(store, token, shim):
    key = store().get(token.uri(token.rsa, module=shim.path))
    shim.set("wrong", 1)
    with pytest.raises(KeyUnusable, match="does not verify"):
        key.sign_digest(DIGEST)


@pytest.mark.server("gcc")
def test_a_token_that_is_taken_out_and_put_in_signs_again(store, token, shim):
    key = store(attempts=1).get(token.uri(token.ed25519, module=shim.path))
    shim.take_out()
    with pytest.raises(KeyUnavailable, match="sees no token"):
        key.sign_digest(DIGEST)
    shim.put_in()
    assert len(key.sign_digest(DIGEST)) == 64


@pytest.mark.server("gcc")
@pytest.mark.parametrize("code", [0x30, 0xB3, 0x101, 0x60])
def test_one_hiccup_is_not_noticed(store, token, shim, observer, code):
    key = store().get(token.uri(token.ed25519, module=shim.path))
    shim.fail("C_SignInit", code)
    assert len(key.sign_digest(DIGEST)) == 64
    assert observer.retries == 0


@pytest.mark.server("gcc")
def test_what_may_pass_is_asked_for_again(store, token, shim, observer):
    key = store().get(token.uri(token.ed25519, module=shim.path))
    shim.fail("C_Sign", 0x05)  # CKR_GENERAL_ERROR
    assert len(key.sign_digest(DIGEST)) == 64
    assert observer.retries == 1


@pytest.mark.server("gcc")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x68, "CKR_KEY_FUNCTION_NOT_PERMITTED (0x68) of C_SignInit"),
        (0x70, "CKR_MECHANISM_INVALID (0x70) of C_SignInit"),
        (0x1B, "a policy of the token forbids it"),
    ],
)
def test_what_does_not_pass_is_told_with_uri_cause_and_code(store, token, shim, code, words):
    uri = token.uri(token.ed25519, module=shim.path)
    key = store().get(uri)
    shim.fail("C_SignInit", code, times=-1)
    with pytest.raises(KeyBackendError) as caught:
        key.sign_digest(DIGEST)
    assert not caught.value.temporary
    assert str(caught.value).startswith(f"{KeyUri.parse(uri)}: signing failed: ")
    assert words in str(caught.value)


@pytest.mark.server("gcc")
def test_a_key_that_is_deleted_is_gone(store, token, shim, softhsm):
    from cryptography.hazmat.primitives.asymmetric import ed25519

    made = softhsm.add(ed25519.Ed25519PrivateKey.generate())
    keys = store()
    key = keys.get(token.uri(made, module=shim.path))
    from dkimcore.keys.pkcs11.settings import TokenSettings
    from dkimcore.keys.pkcs11.structures import Attribute

    pool = TokenSettings.of(KeyUri.parse(token.uri(made, module=shim.path)), keys.context).pool

    def delete(session):
        for handle in session.cryptoki.find(session.handle, ((Attribute.ID, made.id),), limit=4):
            session.cryptoki.destroy_object(session.handle, handle)

    pool.run(delete, uri="pkcs11:", doing="deleting", timeout=5.0, writable=True)
    with pytest.raises(KeyNotFound, match="gone from the token"):
        key.sign_digest(DIGEST)


@pytest.mark.server("gcc")
def test_two_stores_share_the_module(store, token, shim):
    one, other = store(), store()
    for each in (one, other):
        each.get(token.uri(token.ed25519, module=shim.path)).sign_digest(DIGEST)
    assert (shim.calls("C_Initialize"), shim.calls("C_Login")) == (1, 1)
    one.close()
    assert len(other.get(token.uri(token.ed25519, module=shim.path)).sign_digest(DIGEST)) == 64
    other.close()
    assert shim.calls("C_Finalize") == 1
    assert shim.get("open") == 0


@pytest.mark.server("gcc")
def test_a_key_that_wants_its_pin_for_each_signature_gets_it(store, shim, asking_always):
    uri = asking_always()
    logins = shim.calls("C_Login")
    key = store().get(uri)
    key.sign_digest(DIGEST)
    key.sign_digest(DIGEST)
    assert shim.calls("C_Login") - logins == 3  # for the probe too


FORKING = """
    import os, sys
    from hashlib import sha256
    from dkimcore.keys import KeyContext
    from dkimcore.keys.store import KeyStore

    def digest(number):
        return sha256(b"%d" % number).digest()

    store = KeyStore(context=KeyContext())
    key = store.get(sys.argv[1])
    key.sign_digest(digest(0))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in range(20):
                key.sign_digest(digest(number))
            store.close()
            status = 0
        finally:
            os._exit(status)
    for number in range(20):
        key.sign_digest(digest(number))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    key.sign_digest(digest(1))
    store.close()
"""


@pytest.mark.server("gcc")
@each_type
def test_a_child_has_sessions_of_its_own(token, shim, name):
    uri = token.uri(getattr(token, name), module=shim.path)
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKING), uri],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert shim.calls("C_Initialize") == 2  # a module says by itself that it is initialised
    assert shim.calls("C_Finalize") == 1  # the parent's; the child's is the parent's too
    assert shim.calls("C_OpenSession") >= 2


CANARIES = """
    import logging, sys
    from dkimcore.errors import DkimError
    from dkimcore.keys import KeyContext
    from dkimcore.keys.store import KeyStore

    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    for uri in sys.argv[1:]:
        with KeyStore(context=KeyContext()) as store:
            try:
                print(store.get(uri), store, store.context)
                store.get(uri).sign_digest(bytes(32))
            except DkimError as exc:
                logging.exception("refused")
                print(repr(exc), exc)
"""


def test_no_pin_is_written_by_a_process(token, pin_file):
    wrong = "canary-3c1f-not-the-pin"
    uris = [
        token.uri(token.ed25519),
        token.uri(token.ed25519, **{"pin-source": pin_file(wrong)}),
        token.uri(f"token={token.hsm.label};object=nobody"),
        token.uri("token=none;object=nobody"),
    ]
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(CANARIES), *uris],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    written = run.stdout + run.stderr
    assert written.count("Traceback") >= 3
    assert "logged in to the token" in written
    assert wrong not in written
    assert token.hsm.pin not in written.replace(str(token.hsm.folder), "")


def test_the_log_of_everything_holds_no_pin(store, token, caplog):
    caplog.set_level(logging.DEBUG)
    store().get(token.uri(token.rsa)).sign_digest(DIGEST)
    assert token.hsm.pin not in caplog.text
