"""The verifier (RFC 6376 section 6)."""

import base64
import hashlib

import pytest

from dkimcore.errors import StateError
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.keyrecord import KeyRecord, TxtAnswer, TxtStatus
from dkimcore.protocol.message import Header
from dkimcore.protocol.names import Selector
from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy
from dkimcore.protocol.result import Cause, Status
from dkimcore.protocol.verify import Verification
from tests.protocol import material
from tests.protocol.material import MESSAGE, NOW, QUERY, found, sign, sign_by_hand, verify

rfc = pytest.mark.rfc
ED, RSA = material.ed25519(), material.rsa()
OTHER = material.ed25519("another")
SIGNED = sign(MESSAGE, ED)
HOSTILE = b"v=spf1 -all"
PLAIN = SigningProfile(fields=("from", "to"), oversigned_fields=())


def cause(message, *records, **options):
    """Why the only signature of a message did not pass, or None."""
    (result,) = verify(message, *records, **options)
    assert result.passed is (result.cause is None)
    assert result.status is (Status.PASS if result.cause is None else result.cause.status)
    return result.cause


def limited(**limits):
    return VerifyPolicy(limits=Limits(**limits))


@rfc("6376", "6.1.3")
@rfc("6376", "3.9")
def test_a_pass_tells_everything_about_the_signature():
    """Statements 49, 106, 113."""
    (result,) = verify(SIGNED, answer=found(ED.record(flags=("y",)), authentic=True))
    assert result.passed
    assert (result.cause, result.detail, result.position) == (None, "", 0)
    assert result.signature.domain == material.DOMAIN
    assert result.key_record.public_key == ED.public_key
    assert (result.authentic, result.testing) == (True, True)
    assert (result.body_signed, result.unsigned_fields) == (None, ())


@rfc("6376", "3.4")
@rfc("6376", "3.3")
@rfc("8463", "3")
@pytest.mark.parametrize("header", Canonicalization)
@pytest.mark.parametrize("body", Canonicalization)
@pytest.mark.parametrize("key", [ED, RSA, material.rsa(1024)], ids=["ed25519", "2048", "1024"])
def test_each_algorithm_with_each_canonicalization(key, header, body):
    """Statements 21, 25, 71, 74, 78."""
    profile = SigningProfile(header_canonicalization=header, body_canonicalization=body)
    message = b"From : A\r\n b \r\nX: \xff\xfc\r\n\r\n a  b \r\n\r\n \r\n"
    signed = sign(message, key, profile=profile)
    assert cause(signed, key.record()) is None
    assert cause(signed + b" \r\n", key.record()) is (
        None if body is Canonicalization.RELAXED else Cause.BODY_HASH
    )
    assert cause(signed.replace(b"A\r\n b", b"A b"), key.record()) is (
        None if header is Canonicalization.RELAXED else Cause.SIGNATURE
    )


@rfc("6376", "3.7")
@pytest.mark.parametrize("key", [ED, RSA], ids=["ed25519", "rsa"])
def test_a_signature_made_without_the_librarys_signer_passes(key):
    """Statements 56, 57, 71, 78."""
    assert cause(sign_by_hand(MESSAGE, key), key.record()) is None


@rfc("6376", "3.7")
@rfc("6376", "3.2")
@pytest.mark.parametrize(
    "shape",
    [
        b"%b; b=@@;",
        b"%b; b=@@; ",
        b"%b;\r\n\tb =\r\n @@ \r\n\t",
        b"b=@@; %b",
        b"b= @@ ;%b;",
        b"\r\n b\t=\t@@\t;\r\n %b",
        b"xb=b=; bb=1; n=a b=x; %b; b=@@",
        b"%b; b=@@; zb=b; B=1",
        b"%b; b=@@; z=b=c|bh=d",
        b"  %b  ;  b  =  @@  ",
    ],
)
def test_the_value_of_b_is_deleted_and_nothing_else(shape):
    """Statements 2, 10, 15, 22, 57."""
    assert cause(sign_by_hand(MESSAGE, ED, shape=shape), ED.record()) is None


