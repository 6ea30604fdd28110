"""What a server means by a status and a text.  Texts marked OpenBao are what 2.7.2 wrote."""

from __future__ import annotations

import json
import time

import pytest

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.secret import Secret
from dkimcore.keys.vault.refusals import item_error, refusal
from dkimcore.keys.vault.transport import Reply, Request

SIGN = Request(method="POST", target="/v1/transit/sign/s1", needs="update")


def refused(status, *errors, request=SIGN, body=None, retry_after=None, hidden=()):
    if body is None:
        body = json.dumps({"errors": errors}).encode()
    reply = Reply(status=status, body=body, retry_after=retry_after)
    return refusal(reply, request, uri="x:y", address="https://vault:8200", hidden=hidden)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        # OpenBao
        (400, "signing key not found", KeyNotFound),
        (400, "encryption key not found", KeyNotFound),
        (400, "key type aes256-gcm96 does not support signing", KeyUnusable),
        (400, "invalid role or secret ID", KeyDenied),
        (400, "check-and-set parameter did not match the current version", KeyUnusable),
        (403, "1 error occurred:\n\t* permission denied\n\n", KeyDenied),
        (403, "permission denied", KeyDenied),
        (404, "", KeyNotFound),
        (404, 'no handler for route "a/keys/b". route entry not found.', KeyNotFound),
        (404, "namespace not found", KeyNotFound),
        (405, "1 error occurred:\n\t* unsupported operation\n\n", KeyUnusable),
        (
            500,
            "1 error occurred:\n\t* requested version for signing is higher than the latest key "
            "version\n\n",
            KeyUnusable,
        ),
        (500, "requested version for signing is less than the minimum encryption", KeyUnusable),
        (500, "1 error occurred:\n\t* crypto/rsa: input must be hashed message\n\n", KeyUnusable),
        (500, "past the max TTL, cannot renew", KeyUnusable),
        (400, "batch tokens cannot be renewed", KeyUnusable),
        (500, "client identity during renewal not matching client identity", KeyUnusable),
        (503, "Vault is sealed", KeyUnavailable),
        # what others write, or the documentation says
        (400, "something else", KeyUnusable),
        (401, "unauthorized", KeyDenied),
        (412, "required index state not present", KeyUnavailable),
        (418, "teapot", KeyUnusable),
        (429, "request path: rate limit quota exceeded", KeyUnavailable),
        (472, "", KeyUnavailable),
        (473, "", KeyUnavailable),
        (500, "internal error", KeyUnavailable),
        (501, "Vault is not initialized", KeyUnavailable),
        (502, "bad gateway", KeyUnavailable),
        (504, "", KeyUnavailable),
        (599, "", KeyUnavailable),
    ],
)
def test_each_refusal(status, text, kind):
    error = refused(status, *filter(None, [text]))
    assert type(error) is kind
    assert str(error).startswith(f"x:y: https://vault:8200 answered {status} for transit/sign/s1")
    assert "\n" not in str(error)


def test_the_cure_is_said():
    assert "unseal it" in refused(503, "Vault is sealed").problem
    error = refused(403, "permission denied")
    assert 'path "transit/sign/s1" { capabilities = ["update"] }' in error.problem
    login = Request(method="POST", target="/v1/auth/cert/login", needs="")
    assert "the login is refused" in refused(403, "permission denied", request=login).problem


def test_when_to_ask_again():
    assert refused(429, "quota", retry_after=7.0).retry_after == 7.0
    assert refused(503, "Vault is sealed").retry_after is None


@pytest.mark.parametrize(
    "body",
    [b"<html>403 Forbidden</html>", b"", b"[]", b'{"error": "x"}', b"\xff\xfe", b"[" * 100_000],
)
@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_is_not_of_vault_says_nothing_about_the_key(status, body):
    error = refused(status, body=body)
    assert type(error) is KeyUnavailable
    assert f"answered with status {status} and something that is not of Vault" in error.problem


def test_a_deleted_version():
    metadata = {"deletion_time": "2026-11-30T09:45:00Z", "destroyed": False, "version": 1}
    body = json.dumps({"data": {"data": None, "metadata": metadata}}).encode()
    error = refused(404, body=body)
    assert type(error) is KeyNotFound
    assert "version 1 was deleted at 2026-11-30T09:45:00Z" in error.problem
    metadata = {"deletion_time": "", "destroyed": True, "version": 2}
    body = json.dumps({"data": {"data": None, "metadata": metadata}}).encode()
    assert "version 2 was destroyed" in refused(404, body=body).problem


def test_texts_are_short_and_on_one_line():
    error = refused(500, "a\nb\x1b[31m\x00" + "c" * 5000)
    assert error.problem.isprintable()
    assert len(error.problem) < 500


def test_a_server_that_quotes_a_secret():
    error = refused(400, "bad token s.canary here", hidden=(Secret("s.canary"),))
    assert "canary" not in error.problem
    assert "withheld" in error.problem


def test_one_item_of_a_batch():
    text = "requested version for signing is higher than the latest key version"
    error = item_error(text, uri="x:y", request_id="r-1")
    assert type(error) is KeyUnusable
    assert str(error).endswith("(request r-1)")
    assert type(item_error("out of luck", uri="x:y", request_id=None)) is KeyUnavailable


def test_a_long_text_of_an_item_takes_no_time():
    """The patterns of the table take the square of a text's length: this one, half an hour."""
    start = time.monotonic()
    error = item_error("context " * 250_000, uri="x:y", request_id=None)
    assert time.monotonic() - start < 5
    assert len(error.problem) < 500
