"""Key URIs: how they split, and that no secret stands in one or is printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import KeyUriError
from dkimcore.keys.uri import KeyUri

CANARY = "hunter2-CANARY"


@pytest.mark.parametrize(
    ("text", "scheme", "path", "options"),
    [
        ("file:/etc/dkim/s1.pem", "file", "/etc/dkim/s1.pem", {}),
        ("/etc/dkim/s1.pem", "file", "/etc/dkim/s1.pem", {}),
        ("./s1.pem", "file", "./s1.pem", {}),
        ("~/s1.pem", "file", "~/s1.pem", {}),
        ("keys/s1.pem", "file", "keys/s1.pem", {}),
        ("s1.private", "file", "s1.private", {}),
        ("/srv/a:b/s1.pem", "file", "/srv/a:b/s1.pem", {}),
        ("my_keys:s1", "file", "my_keys:s1", {}),
        ("  /s1.pem ", "file", "/s1.pem", {}),
        ("/s1.pem?permissions=ignore", "file", "/s1.pem", {"permissions": "ignore"}),
        ("FILE:/s1.pem", "file", "/s1.pem", {}),
        (
            "awskms:arn:aws:kms:eu-west-1:1:key/2?region=eu-west-1",
            "awskms",
            "arn:aws:kms:eu-west-1:1:key/2",
            {"region": "eu-west-1"},
        ),
        (
            "vault:transit/dkim?version=3&a=b%26c?d",
            "vault",
            "transit/dkim",
            {"version": "3", "a": "b&c?d"},
        ),
        (
            "pkcs11:token=mail;object=s1?module-path=/usr/lib/p.so&pin-source=file:/run/pin",
            "pkcs11",
            "token=mail;object=s1",
            {"module-path": "/usr/lib/p.so", "pin-source": "file:/run/pin"},
        ),
        ("acme:prod/key?", "acme", "prod/key", {}),
        ("vault:x?token-file=/run/t", "vault", "x", {"token-file": "/run/t"}),
    ],
)
def test_it_splits_at_the_first_colon_and_the_first_question_mark(text, scheme, path, options):
    uri = KeyUri.parse(text)
    assert (uri.scheme, uri.path, dict(uri.options)) == (scheme, path, options)
    assert KeyUri.parse(str(uri)) == uri
    assert hash(KeyUri.parse(str(uri))) == hash(uri)


def test_a_bare_path_is_printed_with_its_scheme():
    assert str(KeyUri.parse("/s1.pem")) == "file:/s1.pem"


@pytest.mark.parametrize(
    "name",
    [
        *("pin", "pin-value", "PIN", "password", "passwd", "passphrase", "token", "secret"),
        *("secret_id", "aws_secret_access_key", "api_key", "apikey", "auth-token", "credentials"),
    ],
)
@pytest.mark.parametrize("form", ["acme:k?{}={}", "acme:k?a=b&{}={}", "/k.pem?{}={}"])
def test_a_secret_among_the_options_is_refused_and_not_printed(name, form):
    with pytest.raises(KeyUriError, match="no secrets") as caught:
        KeyUri.parse(form.format(name, CANARY))
    assert CANARY not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"pkcs11:object=s1;pin-value={CANARY}",
        f"pkcs11:object=s1;pin-value={CANARY}?module-path=/x",
        f"vault://user:{CANARY}@vault.example/x",
        f"-----BEGIN PRIVATE KEY-----{CANARY}",
        f"inline:-----BEGIN RSA PRIVATE KEY-----\n{CANARY}",
        f"MIIEpAIBAAKCAQEA{CANARY.replace('-', '')}AAAAAAAAAAAAAAAAAAAAAAAAAA==",
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
    ],
)
def test_a_secret_anywhere_else_is_refused_and_not_printed(text):
    with pytest.raises(KeyUriError) as caught:
        KeyUri.parse(text)
    shown = str(caught.value) + repr(caught.value)
    assert "CANARY" not in shown
    assert "nWGx" not in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "behind its scheme"),
        ("file:", "behind its scheme"),
        ("acme:?a=b", "behind its scheme"),
        ("/a\nb", "control"),
        ("/a\0b", "control"),
        ("/" + "a" * 5000, "4096"),
        ("acme:k?permissions", "name=value"),
        ("acme:k?=x", "name=value"),
        ("acme:k?a=1&&b=2", "name=value"),
        ("acme:k?a=1&a=2", "twice"),
        ("acme:k?a=%0a", "control"),
    ],
)
def test_what_is_malformed_is_refused_with_the_reason(text, says):
    with pytest.raises(KeyUriError, match=says):
        KeyUri.parse(text)


def test_a_misspelt_option_is_refused_and_the_known_ones_listed():
    uri = KeyUri.parse("acme:k?permision=ignore")
    with pytest.raises(KeyUriError, match=r"'permision'.*permissions, zone"):
        uri.allow_options("permissions", "zone")
    with pytest.raises(KeyUriError, match="none"):
        uri.allow_options()
    uri.allow_options("permision")


@given(
    st.text(max_size=60) | st.from_regex(r"[a-z]{2,5}:[!-~]{1,20}(\?[!-~]{0,30})?", fullmatch=True)
)
def test_any_text_is_parsed_or_refused_and_prints_as_it_parses(text):
    try:
        uri = KeyUri.parse(text)
    except KeyUriError:
        return
    assert KeyUri.parse(str(uri)) == uri
