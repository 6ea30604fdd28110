"""Authentication-Results (RFC 8601): ours cannot be misread, forged ones are found."""

import re

import pytest

from dkimcore.errors import SettingsError
from dkimcore.protocol.authres import (
    Words,
    claimed_authserv_id,
    default_words,
    forged_positions,
    render,
)
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.message import Header
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.result import Cause, SignatureResult, Status
from dkimcore.protocol.signature import Signature
from tests.protocol import material

rfc = pytest.mark.rfc
HOST = "mx.example.net"
RSA_RECORD = KeyRecord(public_key=material.rsa().public_key)


def signature(data=b"\x01" * 64, *, domain="example.com", selector="s1", auid=None):
    return Signature(
        algorithm=material.rsa().algorithm,
        domain=DomainName.parse(domain),
        selector=Selector.parse(selector),
        signed_fields=(b"from",),
        body_hash=bytes(32),
        signature_data=data,
        auid=auid,
    )


def result(status=Status.PASS, cause=None, **changes):
    standard = {"status": status, "cause": cause, "detail": "", "position": 0}
    return SignatureResult(**{**standard, "signature": signature(), **changes})


def printed(*results, host=HOST):
    """The field unfolded, as one line."""
    return render(host, results).raw.decode().replace("\r\n", "")


@rfc("8601", "2.2")
@rfc("8601", "2.7.1")
def test_an_unsigned_message_is_none():
    """Statements 137, 146."""
    assert render(HOST, ()).raw == b"Authentication-Results: mx.example.net;\r\n\tdkim=none"


@rfc("8601", "2.3")
@rfc("8601", "2.7.1")
def test_a_pass_tells_what_passed():
    """Statements 138, 139."""
    line = printed(result(key_record=RSA_RECORD))
    assert line.split() == [
        "Authentication-Results:",
        "mx.example.net;",
        "dkim=pass",
        "(2048-bit",
        "key)",
        "header.d=example.com",
        "header.i=@example.com",
        "header.a=rsa-sha256",
        "header.s=s1",
        "header.b=AQEBAQEB",
    ]


@rfc("8601", "2.2")
def test_what_a_person_may_want_to_know_stands_in_a_comment():
    """Statement 140."""
    assert "(2048-bit key, DNSSEC, testing)" in printed(
        result(key_record=RSA_RECORD, authentic=True, testing=True)
    )


@rfc("8601", "2.2")
@rfc("6376", "6.1")
@pytest.mark.parametrize("cause", Cause)
def test_a_failure_tells_its_reason(cause):
    """Statements 140, 141: in a quoted-string."""
    line = printed(result(cause.status, cause, key_record=RSA_RECORD))
    assert f'dkim={cause.status} reason="{cause.phrase}"' in re.sub(r"\s+", " ", line)
    assert "2048-bit" not in line


def test_a_signature_that_could_not_be_parsed_has_no_properties():
    """Statement 138."""
    line = printed(result(Status.PERMERROR, Cause.SIGNATURE_SYNTAX_ERROR, signature=None))
    assert line.endswith('dkim=permerror reason="signature syntax error"')


@rfc("8601", "2.2")
@rfc("8601", "2.7.1")
def test_each_signature_has_its_own_result():
    """Statement 140."""
    results = (result(), result(Status.FAIL, Cause.BODY_HASH, signature=signature(b"\x02" * 64)))
    parts = printed(*results).split(";")
    assert [part.split()[0] for part in parts[1:]] == ["dkim=pass", "dkim=fail"]


@rfc("6008", "3")
def test_as_much_of_b_is_printed_as_tells_signatures_apart():
    """Statement 139."""
    alike = [signature(b"\x01" * 9 + bytes([last])) for last in (1, 2, 3)]
    lines = printed(*(result(signature=one) for one in alike))
    shown = re.findall(r'header\.b="?([^\s;"]+)', lines)
    assert len(set(shown)) == 3
    assert all(len(text) == 14 for text in shown)
    again = printed(result(), result(signature=signature()))
    assert len(re.findall("header.b=AQEBAQEB(?![A-Za-z])", again)) == 2


def test_long_signatures_that_begin_alike_are_not_printed_whole():
    """Statement 70: five of 16 KiB, which differ in their last octets."""
    alike = [result(signature=signature(bytes(12_000) + bytes([last]))) for last in range(5)]
    assert len(render(HOST, alike).raw) < 2000


