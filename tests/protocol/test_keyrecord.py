"""Key records (RFC 6376 sections 3.6.1 and 6.1.2)."""

import base64

import pytest

from dkimcore.protocol.algorithm import Algorithm, KeyType
from dkimcore.protocol.keyrecord import KeyRecord, TxtAnswer, TxtStatus
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.result import Cause, Unusable
from dkimcore.protocol.signature import Signature
from tests.protocol import material

rfc = pytest.mark.rfc
RSA = material.rsa().record().partition(b"p=")[2]
ED = material.ed25519().record().partition(b"p=")[2]


def refusal(octets):
    with pytest.raises(Unusable) as caught:
        KeyRecord.parse(octets)
    return caught.value.cause


def signature(algorithm=Algorithm.RSA_SHA256, auid=None):
    return Signature(
        algorithm=algorithm,
        domain=DomainName.parse("example.com"),
        selector=Selector.parse("s1"),
        signed_fields=(b"from",),
        body_hash=bytes(32),
        auid=None if auid is None else Auid.parse(auid),
    )


def cause(octets, **changes):
    """Why a record may not be used, or None."""
    found = KeyRecord.parse(octets).refusal(signature(**changes))
    return None if found is None else found[0]


@rfc("6376", "3.6.1")
def test_everything_but_the_key_has_a_default():
    """Statements 89, 91."""
    record = KeyRecord.parse(b"p=" + RSA)
    assert record == KeyRecord(public_key=material.rsa().public_key)
    assert record.key_type is KeyType.RSA
    assert record.hash_algorithms is None
    assert record.service_types == ("*",)
    assert (record.flags, record.notes) == ((), "")
    assert not record.is_revoked
    assert (record.is_testing, record.is_strict) == (False, False)


@rfc("6376", "3.6.1")
@rfc("8463", "4.2")
def test_a_record_with_every_tag():
    """Statements 93, 94, 95, 97, 98."""
    record = KeyRecord.parse(
        b"v=DKIM1; h=sha1 : sha256; k=ed25519; n=a = b; s=email:\r\n other;"
        b" t=y : s:x; g=; zz=1; p=" + ED + b";"
    )
    assert record == KeyRecord(
        public_key=material.ed25519().public_key,
        key_type=KeyType.ED25519,
        hash_algorithms=("sha1", "sha256"),
        service_types=("email", "other"),
        flags=("y", "s", "x"),
        notes="a = b",
    )
    assert record.is_testing
    assert record.is_strict


@rfc("6376", "3.6.1")
@pytest.mark.parametrize("empty", [b"p=", b"p= \t", b"v=DKIM1; p=;", b"k=ed25519; p="])
def test_an_empty_key_is_revoked(empty):
    """Statement 89."""
    assert KeyRecord.parse(empty).is_revoked
    assert KeyRecord.parse(empty).public_key is None


@rfc("6376", "3.6.1")
@pytest.mark.parametrize(
    "octets",
    [
        b"v=DKIM1 ; p=%b" % RSA,
        b" v = DKIM1;p=%b" % RSA,
        b"k=rsa; p=%b" % RSA,
        b"p=%b; k=rsa" % RSA,
    ],
)
def test_the_version_comes_first_or_not_at_all(octets):
    """Statement 88."""
    assert KeyRecord.parse(octets).public_key == material.rsa().public_key


@rfc("6376", "3.6.1")
@pytest.mark.parametrize(
    "octets",
    [
        b"p=%b; v=DKIM1" % RSA,
        b"k=rsa; v=DKIM1; p=%b" % RSA,
        b"v=dkim1; p=%b" % RSA,
        b"v=DKIM2; p=%b" % RSA,
        b"v=; p=%b" % RSA,
        b"v=DKIM1",
        b"v=spf1 -all",
        b"prose",
        b"",
        b"p=%b; p=%b" % (RSA, RSA),
        b"P=%b" % RSA,
        b"v=DKIM1\\; p=%b" % RSA,
        b'"v=DKIM1; p=%b"' % RSA,
        b"p=\x00",
        b"p=%b; n=\xff" % RSA,
    ],
)
def test_what_is_no_key_record_is_refused(octets):
    """Statements 13, 88, 89, 99, 100, 102."""
    assert refusal(octets) is Cause.KEY_SYNTAX_ERROR


@rfc("6376", "3.6.1")
@pytest.mark.parametrize("kind", [b"", b"x", b"RSA", b"rsa ed25519", b"dsa", b"\xc3\xa4"])
def test_an_unknown_key_type_is_refused(kind):
    """Statements 11, 12, 91."""
    assert refusal(b"k=" + kind + b"; p=" + RSA) is Cause.INAPPROPRIATE_KEY_ALGORITHM


@rfc("6376", "3.6.1")
def test_white_space_in_a_key_is_ignored():
    """Statement 90."""
    spaced = b" ".join(RSA[start : start + 7] for start in range(0, len(RSA), 7))
    folded = spaced.replace(b" ", b"\r\n\t", 3)
    assert KeyRecord.parse(b"p= " + folded + b" ;").public_key == material.rsa().public_key