@rfc("6376", "6.1")
def test_a_message_without_signature_has_no_result():
    """Statement 146; 17: other fields are none."""
    assert verify(MESSAGE) == ()
    for name in (b"X-DKIM-Signature", b"DKIM2-Signature", b"DKIM-Signatur"):
        assert verify(SIGNED.replace(b"DKIM-Signature", name, 1)) == ()
    assert verify(b"From: a\r\n\r\n" + SIGNED) == ()


@rfc("6376", "3.5")
@pytest.mark.parametrize("name", [b"dkim-signature", b"DKIM-SIGNATURE", b"Dkim-Signature \t"])
def test_the_name_of_the_field_may_be_in_any_case(name):
    """Statements 17, 53."""
    assert cause(SIGNED.replace(b"DKIM-Signature", name, 1), ED.record()) is None


@rfc("6376", "6.1.3")
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"hungry", b"hungrY", Cause.BODY_HASH),
        (b"you hungry", b"youhungry", Cause.BODY_HASH),
        (b"hungry?\r\n", b"hungry?\r\nfooter\r\n", Cause.BODY_HASH),
        (b"Are you hungry?\r\n", b"", Cause.BODY_HASH),
        (b"dinner", b"winner", Cause.SIGNATURE),
        (b"Subject: dinner\r\n", b"", Cause.SIGNATURE),
        (b"t=1700000000", b"t=1700000001", Cause.SIGNATURE),
        (b"s=s1", b"s=S1", Cause.SIGNATURE),
        (b"\r\nFrom:", b"\r\nFrom: eve@example.org\r\nFrom:", Cause.SIGNATURE),
    ],
)
def test_a_changed_message_fails(old, new, expected):
    """Statements 54, 82, 83."""
    assert old in SIGNED
    assert cause(SIGNED.replace(old, new, 1), ED.record()) is expected
    assert expected.status is Status.FAIL


@rfc("6376", "6.1.3")
def test_a_body_hash_that_was_signed_but_is_wrong_fails():
    """Statements 24, 82: the signature over the header is right."""
    wrong = base64.b64encode(bytes(32))
    assert cause(sign_by_hand(MESSAGE, ED, changes={b"bh": wrong}), ED.record()) is Cause.BODY_HASH


@rfc("6376", "6.1.3")
def test_another_key_fails():
    """Statement 83."""
    assert cause(SIGNED, OTHER.record()) is Cause.SIGNATURE


@rfc("6376", "5.4")
@pytest.mark.parametrize(
    "names", [b"from:nothing:from", b"FROM : To:to:Subject:x", b"subject:from"]
)
def test_signed_fields_are_found_by_name_from_the_bottom(names):
    """Statements 33, 34, 35, 54, 55, 130."""
    signed = sign_by_hand(b"To: one\r\n" + MESSAGE, ED, changes={b"h": names})
    assert cause(signed, ED.record()) is None


@rfc("6376", "3.7")
@rfc("6376", "5.4")
def test_a_signature_may_cover_others_and_never_itself():
    """Statement 35: their b= stays."""
    inner = sign(MESSAGE, RSA)
    outer = sign_by_hand(inner, ED, changes={b"h": b"from:dkim-signature:dkim-signature"})
    answer = found(ED.record(), RSA.record())
    assert [result.passed for result in verify(outer, answer=answer)] == [True, True]
    at = outer.rindex(b"b=") + 10
    changed = outer[:at] + bytes([outer[at] ^ 1]) + outer[at + 1 :]
    causes = [result.cause for result in verify(changed, answer=answer)]
    assert causes[0] is Cause.SIGNATURE
    assert causes[1] is not None


