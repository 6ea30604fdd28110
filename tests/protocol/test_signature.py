"""The DKIM-Signature field (RFC 6376 sections 3.5 and 6.1.1)."""

import base64
import dataclasses
import re

import pytest

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.result import Cause, Unusable
from dkimcore.protocol.signature import INFINITE, Signature, append_signature_data

rfc = pytest.mark.rfc
SIMPLE, RELAXED = Canonicalization.SIMPLE, Canonicalization.RELAXED
HASH = base64.b64encode(bytes(range(32)))
SYNTAX = Cause.SIGNATURE_SYNTAX_ERROR
NEEDED = {
    b"v": b"1",
    b"a": b"rsa-sha256",
    b"d": b"example.com",
    b"s": b"s1",
    b"h": b"From:To",
    b"bh": HASH,
    b"b": b"AQID",
}


def value(**changes):
    """The body of a field; tags given as None are left away."""
    tags = {**NEEDED, **{name.encode(): text for name, text in changes.items()}}
    return b"; ".join(name + b"=" + text for name, text in tags.items() if text is not None)


def parse(**changes):
    return Signature.parse(value(**changes))


def cause(**changes):
    with pytest.raises(Unusable) as caught:
        parse(**changes)
    return caught.value.cause


@rfc("6376", "3.5")
def test_what_is_not_said_has_a_default():
    """Statements 20, 25, 36, 41."""
    assert parse() == Signature(
        algorithm=Algorithm.RSA_SHA256,
        domain=DomainName.parse("example.com"),
        selector=Selector.parse("s1"),
        signed_fields=(b"from", b"to"),
        body_hash=bytes(range(32)),
        signature_data=b"\x01\x02\x03",
    )
    assert parse().auid_domain == DomainName.parse("example.com")
    assert Signature.parse(value(v=None) + b"; v=1") == parse()


@rfc("6376", "3.5")
def test_the_field_of_the_rfc():
    """The example of section 3.5, with hashes of the right length."""
    found = Signature.parse(
        b" v=1; a=rsa-sha256; d=example.net; s=brisbane;\r\n"
        b"   c=simple; q=dns/txt; i=@eng.example.net;\r\n"
        b"   t=1117574938; x=1118006938;\r\n"
        b"   h=from:to:subject:date;\r\n"
        b"   z=From:foo@eng.example.net|To:joe@example.com|\r\n"
        b"     Subject:demo=20run|Date:July=205,=202005=203:44:08=20PM=20-0700;\r\n"
        b"   bh=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=;\r\n"
        b"   b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZ\r\n"
        b"            VoG4ZHRNiYzR"
    )
    assert found.signed_fields == (b"from", b"to", b"subject", b"date")
    assert found.body_hash == b"12345678901234567890123456789012"
    assert (found.timestamp, found.expiration) == (1117574938, 1118006938)
    assert found.auid == Auid.parse("@eng.example.net")
    assert found.auid_domain.ascii == "eng.example.net"
    assert len(found.signature_data) == 48
    assert found.copied_fields.startswith(b"From:foo@eng.example.net|To:")


@rfc("6376", "3.6.2.1")
@rfc("8616", "5")
@pytest.mark.parametrize(
    ("domain", "selector", "name"),
    [
        (b"example.com", b"s1", "s1._domainkey.example.com."),
        (b"Example.COM", b"A.b", "a.b._domainkey.example.com."),
        (
            "b\u00fccher.example".encode(),
            "\u00fc".encode(),
            "xn--tda._domainkey.xn--bcher-kva.example.",
        ),
    ],
)
def test_the_key_is_asked_for_under_selector_and_domain(domain, selector, name):
    """Statements 84, 132; the text itself is kept (133)."""
    found = parse(d=domain, s=selector)
    assert found.key_query == name
    assert found.domain.text.encode() == domain


