"""The pool of sessions: as many threads as sessions, and a token that comes and goes."""

from __future__ import annotations

import threading
import time
from hashlib import sha256

import pytest

from dkimcore.errors import KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.pkcs11.cryptoki import Cryptoki, CryptokiError
from dkimcore.keys.pkcs11.login import Login
from dkimcore.keys.pkcs11.pin import PinSource
from dkimcore.keys.pkcs11.sessions import SessionPool
from dkimcore.keys.pkcs11.tokenuri import TokenUri

pytestmark = [pytest.mark.server("softhsm"), pytest.mark.server("gcc")]

URI = "pkcs11:object=s1"
DIGEST = sha256(b"a message").digest()


@pytest.fixture
def pool(token, shim, observer):
    made = []

    def make(size=2, module=None):
        pin = PinSource(file=str(token.hsm.pin_file), secret=lambda _: None)
        pool = SessionPool(
            str(module or shim.path),
            TokenUri(token=token.hsm.label),
            login=Login(pin, observer=observer, endpoint="pkcs11:hsm"),
            size=size,
            observer=observer,
            endpoint="pkcs11:hsm",
            check_permissions=True,
        )
        made.append(pool)
        return pool

    yield make
    for each in made:
        each.close()


def run(pool, work=lambda session: session.handle, *, timeout=5.0, writable=False):
    return pool.run(work, uri=URI, doing="testing", timeout=timeout, writable=writable)


def failing(*codes):
    """Work that fails with these codes, one after another, and then tells its session."""
    left = list(codes)

    def work(session):
        if left:
            raise CryptokiError(left.pop(0), "C_Sign")
        return session.handle

    return work


def test_a_session_is_used_again(pool, shim):
    sessions = pool()
    assert run(sessions) == run(sessions)
    assert shim.calls("C_OpenSession") == 1
    assert shim.calls("C_Initialize") == 1


