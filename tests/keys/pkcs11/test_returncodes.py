"""What an operator reads for a return code."""

from __future__ import annotations

import pytest

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.pkcs11.cryptoki import CryptokiError
from dkimcore.keys.pkcs11.returncodes import PIN_REFUSED, REOPEN, described, explain

URI = "pkcs11:object=s1"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (0x05, KeyUnavailable, "CKR_GENERAL_ERROR (0x5) of C_Sign"),
        (0x0A, KeyUnusable, "CKF_OS_LOCKING_OK"),
        (0x30, KeyUnavailable, "the token failed"),
        (0x32, KeyUnavailable, "taken away"),
        (0x60, KeyNotFound, "gone"),
        (0x68, KeyDenied, "CKA_SIGN"),
        (0x70, KeyUnusable, "mechanism"),
        (0xA0, KeyDenied, "the PIN is wrong"),
        (0xA4, KeyDenied, "security officer"),
        (0xB1, KeyUnavailable, "threads"),
        (0xE0, KeyUnavailable, "not there"),
        (0x101, KeyUnavailable, "ended the login"),
        (0x80000123, KeyUnavailable, "maker's own"),
        (0x777, KeyUnavailable, "0x777 of C_Sign"),
    ],
)
def test_a_code_has_a_kind_and_words(code, kind, words):
    error = explain(CryptokiError(code, "C_Sign"), uri=URI, doing="signing")
    assert type(error) is kind
    assert error.uri == URI
    assert str(error).startswith(f"{URI}: signing failed: ")
    assert words in str(error)


def test_every_code_that_asks_for_a_new_session_may_pass_or_names_a_key_that_went():
    for code in REOPEN:
        error = explain(CryptokiError(code, "C_Sign"), uri=URI, doing="signing")
        assert isinstance(error, KeyUnavailable | KeyNotFound), described(
            CryptokiError(code, "C_Sign")
        )


def test_a_refused_pin_is_never_tried_in_a_new_session():
    assert not PIN_REFUSED & REOPEN
    for code in PIN_REFUSED:
        assert isinstance(explain(CryptokiError(code, "C_Login"), uri=URI, doing="x"), KeyDenied)