INJECTIONS = [
    b'x"; dkim=pass header.d=bank.example',
    b"x; dkim=pass",
    b"x\r\nAuthentication-Results: mx.example.net; dkim=pass",
    b"x\r\n\r\nbody",
    b"x\n\tdkim=pass",
    b"x\\",
    b'\\"; dkim=pass ("',
    b"(; dkim=pass)",
    b"\x00; dkim=pass",
    b"\xff; dkim=pass",
    "x\u2028; dkim=pass\u0085".encode(),
    b"x y",
    b'"',
    b"",
]


@rfc("8601", "2.2")
@rfc("8601", "7.1")
@pytest.mark.parametrize("local_part", INJECTIONS)
def test_an_auid_cannot_bring_in_a_result(local_part):
    """Statement 141: CVE-2020-12272 was one that could."""
    auid = Auid(local_part, DomainName.parse("example.com"))
    raw = render(HOST, [result(signature=signature(auid=auid))]).raw.decode()
    assert all(line.startswith("\t") for line in raw.split("\r\n")[1:])
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028]", raw.replace("\r\n", ""))
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', raw)
    assert bare.count("dkim=") == 1
    assert bare.count(";") == 1
    assert '"' not in bare.replace('""', "")


@rfc("8601", "2.2")
@rfc("2045", "5.1")
@pytest.mark.parametrize(
    ("local_part", "value"),
    [
        (b"", "@example.com"),
        (b"alice", "alice@example.com"),
        (b"a.b+c", "a.b+c@example.com"),
        (b"a/b", '"a/b@example.com"'),
        (b'a"b\\', '"a\\"b\\\\@example.com"'),
        (b"a\r\nb", '"a??b@example.com"'),
    ],
)
def test_a_property_is_a_token_or_an_address_or_quoted(local_part, value):
    """Statement 139."""
    auid = Auid(local_part, DomainName.parse("example.com"))
    assert f"header.i={value} header.a" in re.sub(
        r"\s+", " ", printed(result(signature=signature(auid=auid)))
    )


@rfc("8601", "2.2")
@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        ("example.com", False),
        ("xn--bcher-kva.example", False),
        ("b\u00fccher.example", True),
    ],
)
def test_utf_8_of_an_auid_stands_in_internationalised_messages_alone(domain, shown):
    """Statement 144: nothing 8-bit is added to a message that has none."""
    name = DomainName.parse(domain)
    made = signature(domain=domain, auid=Auid("\u00fc".encode(), name))
    field = render("mx.example.net", [result(signature=made)])
    assert ("\u00fc@" in field.raw.decode()) is shown
    assert field.raw.isascii() is not shown


@rfc("8601", "2.2")
def test_base64_is_quoted_where_it_is_no_token():
    """Statement 139: "/" and "=" are not for tokens."""
    assert 'header.b="////////"' in printed(result(signature=signature(b"\xff" * 64)))
    assert 'header.b="AQ=="' in printed(result(signature=signature(b"\x01")))


@rfc("5322", "2.1.1")
@pytest.mark.parametrize("octets", [100, 2000, 12_000])
def test_no_line_is_longer_than_mail_allows(octets):
    """Statement 120 for this field: whatever the message brought, at most 998 octets."""
    auid = Auid(b"x" * octets, DomainName.parse("example.com"))
    alike = [signature(bytes(octets) + bytes([last]), auid=auid) for last in (1, 2)]
    raw = render(HOST, [result(signature=one) for one in alike]).raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@rfc("5322", "2.1.1")
@rfc("8616", "6")
def test_long_names_in_u_labels_fit_too():
    domain = ".".join(["\u4f8b" * 18] * 4)
    raw = render(HOST, [result(signature=signature(domain=domain))]).raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@rfc("5322", "2.1.1")
def test_the_field_is_folded():
    raw = render(HOST, [result(key_record=RSA_RECORD), result(Status.FAIL, Cause.SIGNATURE)]).raw
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))


@rfc("8601", "2.5")
@pytest.mark.parametrize("host", ["", "mx\r\nX: y", "mx\n", "mx\x00"])
def test_an_authserv_id_is_printable(host):
    """Statement 137."""
    with pytest.raises(SettingsError, match="authserv-id"):
        render(host, ())