def test_no_more_sessions_are_opened_than_work_at_once(pool, shim):
    sessions, seen = pool(size=3), set()
    barrier = threading.Barrier(3, timeout=20)

    def work(session):
        barrier.wait()
        seen.add(session.handle)

    threads = [threading.Thread(target=run, args=(sessions, work)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 3
    run(sessions)
    assert shim.calls("C_OpenSession") == 3
    assert shim.calls("C_Login") == 1


def test_who_finds_all_in_use_waits_for_one_and_then_gives_up(pool):
    sessions = pool(size=1)

    def work(session):
        with pytest.raises(KeyUnavailable, match="all 1 sessions with the token are in use"):
            run(sessions, timeout=0.05)
        waiting.start()
        return session.handle

    got = []
    waiting = threading.Thread(target=lambda: got.append(run(sessions)))
    handle = run(sessions, work)
    waiting.join()
    assert got == [handle]


@pytest.mark.parametrize("code", [0x30, 0x32, 0xB3, 0xB0, 0xE0, 0xE1, 0x101, 0x60, 0x82, 0x90])
def test_a_session_that_was_ended_is_opened_anew_once(pool, shim, code):
    sessions = pool()
    before = run(sessions)
    assert run(sessions, failing(code)) != before
    assert shim.calls("C_OpenSession") == 2


def test_it_is_opened_anew_once_and_not_for_ever(pool, shim):
    with pytest.raises(KeyUnavailable, match=r"testing failed: the token failed.*DEVICE_ERROR"):
        run(pool(), failing(0x30, 0x30))
    assert shim.calls("C_OpenSession") == 2


def test_other_failures_are_told_at_once(pool, shim):
    sessions = pool()
    with pytest.raises(KeyUnusable, match="MECHANISM_INVALID"):
        run(sessions, failing(0x70))
    assert shim.calls("C_OpenSession") == 1
    run(sessions)
    assert shim.calls("C_OpenSession") == 2  # what failed is not used again


def test_when_a_session_was_ended_the_others_are_opened_anew_too(pool, shim):
    sessions = pool(size=2)
    both = threading.Barrier(2, timeout=20)
    threads = [
        threading.Thread(target=run, args=(sessions, lambda _: both.wait())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run(sessions, failing(0x30))
    assert shim.get("open") == 1
    assert shim.calls("C_CloseSession") == 2


def test_eight_threads_whose_sessions_were_ended_look_for_the_token_once(pool, shim):
    sessions = pool(size=8)
    both = threading.Barrier(8, timeout=20)
    outcomes = []

    def work():
        failed = failing(0xB3)

        def both_fail(session):
            if not outcomes:
                both.wait()
            return failed(session)

        outcomes.append(run(sessions, both_fail))

    shim.set("removed", 0)
    threads = [threading.Thread(target=work) for _ in range(8)]
    lookups = shim.calls("C_GetSlotList")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    # Two calls for each time that the token was looked for: at first, and once anew.
    assert shim.calls("C_GetSlotList") - lookups == 4


def test_a_token_that_grants_fewer_sessions_is_made_do_with(pool, shim, observer):
    shim.set("sessions", 2)
    sessions = pool(size=8)
    outcomes = []

    def work(session):
        time.sleep(0.02)  # so that all want one at once
        return session.handle

    threads = [
        threading.Thread(target=lambda: outcomes.append(run(sessions, work))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert shim.get("open") <= 2
    assert "of 8 asked for" in observer.named("sessions-limited")[0].text


def test_a_token_that_grants_none_is_unavailable(pool, shim):
    shim.fail("C_OpenSession", 0xB1, times=-1)
    with pytest.raises(KeyUnavailable, match="set threads of its section lower"):
        run(pool())


def test_a_token_that_was_taken_out_is_found_again(pool, shim):
    sessions = pool()
    before = run(sessions)
    shim.take_out()
    with pytest.raises(KeyUnavailable, match="sees no token"):
        run(sessions, lambda session: session.cryptoki.find(session.handle, (), limit=1))
    with pytest.raises(KeyUnavailable):
        run(sessions)
    shim.put_in()
    assert run(sessions) != before
    assert shim.calls("C_Login") == 2


def test_a_token_that_was_there_and_is_not_is_unavailable_not_unknown(pool, shim, softhsm):
    sessions = pool()
    run(sessions)
    sessions._wanted = TokenUri(token="another")
    with pytest.raises(KeyUnavailable, match="the token has gone: no token fits"):
        run(sessions, failing(0x30))


def test_a_module_that_the_application_finalised_is_initialised_again(pool, shim):
    sessions = pool()
    run(sessions)
    sessions._module.cryptoki.finalize()

    def work(session):
        return session.cryptoki.is_user(session.handle)

    assert run(sessions, work) is True
    assert shim.calls("C_Initialize") == 2
    sessions._module.cryptoki.finalize()
    shim.fail("C_Initialize", 0x30, times=-1)
    with pytest.raises(KeyUnavailable, match="initialising the module again failed"):
        run(sessions, work)


def test_a_session_that_may_change_the_token_is_opened_for_that_and_closed(pool, shim):
    sessions = pool(size=1)
    handle = run(sessions)
    assert run(sessions, writable=True) != handle
    assert shim.get("open") == 1
    assert run(sessions) == handle


def test_what_a_session_finds_it_remembers(pool, token, shim):
    sessions = pool(size=1)
    from dkimcore.keys.pkcs11.structures import Attribute

    template = ((Attribute.ID, token.rsa.id), (Attribute.CLASS, 3))
    first = run(sessions, lambda session: session.key(template, uri=URI))
    searches = shim.calls("C_FindObjectsInit")
    assert run(sessions, lambda session: session.key(template, uri=URI)) == first
    assert shim.calls("C_FindObjectsInit") == searches
    with pytest.raises(KeyNotFound, match="gone from the token"):
        run(sessions, lambda session: session.key(((Attribute.ID, b"none"),), uri=URI))
    with pytest.raises(KeyUnusable, match="another key of this label"):
        run(sessions, lambda session: session.key(((Attribute.TOKEN, True),), uri=URI))


def test_a_closed_pool_refuses_and_leaves_nothing_open(pool, shim):
    sessions = pool()
    run(sessions)
    sessions.close()
    sessions.close()
    assert shim.get("open") == 0
    assert shim.calls("C_Finalize") == 1
    with pytest.raises(KeyUnusable, match="its KeyStore is closed"):
        run(sessions)


def test_a_session_in_use_when_the_pool_is_closed_is_closed_by_its_user(pool, shim):
    sessions = pool()

    def work(session):
        sessions.close()
        assert shim.calls("C_Finalize") == 0
        return session.handle

    run(sessions, work)
    assert shim.get("open") == 0
    assert shim.calls("C_Finalize") == 1


def test_a_pool_that_was_never_used_loads_nothing(pool, tmp_path):
    pool(module=tmp_path / "absent.so").close()


def test_two_pools_share_the_module_and_the_login(pool, shim):
    one, other = pool(), pool()
    run(one)
    run(other)
    assert (shim.calls("C_Initialize"), shim.calls("C_Login")) == (1, 1)
    one.close()
    assert shim.calls("C_Finalize") == 0
    assert run(other, lambda session: session.cryptoki.is_user(session.handle)) is True
    other.close()
    assert shim.calls("C_Finalize") == 1


def test_the_other_pool_logs_in_again_when_the_one_that_did_is_closed(pool, shim):
    one, other = pool(), pool()
    run(one)
    one.close()
    assert run(other, lambda session: session.cryptoki.is_user(session.handle)) is True
    assert shim.calls("C_Login") == 2


def test_a_token_that_wants_no_login_gets_none(pool, shim, monkeypatch):
    from dataclasses import replace

    from dkimcore.keys.pkcs11.structures import TokenFlag

    tells = Cryptoki.token_info

    def without_login(self, slot):
        info = tells(self, slot)
        return replace(info, flags=info.flags & ~TokenFlag.LOGIN_REQUIRED)

    monkeypatch.setattr(Cryptoki, "token_info", without_login)
    run(pool())
    assert shim.calls("C_Login") == 0
