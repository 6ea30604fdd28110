"""Logins: once, and never twice with a PIN that was refused."""

from __future__ import annotations

import logging
import secrets
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnavailable, KeyUnusable
from tests.forked import child_doing, succeeded

pytestmark = [pytest.mark.server("softhsm"), pytest.mark.server("gcc")]

PIN_REFUSED = {0xA0: "PIN_INCORRECT", 0xA1: "PIN_INVALID", 0xA2: "PIN_LEN_RANGE"} | {
    0xA3: "PIN_EXPIRED",
    0xA4: "PIN_LOCKED",
}


@pytest.fixture
def wrong_pin():
    """One that was never tried in this process."""
    return secrets.token_hex(8)


def test_a_token_is_logged_in_to_once_for_all_keys_and_sessions(store, token, shim):
    keys = store()
    for each in (token.rsa, token.ed25519):
        key = keys.get(token.uri(each, module=shim.path))
        for number in range(3):
            key.sign_digest(bytes([number]) * 32)
    assert shim.calls("C_Login") == 1


def test_a_login_is_told_without_the_pin(store, token, shim, observer):
    store().get(token.uri(token.rsa, module=shim.path))
    (event,) = observer.named("login")
    assert event.level == logging.INFO
    assert "logged in to the token 'dkim'" in event.text
    assert event.endpoint == "pkcs11:hsm"
    assert token.hsm.pin not in repr(observer.events)


@pytest.mark.parametrize("place", ["pin-source", "pin_file", "pin_env", "secret"])
def test_a_pin_comes_from_any_of_its_places(store, token, pin_file, monkeypatch, place):
    pin, uri = token.hsm.pin, token.uri(token.rsa, pin=False)
    if place == "pin-source":
        keys, uri = store(), token.uri(token.rsa, **{"pin-source": pin_file(pin)})
    elif place == "pin_file":
        keys = store(pin_file=pin_file(pin))
    elif place == "pin_env":
        monkeypatch.setenv("HSM_PIN", pin)
        keys = store(pin_env="HSM_PIN")
    else:
        keys = store(lambda name: pin if name == "pin" else None)
    assert keys.get(uri).public_key.bits == 2048


def test_without_a_pin_none_is_tried(store, token, shim):
    with pytest.raises(KeyDenied, match="the token wants a PIN, and none was given"):
        store().get(token.uri(token.rsa, module=shim.path, pin=False))
    assert shim.calls("C_Login") == 0


def test_a_wrong_pin_is_tried_once_in_a_process(store, token, shim, wrong_pin):
    uri = token.uri(token.rsa, module=shim.path, pin=False)
    for keys in (store(lambda _: wrong_pin), store(lambda _: wrong_pin)):
        for _ in range(3):
            with pytest.raises(KeyDenied, match=r"was refused") as caught:
                keys.get(uri)
            keys.forget(uri)
    assert shim.calls("C_Login") == 1
    assert "not tried again until it changes" in str(caught.value)
    assert "was refused by the token before" in str(caught.value)


def test_a_wrong_pin_is_known_again_by_the_child_of_a_process(context, token, shim, wrong_pin):
    """A crew of workers must not use a token's tries up, one each."""
    from dkimcore.keys.pkcs11.key import open_key
    from dkimcore.keys.uri import KeyUri

    uri = KeyUri.parse(token.uri(token.rsa, module=shim.path, pin=False))
    given = context(lambda _: wrong_pin)

    def work():
        with pytest.raises(KeyDenied):
            open_key(uri, given)

    work()
    assert succeeded(child_doing(work))
    assert shim.calls("C_Login") == 1