@rfc("8601", "2.5")
def test_an_authserv_id_is_quoted_where_it_must_be():
    """Statement 137."""
    assert render("my host", ()).raw.startswith(b'Authentication-Results: "my host";')
    assert claimed_authserv_id(render("my host", ()).value) == "my host"


OURS = [
    b" mx.example.net; dkim=pass",
    b"mx.example.net;none",
    b" MX.Example.NET; none",
    b" mx.example.net.; none",
    b" mx.example.net 1; none",
    b" mx.example.net/1; none",
    b" mx.example.net\t; none",
    b" mx.example.net(comment); none",
    b" mx.example.net",
    b' "mx.example.net"; none',
    b' "MX.example.net."; none',
    b' "mx\\.example.net"; none',
    b' "mx.example.net" 1 ; none',
    b" (a comment) mx.example.net; none",
    b" (a (nested \\) one)) (b)\r\n\tmx.example.net; none",
    b"\r\n mx.example.net;\r\n none",
    b"\r\n\t\r\n mx.example.net; none",
    b" mx.example.net 2; none",
    b' mx.example.net"x"; none',
]


@rfc("8601", "5")
@rfc("8601", "7.1")
@pytest.mark.parametrize("value", OURS)
def test_a_field_that_claims_to_be_ours_is_forged(value):
    """Statements 142, 145: whatever it is dressed up in."""
    assert claimed_authserv_id(value) == HOST
    header = Header(b"Authentication-Results:" + value)
    for host in (HOST, "MX.EXAMPLE.NET", "mx.example.net."):
        assert forged_positions(header, host) == (0,)


DRESSED_UP = [
    b" mx .example.net",
    b" mx\r\n .example.net",
    b" mx . example . net",
    b" mx.example\t. net/1",
    b" (c) mx. example.net 1",
    b" mx (a). example.net",
    b" mx.example.(x)net",
    b" mx.ex(x)ample.net 1",
    b" mx.\r\n example.net",
    b" mx.example.net .evil",
    b' "mx".example.net',
    b' mx."example.net"',
    b' "mx." "example.net" 1',
    b' "mx.example.net;"',
    b' "mx.example.net (x"',
    b" m\\x.example.net",
    b" \\mx.example.net/1",
    b" mx\x0b.example.net",
    b" m\x01x.example.net 2",
    b" mx.example.net\x7f",
    b" mx.example.net\xff",
    b" \xc2\xa0mx.example.net",
    b" mx.exam\xe2\x80\x8bple.net",
    b" <mx.example.net>",
    b" mx.example.net, x",
    b" mx.example.net:25",
    b" mx.example.net (x",
    b' mx(.example.net "',
    b" /mx.example.net",
]


@rfc("8601", "5")
@pytest.mark.parametrize("claimed", DRESSED_UP)
def test_a_name_that_a_reader_may_put_together_is_forged(claimed):
    """OpenDKIM and OpenDMARC join tokens at dots; others drop what has no place in a name."""
    header = Header(b"Authentication-Results:" + claimed + b"; dkim=pass")
    assert forged_positions(header, HOST) == (0,)
    assert forged_positions(header, HOST, only_dkim=True) == (0,)
    assert forged_positions(header, "example.net") == ()
    assert forged_positions(header, "other.example", also=lambda name: name == HOST) == (0,)


@rfc("8601", "5")
@pytest.mark.parametrize("claimed", [b"my host", b"my+host", b"'my host'", b'"my host" 1'])
def test_a_name_of_ours_may_be_odd_itself(claimed):
    header = Header(b"Authentication-Results:" + claimed + b"; dkim=pass")
    assert forged_positions(header, "my host") == (0,)
    assert forged_positions(header, "my") == (0,)
    assert forged_positions(header, "your host") == ()


@rfc("8601", "5")
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b" ;",
        b" ; dkim=pass",
        b" (never ends mx.other; none",
        b' "mx.other; none',
        b' "\\"',
        b" (",
        b" (\\)",
        b" \x0bmx.other; none",
    ],
)
def test_a_field_that_cannot_be_read_is_not_trusted(value):
    """Statement 145: a more generous reader might believe it."""
    assert claimed_authserv_id(value) is None
    assert forged_positions(Header(b"Authentication-Results:" + value), HOST) == (0,)


