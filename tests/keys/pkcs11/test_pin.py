"""Where PINs come from, and that refused ones are known again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dkimcore.errors import KeyDenied, KeyNotFound
from dkimcore.keys.pkcs11 import pin
from dkimcore.keys.pkcs11.pin import PinSource, is_refused, refuse, wiped
from dkimcore.keys.secrets import secret_from

URI = "pkcs11:object=s1"


def source(secret=lambda _: None, **values):
    return PinSource(secret=secret, **values)


def test_a_files_first_line_is_the_pin(pin_file):
    for text in ("1234", "1234\n", "1234\r\n", "1234\nmore\n"):
        assert source(file=pin_file(text)).read(uri=URI) == b"1234"
    assert source(file=pin_file(" 12 34 \n")).read(uri=URI) == b" 12 34 "


def test_a_pin_is_any_text(pin_file):
    assert source(file=pin_file("user:Schlüssel\n")).read(uri=URI) == "user:Schlüssel".encode()


def test_a_file_that_others_can_read_is_refused(open_folder):
    path = open_folder / "pin"
    path.write_text("1234")
    path.chmod(0o644)
    assert source(file=str(path), check_permissions=False).read(uri=URI) == b"1234"
    with pytest.raises(KeyDenied, match=r"run: chmod o-rw") as caught:
        source(file=str(path)).read(uri=URI)
    assert caught.value.uri == URI


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(KeyNotFound, match="no-such-pin"):
        source(file=str(tmp_path / "no-such-pin")).read(uri=URI)


def test_the_environment_has_it(monkeypatch):
    monkeypatch.setenv("HSM_PIN", "1234")
    assert source(variable="HSM_PIN").read(uri=URI) == b"1234"
    monkeypatch.delenv("HSM_PIN")
    with pytest.raises(KeyDenied, match="environment variable HSM_PIN is empty or not there"):
        source(variable="HSM_PIN").read(uri=URI)


def test_the_stores_caller_has_it():
    asked = []

    def secret(name):
        asked.append(name)
        return "1234"

    assert source(secret).read(uri=URI) == b"1234"
    assert asked == ["pin"]


def test_a_file_goes_before_the_stores_caller(pin_file):
    assert source(lambda _: "other", file=pin_file("1234")).read(uri=URI) == b"1234"


def test_without_any_the_cure_is_told():
    with pytest.raises(KeyDenied, match=r"pin_file = .*DKIMCORE_PIN_FILE"):
        source().read(uri=URI)


@pytest.mark.parametrize("text", ["", "\n", "\r\n1234"])
def test_an_empty_one_is_refused(pin_file, text):
    with pytest.raises(KeyDenied, match="is empty"):
        source(file=pin_file(text)).read(uri=URI)


def test_one_too_long_is_refused_and_not_shown(pin_file):
    with pytest.raises(KeyDenied, match="longer than 1024") as caught:
        source(file=pin_file("7" * 1025)).read(uri=URI)
    assert "777" not in str(caught.value)


def test_half_a_character_is_no_error_that_shows_it():
    with pytest.raises(KeyDenied, match="half a character") as caught:
        source(lambda _: "12\ud83434").read(uri=URI)
    assert "34" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_octets_that_are_no_utf_8_are_the_same_wherever_they_come_from(pin_file, monkeypatch):
    octets = b"gr\xfc\xdf1"
    monkeypatch.setenv("HSM_PIN", os.fsdecode(octets))
    path = pin_file("")
    monkeypatch.setenv("DKIMCORE_PIN_FILE", path)
    Path(path).write_bytes(octets)
    for each in (
        source(file=path),
        source(variable="HSM_PIN"),
        source(secret_from()),
    ):
        assert each.read(uri=URI) == octets


def test_a_pin_whose_login_failed_rests_longer_each_time(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(pin.time, "monotonic", lambda: now[0])
    rests = []
    for _ in range(6):
        pin.fail("token 1", bytearray(b"1234"))
        rests.append(pin.rest("token 1", bytearray(b"1234")))
    assert rests == [5, 10, 20, 40, 60, 60]
    assert pin.rest("token 2", bytearray(b"1234")) == 0
    assert pin.rest("token 1", bytearray(b"4321")) == 0
    now[0] += 60
    assert pin.rest("token 1", bytearray(b"1234")) == 0
    pin.succeed("token 1", bytearray(b"1234"))
    pin.fail("token 1", bytearray(b"1234"))
    assert pin.rest("token 1", bytearray(b"1234")) == 5


def test_it_prints_where_the_pin_is_and_not_the_pin(pin_file):
    secret = source(lambda _: "8675309")
    assert "8675309" not in repr(secret)
    assert secret.where == "the PIN that was given as the secret pin"
    assert source(file="/run/pin").where == "the PIN in /run/pin"


def test_wiping_leaves_zeros():
    pin = bytearray(b"1234")
    wiped(pin)
    wiped(None)
    assert pin == bytes(4)


def test_a_refused_pin_is_known_for_its_token_only():
    pin = bytearray(b"refused by test_pin")
    assert not is_refused("a", pin)
    refuse("a", pin)
    assert is_refused("a", pin)
    assert not is_refused("b", pin)
    assert not is_refused("a", bytearray(b"another"))


def test_what_is_remembered_is_no_pin():
    from dkimcore.keys.pkcs11 import pin as module

    refuse("a", bytearray(b"31415926"))
    assert all(b"31415926" not in mark and len(mark) == 64 for mark in module._REFUSED)
