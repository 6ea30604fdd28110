"""OpenDKIM's words for each way a signature can end."""

import pytest

from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.names import DomainName, Selector
from dkimcore.protocol.result import Cause, SignatureResult, Status
from dkimcore.protocol.signature import Signature
from dkimcore.settings.model import Action, Actions, KeyTrust, Verifying
from dkimcore_milter.logline import Level
from dkimcore_milter.wording import (
    IGNORED,
    PASS,
    WORDING,
    Option,
    failure_line,
    wording,
    words,
)
from tests.protocol import material

SIGNATURE = Signature(
    algorithm=material.rsa().algorithm,
    domain=DomainName.parse("example.com"),
    selector=Selector.parse("s1"),
    signed_fields=(b"from",),
    body_hash=bytes(32),
)


def result(cause=None, **changes):
    standard = {
        "status": Status.PASS if cause is None else cause.status,
        "cause": cause,
        "detail": "the detail",
        "position": 0,
        "signature": SIGNATURE,
    }
    return SignatureResult(**{**standard, **changes})


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_words(cause):
    told = wording(result(cause), Verifying())
    assert told.status not in (Status.PASS, Status.NONE)
    assert told.status is not Status.FAIL or told.reason


@pytest.mark.parametrize(
    ("cause", "status", "reason"),
    [
        (Cause.BODY_HASH, "fail", "signature verification failed"),
        (Cause.SIGNATURE, "fail", "signature verification failed"),
        (Cause.NO_KEY, "fail", "key not found in DNS"),
        (Cause.KEY_REVOKED, "fail", "key revoked"),
        (Cause.UNACCEPTABLE_SIGNATURE, "fail", "unprotected header field"),
        (Cause.BODY_TOO_SHORT, "fail", "length tag value exceeds body size"),
        (Cause.KEY_TOO_SHORT, "policy", "signing key too small"),
        (Cause.KEY_UNAVAILABLE, "temperror", None),
        (Cause.KEY_SYNTAX_ERROR, "permerror", None),
        (Cause.SIGNATURE_EXPIRED, "permerror", None),
        (Cause.SIGNATURE_IN_FUTURE, "permerror", None),
        (Cause.DOMAIN_MISMATCH, "permerror", None),
        (Cause.SIGNATURE_SYNTAX_ERROR, "permerror", None),
    ],
)
def test_the_words_are_opendkims(cause, status, reason):
    told = wording(result(cause), Verifying())
    assert (str(told.status), told.reason) == (status, reason)


@pytest.mark.parametrize(
    ("cause", "has_record", "status", "reason"),
    [
        (Cause.DOMAIN_MISMATCH, True, "fail", "unauthorized subdomain"),
        (Cause.DOMAIN_MISMATCH, False, "permerror", None),
        (Cause.INAPPROPRIATE_KEY_ALGORITHM, False, "fail", "unknown key type"),
        (Cause.INAPPROPRIATE_KEY_ALGORITHM, True, "permerror", None),
        (Cause.INAPPROPRIATE_HASH_ALGORITHM, True, "fail", "signature-key hash mismatch"),
        (Cause.INAPPROPRIATE_SERVICE_TYPE, True, "fail", "not an e-mail key"),
    ],
)
def test_some_words_depend_on_whether_there_was_a_key(cause, has_record, status, reason):
    record = KeyRecord(public_key=material.rsa().public_key) if has_record else None
    told = wording(result(cause, key_record=record), Verifying())
    assert (str(told.status), told.reason) == (status, reason)
    assert told.option is Option.NONE


ALL_DIFFERENT = Actions(
    bad_signature=Action.REJECT,
    dns_error=Action.TEMPFAIL,
    key_not_found=Action.DISCARD,
    no_signature=Action.QUARANTINE,
)