@rfc("6376", "6.1")
@rfc("6376", "4.2")
@pytest.mark.parametrize("bad", [b"DKIM-Signature: x\r\n", b"DKIM-Signature: v=1; a=b\r\n"])
def test_each_signature_is_judged_on_its_own(bad):
    """Statements 103, 105, 107."""
    below = SIGNED.replace(b"From: Alice", bad + b"From: Alice", 1)
    for message, good in ((bad + SIGNED, 1), (below, 0)):
        results = verify(message, ED.record())
        assert results.passed
        assert [result.position for result in results] == [0, 1]
        assert results[good].passed
        assert results[1 - good].status is Status.PERMERROR


@rfc("6376", "6.1.1")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({b"v": b"2"}, Cause.INCOMPATIBLE_VERSION),
        ({b"h": b"to:subject"}, Cause.FROM_NOT_SIGNED),
        ({b"i": b"@example.org"}, Cause.DOMAIN_MISMATCH),
        ({b"d": None}, Cause.MISSING_REQUIRED_TAG),
        ({b"q": b"x"}, Cause.UNSUPPORTED_QUERY_METHOD),
        ({b"c": b"x"}, Cause.UNSUPPORTED_CANONICALIZATION),
        ({b"t": b"x"}, Cause.SIGNATURE_SYNTAX_ERROR),
    ],
)
def test_what_cannot_be_used_is_a_permerror_and_asks_nothing(changes, expected):
    """Statements 16, 18, 19, 32, 36, 41: though the cryptography is right."""
    signed = sign_by_hand(MESSAGE, ED, changes=changes)
    assert cause(signed, ED.record()) is expected
    header, _, _ = material.split(signed)
    verification = Verification(header, now=NOW)
    assert verification.queries == ()
    assert not verification.wants_body


@rfc("8301", "3.1")
@rfc("6376", "3.3.1")
def test_rsa_sha1_does_not_pass_unless_archives_are_read():
    """Statements 73, 109: and the signature says what it was."""
    key = material.rsa(2048, Algorithm.RSA_SHA1)
    signed = sign_by_hand(MESSAGE, key)
    assert cause(signed, key.record()) is Cause.HISTORIC_ALGORITHM
    (result,) = verify(signed, key.record(), policy=VerifyPolicy(allow_historic=True))
    assert result.passed
    assert result.signature.algorithm.is_historic


@rfc("8301", "3.2")
@pytest.mark.parametrize(
    ("bits", "policy", "expected"),
    [
        (1023, None, Cause.KEY_TOO_SHORT),
        (1024, None, None),
        (1024, VerifyPolicy(min_rsa_bits=1025), Cause.KEY_TOO_SHORT),
        (2048, VerifyPolicy(max_rsa_bits=2047), Cause.KEY_UNACCEPTABLE),
        (2048, VerifyPolicy(min_rsa_bits=2048, max_rsa_bits=2048), None),
    ],
)
def test_rsa_keys_have_a_least_and_a_greatest_length(bits, policy, expected):
    """Statements 74, 75, 163."""
    key = material.rsa(bits)
    signed = sign_by_hand(MESSAGE, key)
    assert cause(signed, key.record(), policy=policy) is expected


