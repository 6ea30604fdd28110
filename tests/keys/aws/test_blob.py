"""Files with a private key that KMS encrypted."""

from __future__ import annotations

import base64
import os
import stat

import pytest

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable, KeyUriError
from dkimcore.keys import KeyContext
from dkimcore.keys.aws.blob import absolute_uri, blob_path, read_blob, write_blob
from dkimcore.keys.uri import KeyUri

# As AWS's own begin: 01 02, and no letters of base64 alone.
BLOB = b"\x01\x02\x02\x00x" + bytes(range(200))


def uri(path, **options):
    return KeyUri(scheme="awskms-envelope", path=str(path), options=options)


@pytest.fixture
def keep(tmp_path):
    """Writes a file."""

    def write(octets):
        path = tmp_path / "s1.blob"
        path.write_bytes(octets)
        return uri(path)

    return write


@pytest.mark.parametrize(
    "octets",
    [
        BLOB,
        base64.b64encode(BLOB),
        base64.b64encode(BLOB) + b"\n",
        base64.encodebytes(BLOB),
        b" " + base64.b64encode(BLOB) + b"\r\n",
    ],
)
def test_forms(keep, octets):
    assert read_blob(keep(octets), KeyContext()) == BLOB


@pytest.mark.parametrize("octets", [b"", b"\n", b"\x01" * 6145, base64.b64encode(b"x" * 6145)])
def test_lengths_that_kms_does_not_make(keep, octets):
    with pytest.raises(KeyUnusable, match=r"s1\.blob holds \d+ octets"):
        read_blob(keep(octets), KeyContext())


def test_a_key_that_is_not_encrypted(keep):
    with pytest.raises(KeyUnusable, match="not encrypted") as caught:
        read_blob(keep(b"-----BEGIN PRIVATE KEY-----\nCANARY\n"), KeyContext())
    assert "CANARY" not in str(caught.value)


def test_permissions_are_those_of_a_key_file(open_folder):
    path = open_folder / "s1.blob"
    path.write_bytes(BLOB)
    path.chmod(0o644)

    with pytest.raises(KeyDenied, match="chmod o-rw"):
        read_blob(uri(path), KeyContext())
    assert read_blob(uri(path), KeyContext(check_permissions=False)) == BLOB
    assert read_blob(uri(path, permissions="ignore"), KeyContext()) == BLOB


def test_no_file(tmp_path):
    with pytest.raises(KeyNotFound):
        read_blob(uri(tmp_path / "absent"), KeyContext())


def test_paths():
    assert blob_path(uri("/etc/dkim/s1")) == "/etc/dkim/s1"
    assert blob_path(uri("///etc/dkim/s1")) == "/etc/dkim/s1"
    assert blob_path(uri("s1")) == "s1"
    with pytest.raises(KeyUriError, match="of this host"):
        blob_path(uri("//host/s1"))


def test_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")

    assert absolute_uri(uri("s1", key="arn")) == uri(tmp_path / "s1", key="arn")
    assert absolute_uri(uri("~/s1")) == uri("/home/ada/s1")
    for path in ("/etc/dkim/s1", "///etc/dkim/s1", "////etc/dkim/s1"):
        assert absolute_uri(uri(path)) == uri("/etc/dkim/s1")
    for path in ("//host/s1", "/etc/s#1"):
        with pytest.raises(KeyUriError):
            absolute_uri(uri(path))


def test_written_and_read(tmp_path):
    target = uri(tmp_path / "s1.blob")
    write_blob(target, BLOB)

    assert read_blob(target, KeyContext()) == BLOB
    assert stat.S_IMODE(os.stat(target.path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["s1.blob"]


def test_beside_us(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_blob(uri("s1.blob"), BLOB)

    assert (tmp_path / "s1.blob").read_bytes() == BLOB


def test_nothing_is_replaced(keep, tmp_path):
    target = keep(b"old")
    with pytest.raises(KeyUnusable, match="exists already"):
        write_blob(target, BLOB)

    assert (tmp_path / "s1.blob").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["s1.blob"]


def test_no_folder(tmp_path):
    with pytest.raises(KeyUnusable, match="no file can be made beside"):
        write_blob(uri(tmp_path / "absent" / "s1"), BLOB)


def test_a_name_that_is_too_long(tmp_path):
    # The temporary name, which is longer, does not fit either.
    with pytest.raises((KeyUnusable, KeyUnavailable)):
        write_blob(uri(tmp_path / ("s" * 255)), BLOB)
    assert os.listdir(tmp_path) == []


def test_a_full_disk(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyUnavailable, match="No space left"):
        write_blob(uri(tmp_path / "s1.blob"), BLOB)
    assert os.listdir(tmp_path) == []