@rfc("8601", "5")
@pytest.mark.parametrize(
    "value",
    [
        b" mx.example.com; dkim=pass",
        b" notmx.example.net; none",
        b" mx.example.net.evil; none",
        b" (mx.example.net) mx.example.org; none",
        b" mx.example.org (mx.example.net); none",
        b' "mx.example.org"; mx.example.net',
        b" mx.example.net.evil.org; dkim=pass",
        b" mail.mx.example.net; dkim=pass",
        b" mx.example.net-evil; dkim=pass",
        b" mx.example.net1; dkim=pass",
        b" mx/y.example.net; dkim=pass",
        b" mx.example.org (mx.example.net; dkim=pass",
        b' mx.example.org "mx.example.net; dkim=pass',
        b" spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=mx.example.net; dkim=pass",
        b" 1; mx.example.net; dkim=pass",
    ],
)
def test_the_fields_of_others_stay(value):
    """Statement 142."""
    assert forged_positions(Header(b"Authentication-Results:" + value), HOST) == ()


@rfc("8601", "5")
@rfc("8616", "6")
@pytest.mark.parametrize("host", ["mx.b\u00fccher.example", "mx.xn--bcher-kva.example"])
@pytest.mark.parametrize(
    "claimed", ["mx.b\u00fccher.example", "mx.xn--bcher-kva.example", "MX.B\u00dcCHER.example"]
)
def test_u_labels_and_a_labels_are_the_same_name(host, claimed):
    """Statements 142, 144."""
    header = Header(f"Authentication-Results: {claimed}; none".encode())
    assert forged_positions(header, host) == (0,)


@rfc("8601", "5")
@rfc("8601", "4.1")
def test_forged_fields_are_named_from_the_bottom_up():
    """Statement 142: so that deleting one does not move the others (CVE-2022-48521)."""
    header = Header(
        b"Authentication-Results: mx.example.net; dkim=pass\r\n"
        b"From: a\r\n"
        b"AUTHENTICATION-results : mx.example.net; none\r\n"
        b"Authentication-Results: other.example; none\r\n"
        b"X-Authentication-Results: mx.example.net; none\r\n"
        b"authentication-results:(x)MX.example.net; none"
    )
    assert forged_positions(header, HOST) == (5, 2, 0)


@rfc("8601", "5")
@pytest.mark.parametrize(
    "value", [b" \xff; none", b" !; none", b" ...; none", b" =?utf-8?q?mx.example.net?=; none"]
)
def test_a_name_that_is_not_certain_is_not_trusted(value):
    """Of one that is no text, or is encoded, nobody knows what a reader makes of it."""
    assert claimed_authserv_id(value) is not None
    assert forged_positions(Header(b"Authentication-Results:" + value), HOST) == (0,)


PIECES = [b"(a)", b'"\\a" ', b"a . ", b"(", b"\\", b" ", b"x"]


@rfc("8601", "5")
@pytest.mark.parametrize("piece", PIECES)
def test_a_name_that_does_not_end_soon_is_not_trusted(piece):
    """It is not read to its end, which would take a second for a megabyte."""
    long = b" other.example " + piece * 10_000 + b"; dkim=pass\r\n"
    header = Header(
        b"Authentication-Results: other.example; dkim=pass\r\n"
        + b"Authentication-Results:"
        + long
        + b"Authentication-Results: third.example; dkim=pass"
    )
    assert forged_positions(header, HOST) == (2, 1)  # nothing is left to read for the third


