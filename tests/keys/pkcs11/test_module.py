"""Modules of a process: counted, finalised by the last, refused when others can replace them."""

from __future__ import annotations

import threading
import time

import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys.pkcs11.cryptoki import Cryptoki
from dkimcore.keys.pkcs11.module import module_at

pytestmark = [pytest.mark.server("softhsm"), pytest.mark.server("gcc")]

URI = "pkcs11:object=s1"


def enter(module, *, check_permissions=True, patience=5.0):
    with module.held(time.monotonic() + patience, uri=URI):
        module.enter(uri=URI, check_permissions=check_permissions)


def test_the_first_user_initialises_it_and_the_last_finalises_it(shim):
    module = module_at(str(shim.path))
    enter(module)
    enter(module)
    assert shim.calls("C_Initialize") == 1
    module.leave()
    assert shim.calls("C_Finalize") == 0
    module.leave()
    assert shim.calls("C_Finalize") == 1
    enter(module)
    assert shim.calls("C_Initialize") == 2
    module.leave()


def test_one_library_is_one_module_whatever_it_is_called(shim, tmp_path):
    link = tmp_path / "link.so"
    link.symlink_to(shim.path)
    assert module_at(str(link)) is module_at(str(shim.path))


def test_what_the_application_initialised_is_not_finalised(shim):
    application = Cryptoki(str(shim.path))
    application.initialize()
    module = module_at(str(shim.path))
    enter(module)
    module.leave()
    assert shim.calls("C_Finalize") == 0
    assert application.slots()
    application.finalize()


def test_a_module_that_fails_to_start_is_tried_again(shim):
    module = module_at(str(shim.path))
    shim.fail("C_Initialize", 0x30)
    with pytest.raises(KeyUnavailable, match=r"initialising .* failed: the token failed"):
        enter(module)
    enter(module)
    module.leave()


@pytest.mark.parametrize("text", [None, "no library"])
def test_a_module_that_cannot_be_loaded_names_cause_and_cure(tmp_path, text):
    path = tmp_path / "absent.so"
    if text is not None:
        path.write_text(text)
    words = r"absent.so cannot be used: it cannot be loaded: .*; install what brings it: softhsm2"
    with pytest.raises(KeyUnusable, match=words):
        enter(module_at(str(path)))


def test_a_module_is_entered_before_it_is_used(tmp_path):
    with pytest.raises(RuntimeError, match="before it is entered"):
        module_at(str(tmp_path / "absent.so")).cryptoki  # noqa: B018


def test_a_module_in_which_a_call_hangs_is_left_as_it_is(shim, monkeypatch):
    monkeypatch.setattr("dkimcore.keys.pkcs11.module._PATIENCE", 0.05)
    module = module_at(str(shim.path))
    enter(module)
    with module.held(time.monotonic() + 5, uri=URI):
        module.leave()
    assert shim.calls("C_Finalize") == 0
    module.leave()
    assert shim.calls("C_Finalize") == 1


def test_a_module_that_cannot_lock_is_refused(shim):
    shim.fail("C_Initialize", 0x0A)
    with pytest.raises(KeyUnusable, match="threads would break it"):
        enter(module_at(str(shim.path)))


def test_one_that_somebody_else_finalised_can_be_left(shim):
    module = module_at(str(shim.path))
    enter(module)
    module.cryptoki.finalize()
    module.leave()
    enter(module)
    module.leave()


def test_who_waits_for_a_call_that_hangs_waits_until_his_deadline(shim):
    module = module_at(str(shim.path))
    enter(module)
    with module.held(time.monotonic() + 5, uri=URI):
        caught = []

        def another():
            try:
                enter(module, patience=0.05)
            except KeyUnavailable as exc:
                caught.append(exc)

        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
    assert "does not return from a call" in str(caught[0])
    module.leave()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_module_that_others_can_change_is_refused(shim, mode):
    shim.path.chmod(mode)
    module = module_at(str(shim.path))
    with pytest.raises(KeyDenied, match=r"shim.so \(mode .*can be changed by other users; run: "):
        enter(module)
    enter(module, check_permissions=False)
    module.leave()


def test_a_module_in_a_folder_that_others_can_change_is_refused(shim, tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(KeyDenied, match=r"\(mode 0777, .*chmod go-w"):
        enter(module_at(str(shim.path)))
    tmp_path.chmod(0o1777)  # as /tmp is
    module = module_at(str(shim.path))
    enter(module)
    module.leave()


def test_a_module_of_another_user_is_refused(shim, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    if shim.path.stat().st_uid == 0:
        import os

        os.chown(shim.path, 12345, -1)
    with pytest.raises(KeyDenied, match="belongs to another user"):
        enter(module_at(str(shim.path)))
