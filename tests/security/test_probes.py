"""Eight questions at which a widely used implementation went wrong, and the RFCs' answers."""

import re

import pytest

import dkimcore
from dkimcore.protocol.policy import SigningProfile
from dkimcore.resolvers.static import StaticResolver
from tests.protocol.material import MESSAGE, NOW, ed25519, rsa, sign, sign_by_hand, verify

KEY = rsa()
RECORD = KEY.record()
SIGNED = sign_by_hand(MESSAGE, KEY)


def judged(message, record):
    """The status of the only signature, and the words for it."""
    (result,) = verify(message, record)
    return result.status, result.cause


@pytest.mark.parametrize(
    ("record", "status", "cause"),
    [
        pytest.param(
            RECORD.replace(b"v=DKIM1;", b"v=DKIM1; h=sha1;"),
            *("permerror", "INAPPROPRIATE_HASH_ALGORITHM"),
            marks=pytest.mark.rfc("6376", "3.6.1"),
            id="a key for sha1 alone",
        ),
        pytest.param(
            re.sub(rb"v=DKIM1; (.*)", rb"\1; v=DKIM1", RECORD),
            *("permerror", "KEY_SYNTAX_ERROR"),
            marks=pytest.mark.rfc("6376", "3.6.1"),
            id="the version is not first",
        ),
        pytest.param(
            re.sub(rb"p=.*", rb"p=", RECORD),
            *("permerror", "KEY_REVOKED"),
            marks=pytest.mark.rfc("6376", "3.6.1"),
            id="a revoked key",
        ),
        pytest.param(
            b"n=caf\xe9; " + RECORD.partition(b"; ")[2],
            *("permerror", "KEY_SYNTAX_ERROR"),
            marks=pytest.mark.rfc("6376", "3.6.1"),
            id="octets in the record that are no UTF-8",
        ),
    ],
)
def test_a_record_does_not_verify(record, status, cause):
    assert record != RECORD
    found, why = judged(SIGNED, record)
    assert (found, why.name) == (status, cause)


@pytest.mark.rfc("6376", "3.6.1")
def test_a_strict_key_is_not_for_a_subdomain():
    message = sign_by_hand(MESSAGE, KEY, changes={b"i": b"@sub.example.com"})
    assert judged(message, RECORD)[0] == "pass"
    status, cause = judged(message, RECORD.replace(b"v=DKIM1;", b"v=DKIM1; t=s;"))
    assert (status, cause.name) == ("permerror", "DOMAIN_MISMATCH")


@pytest.mark.rfc("6376", "8.2")
def test_a_body_with_something_behind_what_is_signed_does_not_pass():
    message = sign(MESSAGE, KEY, profile=SigningProfile(body_length=True))
    status, cause = judged(message + b"Click here.\r\n", RECORD)
    assert (status, cause.name) == ("policy", "UNSIGNED_CONTENT")


@pytest.mark.rfc("6376", "8.15")
@pytest.mark.parametrize("name", [b"Subject", b"From", b"To", b"Content-Type"])
def test_what_we_signed_does_not_pass_with_a_second_field(name):
    message = sign(MESSAGE, KEY)
    assert judged(message, RECORD)[0] == "pass"
    assert judged(name + b": other\r\n" + message, RECORD)[0] == "fail"


@pytest.mark.rfc("6376", "8.15")
def test_what_others_signed_tells_of_a_second_field():
    """They did not oversign: it passes, and who wants to be strict is told."""
    (result,) = verify(b"Subject: other\r\n" + SIGNED, RECORD)
    assert result.status == "pass"
    assert "subject" in result.unsigned_fields


@pytest.mark.parametrize("first", [b" folded\r\n", b"\tfolded\r\n", b" \r\n"])
def test_a_message_that_begins_with_a_fold_raises_nothing(first):
    resolver = StaticResolver({"s1._domainkey.example.com": RECORD})
    results = dkimcore.verify(first + MESSAGE, resolver=resolver, now=NOW)
    assert results.status == "none"
    results = dkimcore.verify(first + SIGNED, resolver=resolver, now=NOW)
    assert results.status in {"pass", "none"}
    assert results.passed is (len(results) == 1)


def test_such_a_message_is_signed_or_refused_with_our_error():
    signer = dkimcore.Signer.make("example.com", "s1", ed25519())
    with pytest.raises(dkimcore.MessageError):
        dkimcore.sign(b" folded\r\n" + MESSAGE, [signer], now=NOW)