@rfc("6376", "6.1.1")
@pytest.mark.parametrize("name", NEEDED)
def test_a_required_tag_must_be_there(name):
    """Statements 9, 18: and in lower case."""
    assert cause(**{name.decode(): None}) is Cause.MISSING_REQUIRED_TAG
    upper = {name.decode(): None, name.decode().upper(): NEEDED[name]}
    assert cause(**upper) is Cause.MISSING_REQUIRED_TAG


@rfc("6376", "6.1.1")
@pytest.mark.parametrize("version", [b"0.5", b"2", b"1.0", b"01", b"", b"1 1", b"DKIM1"])
def test_the_version_is_1(version):
    """Statement 19."""
    assert cause(v=version) is Cause.INCOMPATIBLE_VERSION


@rfc("6376", "3.2")
@pytest.mark.parametrize("octets", [b"", b"v=1;;", b"v=1; v=1", b"v", b"\x00", b"v=1; b=\xff"])
def test_a_malformed_list_is_a_syntax_error(octets):
    """Statements 5, 6, 8, 13."""
    with pytest.raises(Unusable) as caught:
        Signature.parse(octets)
    assert caught.value.cause is SYNTAX


@rfc("6376", "3.3")
@rfc("8463", "3")
@rfc("8301", "3.1")
@pytest.mark.parametrize("name", ["rsa-sha256", "ed25519-sha256"])
def test_these_algorithms_are_known(name):
    """Statement 21."""
    assert parse(a=name.encode()).algorithm == name


def test_the_historic_algorithm_is_recognised():
    """Statement 73: so that it can be refused by its name."""
    sha1 = parse(a=b"rsa-sha1", bh=base64.b64encode(bytes(20)))
    assert sha1.algorithm.is_historic


@rfc("6376", "3.3")
@pytest.mark.parametrize(
    "name", [b"", b"rsa", b"RSA-SHA256", b"rsa-sha512", b"rsa - sha256", b"\xc3\xa4"]
)
def test_other_algorithms_are_unsupported(name):
    """Statements 3, 11, 12, 21."""
    assert cause(a=name) is Cause.UNSUPPORTED_ALGORITHM


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    ("text", "header", "body"),
    [
        (None, SIMPLE, SIMPLE),
        (b"simple", SIMPLE, SIMPLE),
        (b"relaxed", RELAXED, SIMPLE),
        (b"simple/simple", SIMPLE, SIMPLE),
        (b"simple/relaxed", SIMPLE, RELAXED),
        (b"relaxed/simple", RELAXED, SIMPLE),
        (b"relaxed/relaxed", RELAXED, RELAXED),
    ],
)
def test_canonicalizations(text, header, body):
    """Statement 25."""
    found = parse(c=text)
    assert (found.header_canonicalization, found.body_canonicalization) == (header, body)


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"/",
        b"relaxed/",
        b"/relaxed",
        b"a/b/c",
        b"relaxed/relaxed/x",
        b"relaxed / simple",
        b"nofws",
        b"Relaxed",
    ],
)
def test_other_canonicalizations_are_unsupported(text):
    """Statements 11, 12, 26."""
    assert cause(c=text) is Cause.UNSUPPORTED_CANONICALIZATION


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"example",
        b"example.com.",
        b"ex ample.com",
        b"../..",
        b"a@b.c",
        b"[192.0.2.1]",
        b"a..b",
        b"-a.b",
        b"a" * 64 + b".b",
    ],
)
def test_d_is_a_domain_name(text):
    """Statements 27, 29."""
    assert cause(d=text) is SYNTAX


@rfc("6376", "3.1")
@pytest.mark.parametrize("text", [b"", b".", b"s1.", b"a..b", b"s 1", b"s/1", "\u2603".encode()])
def test_s_is_labels(text):
    """Statement 42."""
    assert cause(s=text) is SYNTAX


@rfc("1035", "2.3.4")
def test_the_name_of_the_key_record_fits_in_the_dns():
    """Statement 29: 253 octets, counted as A-labels."""
    domain = b".".join([b"a" * 60] * 3)
    assert len(parse(d=domain, s=b"a" * 59).key_query) == 254
    assert cause(d=domain, s=b"a" * 60) is SYNTAX