def test_processes_log_in_one_after_another(hold, store, token, shim, pin_file):
    """Each then sees, by the token's flags, what became of the one before."""
    path = pin_file(token.hsm.pin)
    uri = token.uri(token.rsa, module=shim.path, **{"pin-source": path})
    keys = store(attempts=1, connect_timeout=0.1, read_timeout=0.1)
    with hold(path):
        with pytest.raises(KeyUnavailable, match="another process that logs in with the PIN in"):
            keys.get(uri)
        assert shim.calls("C_Login") == 0
    keys.forget(uri)
    assert keys.get(uri).public_key.bits == 2048
    with hold(path):  # it is held for the login only
        assert len(keys.get(uri).sign_digest(bytes(32))) == 256


@pytest.fixture
def hold():
    """Holds a file's lock, as another process does while it logs in."""
    import contextlib
    import fcntl

    @contextlib.contextmanager
    def holding(path):
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    return holding


def test_four_workers_with_a_wrong_pin_leave_the_token_a_try(token, shim, wrong_pin, pin_file):
    """The token's flag is raised as a real one does: after all tries but one."""
    script = (
        "import sys\n"
        "from dkimcore.errors import KeyDenied\n"
        "from dkimcore.keys import KeyContext\n"
        "from dkimcore.keys.pkcs11.key import open_key\n"
        "from dkimcore.keys.uri import KeyUri\n"
        "try:\n"
        "    open_key(KeyUri.parse(sys.argv[1]), KeyContext())\n"
        "except KeyDenied:\n"
        "    sys.exit(77)\n"
    )
    uri = token.uri(token.rsa, module=shim.path, **{"pin-source": pin_file(wrong_pin)})
    shim.set("tries", 3)
    shim.delay("C_Login", 0.2)  # all would be in there at once
    workers = [subprocess.Popen([sys.executable, "-c", script, uri]) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [77] * 4
    assert shim.calls("C_Login") == 2


@pytest.mark.parametrize("place", ["pin_env", "secret"])
def test_so_do_four_children_wherever_the_pin_is(
    context, token, shim, wrong_pin, monkeypatch, place
):
    """The workers of a milter, which has the PIN in its environment, or in DKIMCORE_PIN_FILE."""
    from dkimcore.keys.pkcs11.key import open_key
    from dkimcore.keys.turns import TURNS
    from dkimcore.keys.uri import KeyUri

    monkeypatch.setenv("HSM_PIN", wrong_pin)
    given = context(pin_env="HSM_PIN") if place == "pin_env" else context(lambda _: wrong_pin)
    uri = KeyUri.parse(token.uri(token.rsa, module=shim.path, pin=False))
    shim.set("tries", 3)
    shim.delay("C_Login", 0.2)
    TURNS.share()

    def work():
        with pytest.raises(KeyDenied):
            open_key(uri, given)

    children = [child_doing(work) for _ in range(4)]
    assert list(map(succeeded, children)) == [True] * 4
    assert shim.calls("C_Login") == 2


def test_threads_that_sign_leave_the_token_a_try(store, token, shim, pin_file, asking_always):
    """A key that wants the PIN for each signature, after the PIN was changed."""
    path = pin_file(token.hsm.pin)
    key = store().get(asking_always(**{"pin-source": path}))
    logins = shim.calls("C_Login")
    pin_file("9" * 8)
    shim.set("tries", 3)
    shim.delay("C_Login", 0.1)
    with ThreadPoolExecutor(8) as threads:
        errors = list(threads.map(lambda n: error_of(key, bytes([n]) * 32), range(16)))
    assert all(isinstance(error, KeyDenied) for error in errors)
    assert shim.calls("C_Login") - logins == 1


def error_of(key, digest):
    try:
        key.sign_digest(digest)
    except KeyBackendError as exc:
        return exc
    return None


@pytest.mark.parametrize("code", [0x05, 0x06, 0x200, 0x80000123])
def test_a_failure_that_may_be_the_pins_is_not_repeated_at_once(
    store, token, shim, wrong_pin, code
):
    keys, uri = store(lambda _: wrong_pin), token.uri(token.rsa, module=shim.path, pin=False)
    shim.fail("C_Login", code, times=-1)
    for _ in range(3):
        with pytest.raises(KeyBackendError) as caught:
            keys.get(uri)
        keys.forget(uri)
    assert shim.calls("C_Login") == 1
    assert "it is tried again in 5 s" in str(caught.value)


def test_a_pin_that_was_mended_is_tried(store, token, shim, wrong_pin, pin_file):
    uri = token.uri(token.rsa, module=shim.path, **{"pin-source": pin_file(wrong_pin)})
    keys = store()
    with pytest.raises(KeyDenied):
        keys.get(uri)
    pin_file(token.hsm.pin)
    keys.forget(uri)
    assert keys.get(uri).public_key.bits == 2048
    assert shim.calls("C_Login") == 2


@pytest.mark.parametrize("code", PIN_REFUSED)
def test_each_refusal_of_a_pin_is_remembered(store, token, shim, wrong_pin, code):
    keys, uri = store(lambda _: wrong_pin), token.uri(token.rsa, module=shim.path, pin=False)
    shim.fail("C_Login", code, times=-1)
    for _ in range(2):
        with pytest.raises(KeyDenied) as caught:
            keys.get(uri)
        keys.forget(uri)
        assert wrong_pin not in str(caught.value)
    assert shim.calls("C_Login") == 1


def test_a_refusal_names_the_code(context, token, shim, wrong_pin):
    from dkimcore.keys.pkcs11.key import open_key
    from dkimcore.keys.uri import KeyUri

    uri = KeyUri.parse(token.uri(token.rsa, module=shim.path, pin=False))
    with pytest.raises(KeyDenied, match=r"CKR_PIN_INCORRECT \(0xa0\) of C_Login"):
        open_key(uri, context(lambda _: wrong_pin))


@pytest.mark.parametrize(
    ("flag", "kind", "words"),
    [
        (0x20000, KeyDenied, "one more try may lock it; log in once by hand"),
        (0x40000, KeyDenied, "the security officer unlocks it"),
        (0x100, KeyUnusable, "at a keypad"),
    ],
)
def test_a_pin_is_not_tried_where_that_might_lock_the_token(store, token, shim, flag, kind, words):
    shim.set("flags", flag)
    with pytest.raises(kind, match=words):
        store().get(token.uri(token.rsa, module=shim.path))
    assert shim.calls("C_Login") == 0


def test_somebody_else_in_the_process_may_be_logged_in_already(store, token, shim):
    shim.fail("C_Login", 0x100)
    keys = store()
    # Nobody is, and so the key is not seen; but that is all that is wrong.
    with pytest.raises(Exception, match="has no private key"):
        keys.get(token.uri(token.rsa, module=shim.path))


def test_a_login_that_fails_for_another_reason_may_succeed_later(store, token, shim):
    shim.fail("C_Login", 0x30)
    assert store().get(token.uri(token.rsa, module=shim.path)).public_key.bits == 2048
    assert shim.calls("C_Login") == 2


def test_no_pin_shows_in_errors_logs_and_frames(context, token, shim, caplog):
    """With whatever a person might do to see what went wrong."""
    from dkimcore.keys.pkcs11.key import open_key
    from dkimcore.keys.uri import KeyUri

    caplog.set_level(logging.DEBUG)
    canaries = [f"canary-{secrets.token_hex(8)}"]
    uri = KeyUri.parse(token.uri(token.rsa, module=shim.path, pin=False))
    given = context(lambda _: canaries[-1])
    for code in (0xA0, 0xA4, 0x30, 0x05, 0x101, 0x80000001):
        canaries.append(canary := f"canary-{secrets.token_hex(8)}")  # one that is tried
        shim.fail("C_Login", code, times=-1)
        with pytest.raises((KeyDenied, KeyUnavailable)) as caught:
            open_key(uri, given)
        below = caught.tb.tb_next  # our own frame knows it
        shown = traceback.TracebackException(caught.type, caught.value, below, capture_locals=True)
        assert canary not in "".join(shown.format())
        assert canary not in repr(caught.value.__context__)
    assert not [canary for canary in canaries if canary in caplog.text + repr(given)]
