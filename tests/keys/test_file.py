"""The backend ``file:``: forms, options, refusals, and no key in any of them."""

from __future__ import annotations

import logging
import subprocess
import traceback

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from dkimcore.errors import (
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnusable,
    KeyUriError,
)
from dkimcore.keys import KeyContext
from dkimcore.keys.file import open_key
from dkimcore.keys.uri import KeyUri
from dkimcore.testing import check_key_backend


def open_(text, **context):
    return open_key(KeyUri.parse(text), KeyContext(**context))


def test_it_keeps_the_contract_of_backends(key_file, passphrase):
    assert len(check_key_backend(open_key, key_file())) == 8
    context = KeyContext(secret={"passphrase": passphrase}.get)
    check_key_backend(open_key, key_file("b", secret=passphrase), context=context)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("prefix", ["", "file:", "file://"])
def test_it_opens_each_form_under_each_spelling(key_file, form, encoding, prefix):
    path = key_file(form=form, encoding=encoding)
    assert open_(prefix + path).public_key.bits == 2048


@pytest.mark.server("opendkim-genkey")
def test_a_key_that_opendkim_genkey_writes(tmp_path):
    subprocess.run(
        ["opendkim-genkey", "-b", "1024", "-s", "s1", "-d", "example.com", "-D", tmp_path],
        check=True,
    )
    assert open_(f"{tmp_path}/s1.private").public_key.bits == 1024


def test_another_host_is_refused():
    with pytest.raises(KeyUriError, match="this host"):
        open_("file://server/etc/s1.pem")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("permision=ignore", "permissions, check"),
        ("permissions=no", "permissions=check or permissions=ignore"),
        ("check=none", "check=quick or check=full"),
    ],
)
def test_options_that_it_does_not_know_are_refused(key_file, query, says):
    with pytest.raises(KeyUriError, match=says):
        open_(f"{key_file()}?{query}")


def test_full_check_is_an_option(key_file):
    assert open_(key_file() + "?check=full").public_key.bits == 2048


def test_permissions_are_checked_unless_that_is_switched_off(open_folder, rsa_key, key_file):
    path = open_folder / "s1.pem"
    with open(key_file(), "rb") as file:
        path.write_bytes(file.read())
    path.chmod(0o644)
    with pytest.raises(KeyDenied, match="chmod o-rw"):
        open_(str(path))
    assert open_(f"{path}?permissions=ignore")
    assert open_(str(path), check_permissions=False)


CANARY = b"CANARYCANARYCANARYCANARYCANARYCANARY"
LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"


@pytest.mark.parametrize(
    ("octets", "secret", "error"),
    [
        (b"-----BEGIN PRIVATE KEY-----\n" + CANARY + b"\n-----END PRIVATE KEY-----", None, None),
        (b"-----BEGIN CERTIFICATE-----\n" + CANARY + b"\n-----END CERTIFICATE-----", None, None),
        (CANARY, None, None),
        (b"0\x82\x04\xa3" + CANARY, None, None),
        (None, "wrong-CANARY", KeyDenied),
        (None, None, KeyDenied),
    ],
)
def test_no_key_and_no_passphrase_is_in_an_error_its_locals_or_the_log(
    keep, key_file, passphrase, caplog, octets, secret, error
):
    caplog.set_level(logging.DEBUG)
    path = key_file(secret=passphrase) if octets is None else keep(octets)
    context = KeyContext(secret=lambda _: secret)
    with pytest.raises(error or KeyUnusable) as caught:
        open_key(KeyUri.parse(path), context)
    exc = caught.value
    # From our frames on; this test's own frame holds the canary.
    ours = traceback.TracebackException(
        type(exc), exc, exc.__traceback__.tb_next, capture_locals=True
    )
    shown = "".join(ours.format()) + repr(exc) + repr(exc.args) + repr(context) + caplog.text
    assert "open_key" in shown
    assert "CANARY" not in shown
    assert "PRIVATE KEY" not in shown
    assert exc.__context__ is None


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(KeyNotFound, match="does not exist") as caught:
        open_(f"{tmp_path}/s1.pem")
    assert caught.value.uri == f"file:{tmp_path}/s1.pem"
    assert isinstance(caught.value, KeyBackendError)