@pytest.mark.parametrize(
    ("cause", "action"),
    [
        (Cause.BODY_HASH, Action.REJECT),
        (Cause.SIGNATURE, Action.REJECT),
        (Cause.SIGNATURE_SYNTAX_ERROR, Action.REJECT),
        (Cause.KEY_REVOKED, Action.REJECT),
        (Cause.BODY_TOO_SHORT, Action.REJECT),
        (Cause.KEY_SYNTAX_ERROR, Action.ACCEPT),
        (Cause.KEY_UNAVAILABLE, Action.TEMPFAIL),
        (Cause.NO_KEY, Action.DISCARD),
        (Cause.SIGNATURE_EXPIRED, Action.ACCEPT),
        (Cause.UNACCEPTABLE_SIGNATURE, Action.ACCEPT),
        (Cause.KEY_TOO_SHORT, Action.ACCEPT),
    ],
)
def test_each_cause_has_its_option(cause, action):
    assert WORDING[cause].option.action(ALL_DIFFERENT) is action


def test_no_signature_has_its_option():
    assert Option.NO_SIGNATURE.action(ALL_DIFFERENT) is Action.QUARANTINE
    assert IGNORED.option.action(ALL_DIFFERENT) is Action.ACCEPT


@pytest.mark.parametrize(
    ("trust", "authentic", "status"),
    [
        (KeyTrust.NONE, False, "pass"),
        (KeyTrust.NEUTRAL, False, "neutral"),
        (KeyTrust.FAIL, False, "policy"),
        (KeyTrust.FAIL, True, "pass"),
    ],
)
def test_a_key_without_dnssec_may_count_less(trust, authentic, status):
    """UnprotectedKey."""
    told = wording(result(authentic=authentic), Verifying(unprotected_key=trust))
    assert told.status == status


@pytest.mark.parametrize(
    ("minimum", "signed", "total", "enough"),
    [
        ("100", None, 50, True),
        ("100", 99, 200, False),
        ("100", 100, 200, True),
        ("100", 50, 50, True),
        ("50%", 49, 100, False),
        ("50%", 50, 100, True),
        ("10+", 89, 100, False),
        ("10+", 90, 100, True),
        ("0", 0, 100, True),
        ("100", 10, None, True),
        ("nonsense", 1, 100, True),
    ],
)
def test_enough_of_the_body_must_be_signed(minimum, signed, total, enough):
    """Minimum."""
    judged = result(body_signed=signed, body_octets=total)
    told = wording(judged, Verifying(minimum_body=minimum))
    assert (told is PASS) is enough
    assert enough or (told.status is Status.FAIL and told.option.is_bad_signature)


@pytest.mark.parametrize(
    ("changes", "comment"),
    [
        ({}, None),
        ({"key_record": KeyRecord(public_key=material.rsa().public_key)}, "2048-bit key"),
        (
            {"key_record": KeyRecord(public_key=material.rsa().public_key), "authentic": True},
            "2048-bit key; secure",
        ),
        ({"key_record": KeyRecord(public_key=None)}, None),
    ],
)
def test_a_result_tells_the_keys_length(changes, comment):
    judged = result(**changes)
    assert words(judged, PASS).comment == comment


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        (Cause.BODY_HASH, (Level.NOTICE, "bad signature data", "bad-signature")),
        (
            Cause.KEY_REVOKED,
            (Level.NOTICE, "key revoked (s=s1, d=example.com, a=rsa-sha256)", "key-revoked"),
        ),
        (
            Cause.NO_KEY,
            (
                Level.ERR,
                "key retrieval failed (s=s1, d=example.com): the detail",
                "key-retrieval-failed",
            ),
        ),
        (
            Cause.KEY_UNAVAILABLE,
            (
                Level.ERR,
                "key retrieval failed (s=s1, d=example.com): the detail",
                "key-retrieval-failed",
            ),
        ),
        (Cause.SIGNATURE_SYNTAX_ERROR, (Level.ERR, "syntax error: the detail", "syntax-error")),
        (
            Cause.SIGNATURE_EXPIRED,
            (Level.INFO, "signature processing failed: the detail", "signature-not-usable"),
        ),
    ],
)
def test_the_log_says_it_in_opendkims_words(cause, line):
    judged = result(cause)
    assert failure_line(judged, WORDING[cause]) == line


def test_a_signature_that_could_not_be_read_is_logged_too():
    judged = result(Cause.SIGNATURE_SYNTAX_ERROR, signature=None)
    assert failure_line(judged, WORDING[Cause.SIGNATURE_SYNTAX_ERROR])[1].startswith("syntax")