@rfc("6376", "3.5")
@rfc("6376", "2.10")
@pytest.mark.parametrize("name", ["b", "bh"])
def test_white_space_in_base64_is_ignored(name):
    """Statement 22."""
    text = b" ".join(bytes([octet]) for octet in NEEDED[name.encode()])
    assert parse(**{name: text.replace(b" ", b"\r\n\t", 2)}) == parse()


@rfc("6376", "2.10")
@rfc("4648", "4")
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"AQI",
        b"AQID=",
        b"AQ==AQ==",
        b"AQID!",
        b"A-_D",
        b"=",
        b"AQI=AQID",
        b"AQID==",
        b"AQID====",
        b"AQI==",
    ],
)
@pytest.mark.parametrize("name", ["b", "bh"])
def test_base64_is_strict(name, text):
    """Statements 11, 23, 24."""
    assert cause(**{name: text}) is SYNTAX


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    ("algorithm", "size"),
    [
        (b"rsa-sha256", 20),
        (b"rsa-sha256", 31),
        (b"rsa-sha256", 33),
        (b"rsa-sha1", 32),
        (b"ed25519-sha256", 64),
    ],
)
def test_the_body_hash_has_the_length_of_its_hash(algorithm, size):
    """Statement 24: neither a prefix nor an extension can pass."""
    assert cause(a=algorithm, bh=base64.b64encode(bytes(size))) is SYNTAX


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"from", (b"from",)),
        (b"FROM:To:to", (b"from", b"to", b"to")),
        (b"from :\r\n to\t: x-!~9", (b"from", b"to", b"x-!~9")),
        (b"from:dkim-signature", (b"from", b"dkim-signature")),
    ],
)
def test_h_is_names_in_order(text, names):
    """Statements 31, 33."""
    assert tuple(name.lower() for name in parse(h=text).signed_fields) == names


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    "text",
    [b"", b":", b"from:", b":from", b"from::to", b"fr om", b"from:t o", "from:\u00fc".encode()],
)
def test_h_has_no_empty_or_impossible_name(text):
    """Statement 31."""
    assert cause(h=text) is SYNTAX


@rfc("6376", "3.5")
@rfc("6376", "5.4")
@rfc("6376", "6.1.1")
@pytest.mark.parametrize("text", [b"to", b"x-from:to", b"fromage", b"sender:reply-to"])
def test_from_must_be_signed(text):
    """Statement 32."""
    assert cause(h=text) is Cause.FROM_NOT_SIGNED


@rfc("6376", "2.6")
@rfc("6376", "2.11")
@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        (b"@example.com", b"", "example.com"),
        (b"a@Example.COM", b"a", "Example.COM"),
        (b"a@mail.example.com", b"a", "mail.example.com"),
        (b"a=20b=3B@example.com", b"a b;", "example.com"),
        (b"a=40b@example.com", b"a@b", "example.com"),
        (b"a=40example.com", b"a", "example.com"),
        (b"a b\r\n @ example.com", b"ab", "example.com"),
        (b'"a@b"@example.com', b'"a@b"', "example.com"),
        (b"=FF=00@example.com", b"\xff\x00", "example.com"),
        ("\u00fc@example.com".encode(), "\u00fc".encode(), "example.com"),
    ],
)
def test_i_is_within_d(text, local_part, domain):
    """Statements 28, 36, 37."""
    auid = parse(i=text).auid
    assert (auid.local_part, auid.domain.text) == (local_part, domain)


@rfc("8616", "5")
def test_i_and_d_are_compared_as_a_labels():
    """Statement 134."""
    found = parse(d="b\u00fccher.example".encode(), i=b"@mail.xn--bcher-kva.example")
    assert found.auid_domain.ascii == "mail.xn--bcher-kva.example"