def integers(*numbers):
    """A DER SEQUENCE of INTEGERs, long form throughout."""
    parts = b""
    for number in numbers:
        octets = number.to_bytes(number.bit_length() // 8 + 1, "big")
        parts += b"\x02\x82" + len(octets).to_bytes(2, "big") + octets
    return b"\x30\x82" + len(parts).to_bytes(2, "big") + parts


@rfc("6376", "8.13")
@rfc("8017", "9.2")
def test_nobody_can_sign_for_a_key_with_exponent_1():
    """Statement 77: the padded hash itself would be the signature."""

    class Forger:
        algorithm = Algorithm.RSA_SHA256

        def sign_digest(self, digest):
            info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
            return b"\x00\x01" + b"\xff" * (256 - 3 - len(info)) + b"\x00" + info

    modulus = RSA.private.public_key().public_numbers().n
    record = b"p=" + base64.b64encode(integers(modulus, 1))
    assert cause(sign_by_hand(MESSAGE, Forger()), record).status is Status.PERMERROR


@rfc("8032", "5.1.7")
@rfc("8463", "4.2")
def test_nobody_can_sign_for_a_key_of_small_order():
    """Statement 77: with the neutral point as key S=0 would fit every message."""

    class Forger:
        algorithm = Algorithm.ED25519_SHA256

        def sign_digest(self, digest):
            return b"\x01" + bytes(63)

    record = b"k=ed25519; p=" + base64.b64encode(b"\x01" + bytes(31))
    assert cause(sign_by_hand(MESSAGE, Forger()), record) is Cause.KEY_UNACCEPTABLE


@rfc("6376", "6.1.2")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (TxtAnswer(TxtStatus.NO_RECORD), Cause.NO_KEY),
        (TxtAnswer(TxtStatus.FOUND), Cause.NO_KEY),
        (TxtAnswer(TxtStatus.FAILED, detail="timeout"), Cause.KEY_UNAVAILABLE),
        (TxtAnswer(TxtStatus.FAILED), Cause.KEY_UNAVAILABLE),
        (found(HOSTILE), Cause.KEY_SYNTAX_ERROR),
        (found(b""), Cause.KEY_SYNTAX_ERROR),
        (found(b"p="), Cause.KEY_REVOKED),
        (found(b"k=x; p=AA=="), Cause.INAPPROPRIATE_KEY_ALGORITHM),
        (found(RSA.record()), Cause.INAPPROPRIATE_KEY_ALGORITHM),
        (found(ED.record(hash_algorithms=("sha1",))), Cause.INAPPROPRIATE_HASH_ALGORITHM),
        (found(ED.record(service_types=("x",))), Cause.INAPPROPRIATE_SERVICE_TYPE),
        (found(b"p=" + b"A" * 9000), Cause.LIMIT_EXCEEDED),
        (found(*[b"x" * 8000] * 9), Cause.LIMIT_EXCEEDED),
        (found(*[b""] * 100), Cause.KEY_SYNTAX_ERROR),
    ],
)
def test_a_key_that_cannot_be_had_or_used(answer, expected):
    """Statements 85, 86, 89, 91, 93, 94, 100, 101."""
    assert cause(SIGNED, answer=answer) is expected
    (result,) = verify(SIGNED, answer=answer)
    assert result.signature is not None
    assert result.detail
    if answer.detail:
        assert result.detail == answer.detail


@rfc("6376", "3.6.2.2")
@rfc("6376", "6.1.2")
@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([HOSTILE, ED.record()], None),
        ([ED.record(), HOSTILE], None),
        ([OTHER.record(), ED.record()], None),
        ([ED.record(), OTHER.record()], None),
        ([RSA.record(), ED.record()], None),
        ([b"p=", ED.record()], None),
        ([HOSTILE] * 20 + [ED.record()], None),
        ([OTHER.record(), RSA.record()], Cause.SIGNATURE),
        ([RSA.record(), OTHER.record()], Cause.INAPPROPRIATE_KEY_ALGORITHM),
        ([b"p=", OTHER.record()], Cause.KEY_REVOKED),
        ([ED.record(), ED.record(), OTHER.record()], Cause.KEY_SYNTAX_ERROR),
        ([HOSTILE, b"k=x; p="], Cause.KEY_SYNTAX_ERROR),
    ],
)
def test_of_several_records_any_may_verify_and_the_first_ones_verdict_stands(records, expected):
    """Statement 87: at most two key records are tried."""
    assert cause(SIGNED, *records) is expected


def test_more_key_records_are_tried_if_allowed():
    records = [OTHER.record(), OTHER.record(), ED.record()]
    assert cause(SIGNED, *records, policy=limited(key_records=3)) is None


