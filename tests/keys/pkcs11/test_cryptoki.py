"""The functions of a module, against SoftHSM."""

from __future__ import annotations

import sys

import pytest

from dkimcore.keys.pkcs11.cryptoki import Cryptoki, CryptokiError, ModuleError
from dkimcore.keys.pkcs11.structures import (
    Attribute,
    Mechanism,
    MechanismFlag,
    ObjectClass,
    TokenFlag,
    User,
)

pytestmark = pytest.mark.server("softhsm")


@pytest.fixture
def module(token):
    """The module, initialised, and a session that is logged in."""
    cryptoki = Cryptoki(token.module)
    assert cryptoki.initialize()
    yield cryptoki
    cryptoki.finalize()


@pytest.fixture
def slot(module, token):
    (found,) = [slot for slot in module.slots() if module.token_info(slot).label == token.hsm.label]
    return found


@pytest.fixture
def session(module, slot, token):
    handle = module.open_session(slot)
    module.login(handle, User.USER, pin=bytearray(token.hsm.pin.encode()))
    return handle


def test_it_says_who_it_is(module, slot):
    assert module.library_info().manufacturer == "SoftHSM"
    assert module.slot_info(slot).manufacturer == "SoftHSM project"
    info = module.token_info(slot)
    assert info.model == "SoftHSM v2"
    assert info.flags & TokenFlag.TOKEN_INITIALIZED


def test_initialising_again_is_no_error(module):
    assert not module.initialize()


def test_mechanisms_are_told_apart(module, slot):
    info = module.mechanism_info(slot, Mechanism.RSA_PKCS)
    assert info.flags & MechanismFlag.SIGN
    assert info.min_size <= 1024 < info.max_size
    assert module.mechanism_info(slot, 0x7FFFFFFF) is None


def test_a_failure_names_the_function_and_the_code(module):
    with pytest.raises(CryptokiError, match=r"C_GetSessionInfo returned 0xb3"):
        module.is_user(987654321)
    with pytest.raises(CryptokiError):
        module.mechanism_info(987654321, Mechanism.RSA_PKCS)
    with pytest.raises(CryptokiError):
        module.attribute(987654321, 1, kind=Attribute.LABEL)


def test_a_login_is_for_all_sessions(module, slot, session):
    other = module.open_session(slot)
    assert module.is_user(session)
    assert module.is_user(other)
    module.close_session(other)


def test_objects_are_found_and_read(module, session, token):
    template = ((Attribute.CLASS, int(ObjectClass.PRIVATE_KEY)), (Attribute.ID, token.rsa.id))
    (handle,) = module.find(session, template, limit=5)
    assert module.attribute(session, handle, kind=Attribute.LABEL) == token.rsa.label.encode()
    assert len(module.attribute(session, handle, kind=Attribute.MODULUS)) == 256
    assert module.attribute(session, handle, kind=Attribute.PRIVATE_EXPONENT) is None
    assert module.attribute(session, handle, kind=Attribute.EC_POINT) is None
    assert module.find(session, ((Attribute.LABEL, b""), (Attribute.ID, b"no")), limit=5) == []


def test_no_more_is_found_than_is_asked_for(module, session):
    template = ((Attribute.CLASS, int(ObjectClass.PRIVATE_KEY)),)
    assert len(module.find(session, template, limit=1)) == 1
    assert len(module.find(session, template, limit=2)) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be loaded"), ("no library", "cannot be loaded")],
)
def test_what_is_no_library_is_refused(tmp_path, text, words):
    path = tmp_path / "module.so"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ModuleError, match=words):
        Cryptoki(str(path))


def test_a_library_that_is_no_module_is_refused():
    import _ctypes

    with pytest.raises(ModuleError, match=r"no PKCS #11 module"):
        Cryptoki(_ctypes.__file__)


def test_windows_is_refused(monkeypatch, token):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ModuleError, match="Windows"):
        Cryptoki(token.module)


def test_a_function_that_the_module_lacks_is_a_failure(module, monkeypatch):
    monkeypatch.delitem(module._functions, "C_Sign")
    with pytest.raises(CryptokiError) as caught:
        module.sign(1, b"")
    assert caught.value.code == 0x54


@pytest.mark.server("gcc")
def test_a_module_that_gives_no_functions_is_refused(tmp_path):
    import subprocess

    source = tmp_path / "empty.c"
    source.write_text("unsigned long C_GetFunctionList(void **list) { *list = 0; return CODE; }\n")
    for code in (0, 5):
        library = tmp_path / f"empty{code}.so"
        command = ["gcc", "-shared", "-fPIC", f"-DCODE={code}", "-o", str(library), str(source)]
        subprocess.run(command, check=True, timeout=60)
        with pytest.raises(ModuleError, match="no functions"):
            Cryptoki(str(library))


@pytest.mark.server("gcc")
def test_locks_are_the_systems(shim):
    cryptoki = Cryptoki(str(shim.path))
    cryptoki.initialize()
    cryptoki.finalize()
    assert shim.get("init_flags") == 2  # CKF_OS_LOCKING_OK