@rfc("6376", "6.1.1")
@pytest.mark.parametrize(
    "text", [b"@example.net", b"@ample.com", b"@badexample.com", b"a@example.com.evil.net"]
)
def test_i_outside_of_d_is_a_mismatch(text):
    """Statement 36."""
    assert cause(i=text) is Cause.DOMAIN_MISMATCH


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"example.com",
        b"a@",
        b"@",
        b"@example",
        b"a=@example.com",
        b"=4a@example.com",
        b"a@=FF.example.com",
    ],
)
def test_a_malformed_i_is_a_syntax_error(text):
    """Statements 11, 36, 37: without an exception."""
    assert cause(i=text) is SYNTAX


@rfc("6376", "3.5")
@pytest.mark.parametrize("number", [0, 1, 2**64, 10**76 - 1])
def test_l_is_any_number(number):
    """Statement 38: of up to 76 digits, and none wraps."""
    assert parse(l=b"%d" % number).body_length == number
    assert parse(l=b"00%d" % (number % 10)).body_length == number % 10


NO_NUMBERS = [
    b"",
    b"-1",
    b"+5",
    b"0x5",
    b"5_0",
    b"1.0",
    b"1 2",
    b"1e3",
    "\u0661".encode(),
    "\u00b2".encode(),
    b"abc",
]


@rfc("6376", "3.5")
@pytest.mark.parametrize("text", [*NO_NUMBERS, b"9" * 77])
def test_a_malformed_l_is_a_syntax_error(text):
    """Statements 38, 172."""
    assert cause(l=text) is SYNTAX


@rfc("6376", "3.5")
@pytest.mark.parametrize("name", ["t", "x"])
@pytest.mark.parametrize("text", NO_NUMBERS)
def test_a_malformed_time_is_a_syntax_error(name, text):
    """Statements 43, 172."""
    assert cause(**{name: text}) is SYNTAX


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"0", 0),
        (b"2147483648", 2**31),
        (b"4294967296", 2**32),
        (b"9" * 12, 10**12 - 1),
        (b"9" * 13, INFINITE),
        (b"1" * 9000, INFINITE),
    ],
)
def test_times_do_not_overflow(text, seconds):
    """Statements 43, 44: over 12 digits mean never."""
    assert parse(t=text).timestamp == seconds
    assert parse(x=text).expiration == seconds


@rfc("6376", "3.5")
@pytest.mark.parametrize(("timestamp", "expiration"), [(b"5", b"5"), (b"5", b"4"), (b"10", b"9")])
def test_x_is_later_than_t(timestamp, expiration):
    """Statement 46."""
    assert cause(t=timestamp, x=expiration) is SYNTAX
    assert parse(t=b"8", x=b"10").expiration == 10


@rfc("6376", "3.5")
@pytest.mark.parametrize("text", [b"dns/txt", b"dns/txt:x", b"x : dns/txt", b"a:\r\n dns/txt:b"])
def test_a_known_query_method_is_enough(text):
    """Statement 41."""
    assert parse(q=text) == parse()


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    "text", [b"", b"dns / txt", b"dns/txt:", b":dns/txt", b"dns/txt::x", b"dns/", b"1/txt", b"a-"]
)
def test_what_is_no_list_of_query_methods_is_malformed(text):
    """Statements 11, 41."""
    assert cause(q=text) is Cause.SIGNATURE_SYNTAX_ERROR


@rfc("6376", "3.5")
@pytest.mark.parametrize("text", [b"dns", b"dns/xml", b"DNS/TXT", b"x:y"])
def test_no_known_query_method_is_unsupported(text):
    """Statements 11, 41."""
    assert cause(q=text) is Cause.UNSUPPORTED_QUERY_METHOD


@rfc("6376", "3.5")
@pytest.mark.parametrize("text", [b"From:a|To:b", b"", b"=ZZ", b"|||", b"From:=00"])
def test_z_is_kept_and_means_nothing(text):
    """Statement 48."""
    assert parse(z=text).copied_fields == text


