"""Invariant 8: doubling a hostile input less than trebles the work."""

import base64

import pytest

from dkimcore.errors import SettingsError
from dkimcore.protocol import authres, keyrecord
from dkimcore.protocol.canonical import Canonicalization, PythonBodyCanonicalizer
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.message import Header, MessageReader, to_crlf
from dkimcore.protocol.names import DomainName
from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy
from dkimcore.protocol.result import Cause, SignatureResult, Status, Unusable
from dkimcore.protocol.sign import SignatureRequest, Signing
from dkimcore.protocol.signature import Signature
from dkimcore.protocol.taglist import decode_quoted_printable, parse_tag_list, without_value
from dkimcore.protocol.verify import Verification
from tests.lineartime import is_linear
from tests.protocol import material
from tests.protocol.material import NOW, found

pytestmark = pytest.mark.alone

NO_LIMITS = VerifyPolicy(
    allow_body_length=True,
    limits=Limits(
        header_octets=1 << 30,
        signatures=1 << 30,
        signature_octets=1 << 30,
        signed_fields=1 << 30,
        queries=1 << 30,
        key_records=1 << 30,
    ),
)


def test_a_quadratic_function_is_noticed():
    def quadratic(octets):
        for _ in range(len(octets) // 16):
            octets.count(b"x")

    assert not is_linear(lambda size: b" " * size, quadratic)
    assert is_linear(lambda size: b" " * size, lambda octets: [octets.count(b"x")] * 9)


def body(canonicalization, chunk=None):
    def work(octets):
        canonicalizer = PythonBodyCanonicalizer(canonicalization, len)
        size = chunk or len(octets)
        for start in range(0, len(octets), size):
            canonicalizer.feed(octets[start : start + size])
        canonicalizer.finish()

    return work


def signature_parse(value):
    try:
        Signature.parse(value)
    except Unusable:
        return


def record_parse(octets):
    keyrecord._parse.cache_clear()
    try:
        KeyRecord.parse(octets)
    except Unusable:
        return


def verification(message):
    reader = MessageReader(max_header_octets=NO_LIMITS.limits.header_octets)
    rest = reader.feed(message)
    judged = Verification(reader.finish(), now=NOW, policy=NO_LIMITS)
    for name in judged.queries:
        judged.answer(name, found(material.ed25519().record()))
    judged.feed(rest)
    authres.render("mx.example.net", judged.finish())


def signing(message):
    header, octets, _ = material.split(message, limits=NO_LIMITS.limits)
    request = SignatureRequest(
        domain=material.DOMAIN,
        selector=material.SELECTOR,
        algorithm=material.ed25519().algorithm,
        profile=SigningProfile(copied_fields=True),
    )
    prepared = Signing(header, [request], now=NOW)
    prepared.feed(octets)
    prepared.finish()


def octet_by_octet(message):
    reader = MessageReader(max_header_octets=1 << 30)
    for octet in message:
        reader.feed(bytes((octet,)))
    reader.finish()


def forged(value):
    authres.forged_positions(Header(value), "mx.example.net")


def tag_list(octets):
    try:
        parse_tag_list(octets, Cause.SIGNATURE_SYNTAX_ERROR)
    except Unusable:
        return


def quoted_printable(octets):
    try:
        decode_quoted_printable(octets, Cause.SIGNATURE_SYNTAX_ERROR)
    except Unusable:
        return


def domain_name(text):
    try:
        DomainName.parse(text)
    except SettingsError:
        return


SIGNATURE = b"DKIM-Signature: " + (
    b"v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=s%d; h=%b;"
    b" bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=%b\r\n"
)
END = b"From: a\r\n\r\n"


def repeated(piece, before=b"", after=b""):
    return lambda size: before + piece * size + after


def signatures_alike(size):
    """Results of five signatures that differ in their last octet."""
    fields = [
        SIGNATURE % (1, b"from", base64.b64encode(bytes(size) + bytes([last]))) for last in range(5)
    ]
    return [
        SignatureResult(
            status=Status.FAIL,
            cause=Cause.SIGNATURE,
            detail="",
            position=position,
            signature=Signature.parse(field.strip().partition(b":")[2]),
        )
        for position, field in enumerate(fields)
    ]


BODIES = {
    "spaces": b" ",
    "tabs": b"\t",
    "empty lines": b"\r\n",
    "lines of white space": b" \t\r\n",
    "bare CR": b"\r",
    "bare LF": b"\n",
    "LF CR": b"\n\r",
    "CR CR LF": b"\r\r\n",
    "space CR": b" \r",
    "double-spaced words": b"a  b   c    d\t\te \r\n",
    "one long line": b"abcdefgh",
    "lines": b"abcdefgh\r\n",
}
rfc = pytest.mark.rfc


@rfc("6376", "3.4.4")
@pytest.mark.parametrize("chunk", [None, 1, 4096])
@pytest.mark.parametrize("piece", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("canonicalization", list(Canonicalization))
def test_bodies(canonicalization, piece, chunk):
    """Statement 70."""
    assert is_linear(repeated(piece), body(canonicalization, chunk))
    if chunk is None:  # the white space may turn out not to be at the end
        assert is_linear(repeated(piece, after=b"x"), body(canonicalization))


HEADERS = {
    "fields": repeated(b"To: x\r\n", after=END),
    "fields of different names": lambda size: (
        b"".join(b"X-%d: y\r\n" % number for number in range(size)) + END
    ),
    "lines without a colon": repeated(b"nonsense\r\n", after=END),
    "folds": repeated(b"\r\n x", b"To:", b"\r\n" + END),
    "empty folds": repeated(b"\r\n \t", b"To:", b"\r\n" + END),
    "spaces in a field": repeated(b" ", b"To: a", b"b\r\n" + END),
    "spaces before a colon": repeated(b" ", b"To", b": b\r\n" + END),
    "colons": repeated(b":", b"To", b"\r\n" + END),
    "a long name": repeated(b"x", after=b": y\r\n" + END),
    "bare line ends": repeated(b"a\n\r", b"To: ", b"\r\n" + END),
    "From fields": repeated(b"From: x\r\n", after=END),
    "no end": repeated(b"x"),
    "DKIM-Signature fields": repeated(b"DKIM-Signature: x\r\n", after=END),
    "signatures of one domain": repeated(SIGNATURE % (1, b"from", b"AAAA"), after=END),
    "signatures that ask for other names": lambda size: (
        b"".join(SIGNATURE % (number, b"from", b"AAAA") for number in range(size)) + END
    ),
    "names in h=": lambda size: SIGNATURE % (1, b"to:" * size + b"from", b"AAAA") + END,
    "different names in h=": lambda size: (
        SIGNATURE % (1, b"".join(b"x%d:" % n for n in range(size)) + b"from", b"AAAA") + END
    ),
    "names in h= with their fields": lambda size: (
        SIGNATURE % (1, b"to:" * size + b"from", b"AAAA") + b"To: x\r\n" * size + END
    ),
    "base64 in b=": lambda size: SIGNATURE % (1, b"from", b"AAAA" * size) + END,
    "base64 in b= with white space": lambda size: (
        SIGNATURE % (1, b"from", b"A A\r\n A A" * size) + END
    ),
}


@rfc("6376", "8.4")
@rfc("6376", "8.9")
@pytest.mark.parametrize("make", HEADERS.values(), ids=HEADERS)
def test_messages_verified(make):
    """Statements 70, 168: all limits set aside."""
    assert is_linear(make, verification)


@pytest.mark.parametrize("name", ["fields", "no end", "bare line ends", "empty folds"])
def test_messages_read_octet_by_octet(name):
    """Statement 69."""
    assert is_linear(HEADERS[name], octet_by_octet)


SIGNABLE = {
    "fields": repeated(b"To: x\r\n", after=END),
    "folds": repeated(b"\r\n x", b"To:", b"\r\n" + END),
    "copied octets": repeated(b"\xff", b"To: ", b"\r\n" + END),
    "a long body": repeated(b"a \r\n", END),
}


@pytest.mark.parametrize("make", SIGNABLE.values(), ids=SIGNABLE)
def test_messages_signed(make):
    assert is_linear(make, signing)


@pytest.mark.parametrize("piece", [b"\n", b"\r", b"\r\n", b"a\n"])
def test_line_ends_converted(piece):
    assert is_linear(repeated(piece), to_crlf)


NEEDED = b"v=1; a=rsa-sha256; d=example.com; s=s1; h=from; bh=%b; b=AAAA; " % base64.b64encode(
    bytes(32)
)
VALUES = {
    "tags": lambda size: NEEDED + b"".join(b"t%d=x;" % number for number in range(size)),
    "semicolons": repeated(b";", NEEDED),
    "equals signs": repeated(b"=", NEEDED + b"n="),
    "folds between tags": repeated(b"\r\n ", NEEDED),
    "folds in a value": repeated(b"a\r\n ", NEEDED + b"n="),
    "broken folds": repeated(b"\r\n", NEEDED + b"n=a", b" "),
    "digits in l=": repeated(b"9", NEEDED + b"l="),
    "digits in x=": repeated(b"9", NEEDED + b"x="),
    "octets in i=": repeated(b"=41", NEEDED + b"i=", b"@example.com"),
    "at signs in i=": repeated(b"@", NEEDED + b"i=", b"example.com"),
    "labels in i=": repeated(b"a.", NEEDED + b"i=@", b"example.com"),
    "colons in q=": repeated(b"x:", NEEDED + b"q=", b"dns/txt"),
    "spaces in h=": repeated(b" ", NEEDED.replace(b"h=from", b"h=from:"), b"to"),
    "octets in z=": repeated(b"=41|", NEEDED + b"z="),
    "UTF-8": repeated("\u00fc".encode(), NEEDED + b"n="),
}


@rfc("6376", "3.2")
@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_signatures_parsed(make):
    """Statements 16, 168."""
    assert is_linear(make, signature_parse)
    assert is_linear(make, tag_list)
    assert is_linear(make, lambda octets: without_value(octets, b"zz"))


@rfc("6376", "8.8")
@pytest.mark.parametrize(
    "make",
    [
        repeated(b" ", b"p=", b"AAAA"),
        repeated(b"AAAA", b"p="),
        repeated(b"x:", b"h=", b"sha256; p="),
        repeated(b"y:", b"t=", b"s; p="),
    ],
)
def test_key_records_parsed(make):
    """Statement 101: the limit on their size set aside, too."""

    def work(octets):
        tag_list(octets)
        record_parse(octets)

    assert is_linear(make, work)


@rfc("6376", "2.11")
@pytest.mark.parametrize("piece", [b"=41", b"=", b"a ", b"=4", b"\xff", b"=\r\n 41"])
def test_quoted_printable_decoded(piece):
    assert is_linear(repeated(piece), quoted_printable)


@rfc("8616", "5")
@pytest.mark.parametrize("label", ["\u00fc.", "a.", "\u00fc", "a", "\u200d", ".", "xn--a."])
def test_names_parsed(label):
    """A name's length is bounded before any table is asked."""
    assert is_linear(lambda size: label * size + "example", domain_name)


@rfc("8601", "5")
@pytest.mark.parametrize(
    "piece",
    [
        *(b"(", b"()", b"(\\))", b"(a", b" ", b"\r\n ", b'"', b'"\\"', b"\\", b"x", b"/", b"."),
        *(b" . ", b"x .", b'"x"', b'" .(', b"\x01", b"\xff", b"a b", b"=?"),
    ],
)
def test_forged_results_found(piece):
    """Statement 145."""
    name = b"Authentication-Results: "
    assert is_linear(repeated(piece, name, b" mx.example.net; none"), forged)
    assert is_linear(repeated(piece, name + b'"'), forged)
    assert is_linear(repeated(piece, name + b"mx."), forged)
    assert is_linear(repeated(name + piece + b"\r\n"), forged)


@rfc("6008", "3")
def test_results_printed_of_signatures_that_begin_alike():
    """Statement 139."""
    assert is_linear(signatures_alike, lambda results: authres.render("mx.example.net", results))