@rfc("6376", "3.6.1")
def test_a_failure_of_a_testing_domain_is_marked():
    """Statement 96: the result itself does not change."""
    (result,) = verify(SIGNED.replace(b"dinner", b"winner"), ED.record(flags=("y",)))
    assert (result.cause, result.testing) == (Cause.SIGNATURE, True)


@rfc("6376", "3.6.1")
@pytest.mark.parametrize(
    ("auid", "expected"),
    [(b"@example.com", None), (b"@EXAMPLE.COM", None), (b"@a.example.com", Cause.DOMAIN_MISMATCH)],
)
def test_a_strict_key_is_for_its_domain_alone(auid, expected):
    """Statements 28, 95."""
    signed = sign_by_hand(MESSAGE, ED, changes={b"i": auid})
    assert cause(signed, ED.record(flags=("s",))) is expected
    assert cause(signed, ED.record()) is None


@rfc("6376", "6.1.1")
def test_the_signing_domain_need_not_be_the_authors():
    """Statement 112: alignment is the business of DMARC."""
    assert cause(SIGNED, ED.record()) is None
    assert cause(sign(b"From: a@other.example\r\n\r\n", ED), ED.record()) is None


@rfc("6376", "3.5")
@rfc("6376", "6.1.1")
@pytest.mark.parametrize(
    ("tags", "options", "expected"),
    [
        ({b"x": NOW + 1}, {}, None),
        ({b"x": NOW}, {}, None),
        ({b"x": NOW - 300}, {}, None),
        ({b"x": NOW - 301}, {}, Cause.SIGNATURE_EXPIRED),
        ({b"x": NOW}, {"clock_skew": 0}, None),
        ({b"x": NOW - 1}, {"clock_skew": 0}, Cause.SIGNATURE_EXPIRED),
        ({b"x": 1}, {}, Cause.SIGNATURE_EXPIRED),
        ({b"x": 1}, {"allow_expired": True}, None),
        ({b"x": 10**40}, {}, None),
        ({b"t": NOW}, {}, None),
        ({b"t": 0}, {}, None),
        ({b"t": NOW + 300}, {}, None),
        ({b"t": NOW + 301}, {}, Cause.SIGNATURE_IN_FUTURE),
        ({b"t": NOW + 1}, {"clock_skew": 0}, Cause.SIGNATURE_IN_FUTURE),
        ({b"t": NOW + 9999}, {"allow_future": True}, None),
        ({b"t": 10**40}, {}, Cause.SIGNATURE_IN_FUTURE),
        ({b"t": NOW - 9, b"x": NOW + 9}, {}, None),
    ],
)
def test_signatures_are_valid_for_a_time(tags, options, expected):
    """Statements 44, 45, 47, 109: the clock is an argument."""
    changes = {name: b"%d" % seconds for name, seconds in tags.items()}
    signed = sign_by_hand(MESSAGE, ED, changes=changes)
    assert cause(signed, ED.record(), policy=VerifyPolicy(**options)) is expected


@rfc("6376", "3.5")
@rfc("6376", "8.2")
@pytest.mark.parametrize("length", [0, 5, 17])
def test_a_body_length_is_refused_unless_it_is_allowed(length):
    """Statements 40, 68, 164: and what it covers is told."""
    body = MESSAGE.partition(b"\r\n\r\n")[2]
    hashed = base64.b64encode(hashlib.sha256(body[:length]).digest())
    signed = sign_by_hand(MESSAGE, ED, changes={b"l": b"%d" % length, b"bh": hashed})
    (result,) = verify(signed + b"unsigned", ED.record())
    assert (result.cause, result.body_signed) == (Cause.UNSIGNED_CONTENT, length)
    (result,) = verify(
        signed + b"unsigned", ED.record(), policy=VerifyPolicy(allow_body_length=True)
    )
    assert (result.cause, result.body_signed) == (None, length)