@rfc("6376", "3.6.1")
@rfc("4648", "4")
@pytest.mark.parametrize(
    "text",
    [
        ED + b"A",
        ED + b"=",
        ED[:-1],
        ED[:20] + b"=" + ED[20:],
        ED.replace(b"/", b"_"),
        b"=",
        b"*",
        b"\xc3\xa4",
    ],
)
def test_a_key_is_strict_base64(text):
    """Statement 90: no junk, no padding too little or too much, no other alphabet."""
    if text == ED:
        text = text[:-2] + b"-="  # this key happens to have no "/"
    assert refusal(b"k=ed25519; p=" + text) is Cause.KEY_SYNTAX_ERROR


@rfc("6376", "8.8")
@rfc("6376", "8.13")
@pytest.mark.parametrize("octets", [b"p=" + b"A" * 4100, b"n=" + b"x" * 60_000 + b"; p="])
def test_a_record_of_unreasonable_size_is_refused(octets):
    """Statements 101, 169: before anything is decoded."""
    assert refusal(octets) is Cause.LIMIT_EXCEEDED


@rfc("6376", "6.1.2")
@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (b"", None),
        (b"h=sha256; ", None),
        (b"h=sha1 : sha256; ", None),
        (b"h=x:sha256; ", None),
        (b"h=sha1; ", Cause.INAPPROPRIATE_HASH_ALGORITHM),
        (b"h=; ", Cause.INAPPROPRIATE_HASH_ALGORITHM),
        (b"h=sha-256; ", Cause.INAPPROPRIATE_HASH_ALGORITHM),
        (b"h=sha2561; ", Cause.INAPPROPRIATE_HASH_ALGORITHM),
        (b"s=*; ", None),
        (b"s=email; ", None),
        (b"s=other : email; ", None),
        (b"s=other:*; ", None),
        (b"s=other; ", Cause.INAPPROPRIATE_SERVICE_TYPE),
        (b"s=; ", Cause.INAPPROPRIATE_SERVICE_TYPE),
        (b"s=emails; ", Cause.INAPPROPRIATE_SERVICE_TYPE),
        (b"t=y; ", None),
        (b"t=s; ", None),
        (b"g=nobody; ", None),
    ],
)
def test_a_record_says_what_it_may_be_used_for(tags, expected):
    """Statements 93, 94, 96, 97, 176."""
    assert cause(tags + b"p=" + RSA) is expected


@rfc("6376", "6.1.2")
def test_a_revoked_key_verifies_nothing():
    """Statement 89."""
    assert cause(b"p=") is Cause.KEY_REVOKED


@rfc("6376", "6.1.2")
@rfc("8463", "4")
def test_the_key_type_must_fit_the_algorithm():
    """Statement 91."""
    wrong = Cause.INAPPROPRIATE_KEY_ALGORITHM
    assert cause(b"p=" + RSA, algorithm=Algorithm.ED25519_SHA256) is wrong
    assert cause(b"k=ed25519; p=" + ED) is wrong
    assert cause(b"k=ed25519; p=" + ED, algorithm=Algorithm.ED25519_SHA256) is None


@rfc("6376", "3.6.1")
@pytest.mark.parametrize("flags", [b"s", b"y:s", b"y : s", b"x:s\r\n :y"])
@pytest.mark.parametrize(
    ("auid", "expected"),
    [
        (None, None),
        ("@example.com", None),
        ("a@EXAMPLE.com", None),
        ("a@mail.example.com", Cause.DOMAIN_MISMATCH),
    ],
)
def test_a_strict_key_forbids_subdomains(flags, auid, expected):
    """Statement 95."""
    record = b"t=" + flags + b"; p=" + RSA
    assert cause(record, auid=auid) is expected
    assert cause(b"t=S; p=" + RSA, auid=auid) is None


@rfc("6376", "3.6.1")
@pytest.mark.parametrize(
    "record",
    [
        KeyRecord(public_key=None),
        KeyRecord(public_key=material.rsa().public_key),
        KeyRecord(
            public_key=material.ed25519().public_key,
            key_type=KeyType.ED25519,
            hash_algorithms=("sha256",),
            service_types=("email", "x"),
            flags=("s", "y"),
            notes="caf\u00e9 =",
        ),
    ],
)
def test_a_printed_record_is_parsed_again(record):
    """Statement 88: v= comes first."""
    printed = record.print()
    assert printed.startswith(b"v=DKIM1; ")
    assert KeyRecord.parse(printed) == record


def test_names_beyond_ascii_survive_printing():
    record = KeyRecord.parse("h=\u00fc; s=\u00fc; t=\u00fc; p=".encode())
    assert KeyRecord.parse(record.print()) == record


@rfc("6376", "3.6.2.2")
def test_a_published_key_is_what_the_rfc_calls_it():
    """Statement 84: base64 in one piece; whoever publishes it divides it into strings."""
    printed = KeyRecord(public_key=material.rsa().public_key).print()
    encoded = base64.b64encode(material.rsa().public_key.encode())
    assert printed == b"v=DKIM1; k=rsa; p=" + encoded


def test_an_answer_holds_nothing_unless_told():
    answer = TxtAnswer(TxtStatus.NO_RECORD)
    assert (answer.records, answer.authentic, answer.detail) == ((), False, "")


@pytest.mark.parametrize(
    "records", [b"a", bytearray(b"a"), "a", [b"a"], ["a"], (memoryview(b"a"),), iter([b"a"])]
)
def test_an_answer_takes_what_resolvers_of_others_hand_over(records):
    assert TxtAnswer(TxtStatus.FOUND, records).records == (b"a",)