@rfc("6376", "3.2")
def test_unknown_tags_mean_nothing():
    """Statements 10, 15."""
    assert Signature.parse(value() + b"; zz=b=AAAA; xb=1; r=y") == parse()


SIGNATURE = Signature(
    algorithm=Algorithm.ED25519_SHA256,
    domain=DomainName.parse("example.com"),
    selector=Selector.parse("s1"),
    signed_fields=(b"from", b"to"),
    body_hash=bytes(32),
    signature_data=bytes(64),
    header_canonicalization=RELAXED,
)
LONG = DomainName.parse("a" * 60 + "." + "b" * 60 + ".example")


@rfc("6376", "3.5")
@rfc("5322", "2.1.1")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"signature_data": bytes(256), "body_canonicalization": RELAXED},
        {"timestamp": 0, "expiration": 10**12 - 1, "body_length": 0},
        {"timestamp": 1},
        {"auid": Auid.parse("a b;=|\u00fc@mail.example.com")},
        {"auid": Auid(b"\xff@", DomainName.parse("example.com"))},
        {"domain": LONG, "selector": Selector.parse("c" * 60)},
        {"domain": DomainName.parse("b\u00fccher.example"), "selector": Selector.parse("\u00fc")},
        {"signed_fields": (b"from",)},
        {"signed_fields": (b"from", *(b"x-%d" % number for number in range(150)))},
    ],
)
def test_a_printed_signature_is_parsed_again(changes):
    """Statements 120, 124, 126, 133: folded where white space means nothing."""
    signature = dataclasses.replace(SIGNATURE, **changes)
    printed = signature.print()
    name, _, body = printed.partition(b":")
    assert name == b"DKIM-Signature"
    again = Signature.parse(body)
    assert again == signature
    assert (again.domain.text, again.selector.text) == (
        signature.domain.text,
        signature.selector.text,
    )
    assert signature.print() == printed
    for line in printed.split(b"\r\n"):
        assert len(line) <= 78 or b" " not in line.strip()
    assert all(line[:1] == b"\t" for line in printed.split(b"\r\n")[1:])


@rfc("6376", "3.5")
@rfc("6376", "2.11")
@pytest.mark.parametrize(
    "copied", [b"", b"From:a|To:b", b"Subject:" + b"=3D" * 200, "x:\u00fc\u4f8b".encode() * 99]
)
def test_printed_copied_fields_are_folded_but_not_changed(copied):
    """Statement 48: no fold inside =XX, nor inside a character of UTF-8."""
    printed = dataclasses.replace(SIGNATURE, copied_fields=copied).print()
    assert all(len(line) <= 998 for line in printed.split(b"\r\n"))
    for line in printed.split(b"\r\n"):
        line.decode("utf-8")
        assert not re.search(rb"=[0-9A-F]?\Z", line.partition(b"z=")[2])
    again = Signature.parse(printed.partition(b":")[2])
    assert re.sub(rb"\s", b"", again.copied_fields) == copied


@rfc("6376", "3.7")
@rfc("6376", "5.5")
def test_signature_data_are_put_behind_what_was_hashed():
    """Statement 120."""
    unsigned = dataclasses.replace(SIGNATURE, signature_data=b"").print()
    assert unsigned.endswith(b"b=")
    complete = append_signature_data(unsigned, bytes(64))
    assert complete == SIGNATURE.print()
    assert complete.startswith(unsigned)


def test_no_signature_data_are_shown():
    assert "signature_data" not in repr(SIGNATURE)


def test_a_signature_may_be_read_without_being_judged():
    assert Signature.read(b"nonsense") is None
    field = Signature(
        algorithm=Algorithm.RSA_SHA256,
        domain=DomainName.parse("example.com"),
        selector=Selector.parse("s1"),
        signed_fields=(b"from",),
        body_hash=bytes(32),
        signature_data=b"x",
    ).print()
    read = Signature.read(field.partition(b":")[2])
    assert read is not None
    assert str(read.domain) == "example.com"