@rfc("6376", "3.5")
@pytest.mark.parametrize("length", [18, 10**75])
def test_a_body_shorter_than_its_length_does_not_pass(length):
    """Statement 39: though the hash is that of all there is."""
    signed = sign_by_hand(MESSAGE, ED, changes={b"l": b"%d" % length})
    policy = VerifyPolicy(allow_body_length=True)
    assert cause(signed, ED.record(), policy=policy) is Cause.BODY_TOO_SHORT


@rfc("6376", "6.3")
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (b"from:to", Cause.UNACCEPTABLE_SIGNATURE),
        (b"from:subject", None),
        (b"From:SUBJECT", None),
    ],
)
def test_a_policy_may_want_more_fields_signed(names, expected):
    """Statement 111: every instance that is there."""
    policy = VerifyPolicy(must_be_signed=frozenset({"subject", "cc"}))
    signed = sign_by_hand(MESSAGE, ED, changes={b"h": names})
    assert cause(signed, ED.record(), policy=policy) is expected
    doubled = b"Subject: other\r\n" + signed
    assert cause(doubled, ED.record(), policy=policy) is Cause.UNACCEPTABLE_SIGNATURE


@rfc("6376", "8.15")
@pytest.mark.parametrize(
    ("added", "unsigned"),
    [
        (b"", ()),
        (b"From: eve@example.org\r\n", ("from",)),
        (b"FROM : eve@example.org\r\nsubject: x\r\nTo: y\r\n", ("from", "subject", "to")),
        (b"X: y\r\n", ()),
    ],
)
def test_instances_that_are_not_signed_are_told(added, unsigned):
    """Statements 113, 171: the signature passes, and does not pretend."""
    signed = added + sign(MESSAGE, ED, profile=PLAIN)
    (result,) = verify(signed, ED.record())
    assert result.passed
    assert result.unsigned_fields == unsigned


@rfc("6376", "8.15")
@rfc("5322", "2.2")
@pytest.mark.parametrize("line", [b"X: a\nFrom: eve\r\n", b"X: a\rb\r\n", b"\nX: a\r\n"])
def test_a_header_with_a_bare_cr_or_lf_does_not_pass(line):
    """Statements 60, 113: other software sees other fields in it."""
    assert cause(line + SIGNED, ED.record()) is Cause.MESSAGE_SYNTAX_ERROR


@rfc("6376", "3.6.2.1")
@rfc("6376", "8.4")
def test_a_name_is_asked_for_once():
    """Statements 104, 165."""
    elsewhere = sign(SIGNED, ED, selector=Selector.parse("S2"))
    header, _, _ = material.split(sign(elsewhere, ED, now=NOW + 1))
    verification = Verification(header, now=NOW)
    assert verification.queries == (QUERY, "s2._domainkey.example.com.")


@rfc("6376", "6.1.2")
def test_a_query_without_an_answer_is_a_temporary_failure():
    """Statement 86."""
    header, body, _ = material.split(SIGNED)
    verification = Verification(header, now=NOW)
    verification.answer("other._domainkey.example.com.", found(ED.record()))
    verification.feed(body)
    (result,) = verification.finish()
    assert (result.cause, result.status) == (Cause.KEY_UNAVAILABLE, Status.TEMPERROR)


def test_the_first_answer_counts():
    header, body, _ = material.split(SIGNED)
    verification = Verification(header, now=NOW)
    verification.answer(QUERY, found(ED.record()))
    verification.answer(QUERY, material.NO_RECORD)
    verification.feed(body)
    assert verification.finish().passed


def test_an_answer_may_come_after_the_body():
    header, body, _ = material.split(SIGNED)
    verification = Verification(header, now=NOW)
    for octet in body:
        verification.feed(bytes([octet]))
    verification.answer(QUERY, found(ED.record()))
    results = verification.finish()
    assert results.passed
    assert results.usage.body_octets == len(body)


