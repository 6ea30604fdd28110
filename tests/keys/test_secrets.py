"""Passphrases come from a file or the environment."""

from __future__ import annotations

import pytest

from dkimcore.errors import KeyDenied, KeyNotFound
from dkimcore.keys.secrets import secret_from


def test_from_the_environment():
    secret = secret_from(environ={"DKIMCORE_PASSPHRASE": "a b ", "DKIMCORE_PIN_VALUE": "12"})
    assert secret("passphrase") == "a b "
    assert secret("pin-value") == "12"
    assert secret("token") is None


def test_from_this_process(monkeypatch):
    secret = secret_from()
    monkeypatch.setenv("DKIMCORE_PASSPHRASE", "later")
    assert secret("passphrase") == "later"


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"s3\n", "s3"),
        (b"s3\r\nmore\n", "s3"),
        (b" s3 ", " s3 "),
        ("pä".encode(), "pä"),
        (b"\xff\n", "\udcff"),
        (b"", None),
        (b"\n", None),
    ],
)
def test_the_first_line_of_a_file(keep, octets, value):
    path = keep(octets)
    assert secret_from({"passphrase": path}, environ={})("passphrase") == value
    assert secret_from(environ={"DKIMCORE_PASSPHRASE_FILE": path})("passphrase") == value


def test_a_file_wins_over_the_environment(keep):
    environ = {"DKIMCORE_PASSPHRASE": "no", "DKIMCORE_PASSPHRASE_FILE": keep(b"file")}
    assert secret_from(environ=environ)("passphrase") == "file"
    assert (
        secret_from({"passphrase": keep(b"named", "b")}, environ=environ)("passphrase") == "named"
    )


def test_a_file_that_others_can_read_is_refused_unless_that_is_switched_off(open_folder):
    path = open_folder / "pass"
    path.write_bytes(b"CANARY")
    path.chmod(0o644)
    with pytest.raises(KeyDenied, match="chmod o-rw") as caught:
        secret_from({"pin": str(path)})("pin")
    assert "CANARY" not in str(caught.value)
    assert secret_from({"pin": str(path)}, check_permissions=False)("pin") == "CANARY"


def test_a_file_that_is_named_must_be_there(tmp_path):
    with pytest.raises(KeyNotFound):
        secret_from({"pin": str(tmp_path / "no")})("pin")
