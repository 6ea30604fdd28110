"""The SoftHSM harness: a token with keys of both kinds, in a folder that is removed again."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from tests.servers.softhsm import SoftHsm

pytestmark = pytest.mark.server("softhsm")

# The module's own count of objects, through so much of PKCS#11 as that takes.
COUNT = """
import ctypes, sys
module = ctypes.CDLL(sys.argv[1])
def call(name, *arguments):
    status = getattr(module, name)(*arguments)
    assert status == 0, (name, hex(status))
call("C_Initialize", None)
slots, count = (ctypes.c_ulong * 8)(), ctypes.c_ulong(8)
call("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
session = ctypes.c_ulong()
call("C_OpenSession", slots[0], ctypes.c_ulong(6), None, None, ctypes.byref(session))
pin = sys.argv[2].encode()
call("C_Login", session, ctypes.c_ulong(1), pin, ctypes.c_ulong(len(pin)))
call("C_FindObjectsInit", session, None, ctypes.c_ulong(0))
objects, found = (ctypes.c_ulong * 64)(), ctypes.c_ulong()
call("C_FindObjects", session, objects, ctypes.c_ulong(64), ctypes.byref(found))
print(found.value)
"""


def count_objects(hsm):
    ran = subprocess.run(
        [sys.executable, "-c", COUNT, hsm.module, hsm.pin],
        env={**os.environ, **hsm.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


def test_a_child_process_finds_the_keys_and_nothing_is_left():
    with SoftHsm("a token") as hsm:
        assert "a token" in hsm.run("--show-slots")
        assert count_objects(hsm) == 0
        keys = hsm.add_rsa(), hsm.add_ed25519("of Ed25519")
        assert count_objects(hsm) == 4
        assert len({key.id for key in keys}) == 2
        assert keys[1].uri.startswith("pkcs11:token=a%20token;object=of%20Ed25519?module-path=/")
        assert not list(hsm.folder.glob("*.pem"))
        assert stat.S_IMODE(hsm.pin_file.stat().st_mode) == 0o600
    assert not hsm.folder.exists()


def test_several_tokens_in_one_folder():
    with SoftHsm() as hsm:
        hsm.add_token("other")
        key = hsm.add(hsm.add_ed25519().private_key, "moved", token="other")
        assert key.uri.startswith("pkcs11:token=other;object=moved?")


def test_what_fails_is_said(softhsm):
    with pytest.raises(RuntimeError, match="softhsm2-util"):
        softhsm.run("--import", "/nonexistent", "--token", "absent", "--label", "x", "--id", "01")


def test_this_process_and_its_children_find_the_shared_one(softhsm):
    assert os.environ["SOFTHSM2_CONF"] == softhsm.environment["SOFTHSM2_CONF"]
    assert count_objects(softhsm) >= 0