@rfc("6376", "6.1.3")
def test_the_body_is_wanted_as_long_as_a_result_depends_on_it():
    """Statement 82: the order is free, so a milter may skip the body."""
    header, body, _ = material.split(sign(SIGNED, OTHER, selector=Selector.parse("s2")))
    verification = Verification(header, now=NOW)
    assert verification.wants_body
    verification.answer("s2._domainkey.example.com.", found(ED.record()))
    assert verification.wants_body
    verification.answer(QUERY, found(OTHER.record()))
    assert not verification.wants_body
    verification.feed(body)
    causes = [result.cause for result in verification.finish()]
    assert causes == [Cause.SIGNATURE, Cause.SIGNATURE]
    assert not Verification(Header(b"From: a"), now=NOW).wants_body


@rfc("6376", "3.7")
def test_signatures_share_their_body_hashes():
    both = sign(SIGNED, RSA)
    results = verify(both, RSA.record(), ED.record())
    assert results.passed
    usage = results.usage
    assert (usage.signatures, usage.evaluated, usage.queries) == (2, 2, 1)
    assert usage.body_hashes == 1


@rfc("6376", "8.4")
@rfc("6376", "6.1")
@pytest.mark.parametrize("number", [6, 3000])
def test_more_signatures_than_allowed_are_not_evaluated(number):
    """Statements 104, 169: counted before any work."""
    results = verify(b"DKIM-Signature: x\r\n" * (number - 1) + SIGNED, ED.record())
    assert len(results) == 6
    assert results[5].cause is Cause.LIMIT_EXCEEDED
    assert results[5].position == 5
    assert not results.passed
    assert (results.usage.signatures, results.usage.evaluated) == (number, 5)
    more = verify(b"DKIM-Signature: x\r\n" * 5 + SIGNED, ED.record(), policy=limited(signatures=6))
    assert more.passed


@rfc("6376", "8.4")
def test_more_queries_than_allowed_are_not_asked():
    """Statement 165."""
    both = sign(SIGNED, ED, selector=Selector.parse("s2"))
    results = verify(sign(both, ED), ED.record(), policy=limited(queries=1))
    assert [result.cause for result in results] == [None, Cause.LIMIT_EXCEEDED, None]
    assert results.usage.queries == 1


@rfc("6376", "8.9")
@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        ({"signature_octets": 400}, None),
        ({"signature_octets": 100}, Cause.LIMIT_EXCEEDED),
        ({"signed_fields": 3}, None),
        ({"signed_fields": 2}, Cause.LIMIT_EXCEEDED),
        ({"body_octets": 17}, None),
        ({"body_octets": 16}, Cause.LIMIT_EXCEEDED),
        ({"header_octets": 100}, Cause.LIMIT_EXCEEDED),
    ],
)
def test_what_a_message_may_cost_is_limited(limits, refused):
    """Statements 16, 101, 168."""
    policy = limited(**limits)
    assert cause(sign_by_hand(MESSAGE, ED), ED.record(), policy=policy) is refused


def test_an_unsigned_message_with_too_large_a_header_is_told():
    (result,) = verify(b"From: " + b"x" * 300_000 + b"\r\n\r\n")
    assert (result.cause, result.signature) == (Cause.LIMIT_EXCEEDED, None)


@pytest.mark.parametrize("answer", [found(OTHER.record()), material.NO_RECORD, found(ED.record())])
def test_the_body_limit_gives_the_same_result_whenever_the_answer_comes(answer):
    header, body, _ = material.split(SIGNED)
    causes = set()
    for early in (True, False):
        verification = Verification(header, now=NOW, policy=limited(body_octets=3))
        if early:
            verification.answer(QUERY, answer)
        verification.feed(body)
        verification.answer(QUERY, answer)
        (result,) = verification.finish()
        causes.add(result.cause)
    assert len(causes) == 1
    assert None not in causes


def test_a_body_over_the_limit_is_not_wanted_any_more():
    header, body, _ = material.split(SIGNED)
    verification = Verification(header, now=NOW, policy=limited(body_octets=3))
    verification.feed(body)
    assert not verification.wants_body