@rfc("8601", "5")
@pytest.mark.parametrize("piece", PIECES)
def test_names_of_many_fields_are_read_up_to_a_limit(piece):
    field = b"Authentication-Results: other.example " + piece * (900 // len(piece))
    header = Header(b"\r\n".join([field + b"x); dkim=pass"] * 100))
    found = forged_positions(header, HOST)
    assert found[:90] == tuple(range(99, 9, -1))


@rfc("8601", "5")
@pytest.mark.parametrize("piece", [b"; x=y", b"; spf=pass (a)", b' "\\a"', b" a.b=c"])
def test_results_in_our_name_are_read_up_to_a_limit(piece):
    """Behind it may be one that is forged."""
    ours = b"Authentication-Results: mx.example.net; spf=pass"
    short, long = ours + piece * 50, ours + piece * 2000
    assert forged_positions(Header(short), HOST, only_dkim=True) == ()
    assert forged_positions(Header(long), HOST, only_dkim=True) == (0,)
    header = Header(b"\r\n".join([short] * 100))
    found = forged_positions(header, HOST, only_dkim=True)
    assert 0 not in found
    assert found[0] == 99
    other = b"Authentication-Results: other.example; spf=pass" + piece * 2000
    assert forged_positions(Header(other), HOST, only_dkim=True) == ()


@rfc("8601", "2.5")
def test_an_authserv_id_need_not_be_a_domain_name():
    header = Header(b"Authentication-Results: mailhost; dkim=pass")
    assert forged_positions(header, "Mailhost") == (0,)
    assert forged_positions(header, "other host") == ()


def line(**options):
    """The field for one result, unfolded and with single spaces."""
    raw = render(HOST, [result(key_record=RSA_RECORD)], **options).raw.decode()
    return " ".join(raw.split())


@rfc("8601", "2.2")
def test_results_may_be_told_in_other_words():
    """As a milter that keeps OpenDKIM's needs it (ADR 0013)."""
    told = Words(status=Status.NEUTRAL, reason="not evaluated", comment="a; note")
    assert 'dkim=neutral reason="not evaluated" (a; note) header.d' in line(words=lambda _: told)
    assert "dkim=neutral header.d" in line(words=lambda _: Words(status=Status.NEUTRAL))
    assert line(words=default_words) == line()


def test_a_reason_cannot_bring_in_a_result():
    told = Words(status=Status.FAIL, reason='x"; dkim=pass (\r\n\\')
    assert r'reason="x\"; dkim=pass (??\\" header.d' in line(words=lambda _: told)


@rfc("6008", "3")
def test_header_b_may_be_left_out():
    assert line(header_b=False) == line().rpartition(" header.b=")[0]


@pytest.mark.parametrize(
    ("job_id", "who"),
    [
        ("4Bq1", "mx.example.net/4Bq1;"),
        ("a.b-c_d", "mx.example.net/a.b-c_d;"),
        ("", "mx.example.net;"),
        ("(unknown-jobid)", "mx.example.net;"),
        ("x; dkim=pass", "mx.example.net;"),
        ("x" * 101, "mx.example.net;"),
        (None, "mx.example.net;"),
    ],
)
def test_a_queue_id_may_stand_behind_the_authserv_id(job_id, who):
    """AuthservIDWithJobID of OpenDKIM."""
    assert line(job_id=job_id).split()[1] == who
    header = Header(render(HOST, (), job_id=job_id).raw)
    assert forged_positions(header, HOST) == (0,)


def test_what_is_said_without_results_may_be_chosen():
    field = render(HOST, (), otherwise="dkim=permerror (no author)")
    assert field.raw.endswith(b";\r\n\tdkim=permerror (no author)")
    assert "permerror" not in line(otherwise="dkim=permerror")


def test_a_message_without_results_has_no_forged_ones():
    assert forged_positions(Header(b"From: a@example.com\r\n"), HOST) == ()


@rfc("8601", "5")
def test_only_dkim_results_may_be_looked_for():
    header = Header(
        b"Authentication-Results: mx.example.net; spf=pass\r\n"
        b"Authentication-Results: mx.example.net; dkim=pass\r\n"
        b"Authentication-Results: (never ends; spf=pass\r\n"
        b"Authentication-Results: other.example; dkim=pass"
    )
    assert forged_positions(header, HOST) == (2, 1, 0)
    assert forged_positions(header, HOST, only_dkim=True) == (2, 1)


@rfc("8601", "5")
def test_the_fields_of_others_may_be_looked_for():
    asked = []
    header = Header(
        b"Authentication-Results: Other.example.; spf=pass\r\n"
        b"Authentication-Results: mx.example.net; dkim=pass\r\n"
        b"Authentication-Results: third.example; dkim=pass"
    )

    def also(authserv_id):
        asked.append(authserv_id)
        return authserv_id == "other.example"

    assert forged_positions(header, HOST, also=also) == (1, 0)
    assert forged_positions(header, HOST, also=also, only_dkim=True) == (1,)
    assert set(asked) == {"other.example", "third.example"}