@rfc("8616", "5")
@pytest.mark.parametrize("domain", ["b\u00fccher.example", "xn--bcher-kva.example"])
def test_a_domain_in_u_labels_is_hashed_as_written_and_asked_for_in_a_labels(domain):
    """Statements 131, 132, 133, 134."""
    message = "From: \u00fc@b\u00fccher.example\r\n\r\n".encode()
    changes = {b"d": domain.encode(), b"i": "\u00fc@B\u00fccher.example".encode()}
    signed = sign_by_hand(message, ED, changes=changes)
    answers = {"s1._domainkey.xn--bcher-kva.example.": found(ED.record())}
    (result,) = verify(signed, answers=answers)
    assert result.passed
    assert str(result.signature.domain) == domain


@rfc("6376", "8.9")
@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b"\x00",
        b"DKIM-Signature:",
        b"DKIM-Signature:\r\n\r\n",
        b" DKIM-Signature: x\r\n",
        b"DKIM-Signature\r\n\r\n",
        b"DKIM-Signature: v=1; i=\r\n\r\n",
        b"DKIM-Signature: " + b"a=b;" * 3000,
        b"\xff" * 50,
        b"From a\r\nDKIM-Signature: \xff\r\n\r\n",
    ],
)
def test_whatever_stands_there_nothing_raises_and_nothing_passes(message):
    """Statements 16, 60, 168."""
    results = verify(message, ED.record())
    assert not results.passed
    assert all(result.cause is not None for result in results)


def test_the_order_of_calls_is_kept():
    verification = Verification(Header(b"From: a"), now=NOW)
    assert verification.finish() == ()
    with pytest.raises(StateError, match="feed"):
        verification.feed(b"")
    with pytest.raises(StateError, match="twice"):
        verification.finish()


def test_a_record_that_was_used_is_told_also_when_it_failed():
    """Statement 49."""
    (result,) = verify(SIGNED, OTHER.record())
    assert result.key_record == KeyRecord.parse(OTHER.record())


def several(*selectors, key=ED):
    """A message with one signature for each selector, the first on top."""
    message = MESSAGE
    for selector in reversed(selectors):
        message = sign(message, key, selector=Selector.parse(selector))
    return message


@rfc("6376", "6.1")
def test_who_has_reasons_may_choose_the_signatures():
    """In an order of their own; results stand in that of the message."""
    header, body, _ = material.split(several("a", "b", "c", "d"))
    policy = limited(signatures=1)
    verification = Verification(header, now=NOW, policy=policy, positions=(3, 1))
    assert verification.queries == ("d._domainkey.example.com.", "b._domainkey.example.com.")
    for name in verification.queries:
        verification.answer(name, found(ED.record()))
    verification.feed(body)
    results = verification.finish()
    assert [(one.position, one.passed) for one in results] == [(1, True), (3, True)]
    assert (results.usage.signatures, results.usage.evaluated) == (4, 2)


def test_nothing_may_be_chosen():
    header, _, _ = material.split(several("a"))
    verification = Verification(header, now=NOW, positions=())
    assert not verification.wants_body
    assert verification.finish() == ()


def test_what_is_not_there_cannot_be_chosen():
    header, _, _ = material.split(several("a"))
    with pytest.raises(IndexError):
        Verification(header, now=NOW, positions=(1,))


@rfc("6376", "8.2")
def test_a_result_tells_how_long_the_body_is():
    """So that a reader can judge what l= leaves out."""
    signed = sign(MESSAGE, ED, profile=SigningProfile(body_length=True)) + b"more\r\n"
    (result,) = verify(signed, ED.record(), policy=VerifyPolicy(allow_body_length=True))
    assert (result.body_signed, result.body_octets) == (17, 23)
    (result,) = verify(SIGNED, answer=material.NO_RECORD)
    assert result.body_octets is None
