"""Tag-lists and dkim-quoted-printable (RFC 6376 sections 3.2 and 2.11)."""

import pytest

from dkimcore.protocol.result import Cause, Unusable
from dkimcore.protocol.taglist import (
    decode_base64,
    decode_quoted_printable,
    encode_quoted_printable,
    parse_tag_list,
    remove_white_space,
    split_list,
    without_value,
)

rfc = pytest.mark.rfc
SYNTAX = Cause.SIGNATURE_SYNTAX_ERROR


def parse(octets):
    return parse_tag_list(octets, SYNTAX)


def refusal(octets):
    with pytest.raises(Unusable) as caught:
        parse(octets)
    assert caught.value.cause is SYNTAX
    return caught.value.detail


@rfc("6376", "3.2")
@pytest.mark.parametrize(
    ("octets", "tags"),
    [
        (b"a=1", {b"a": b"1"}),
        (b"a=1;b=2", {b"a": b"1", b"b": b"2"}),
        (b"a=1;b=2;", {b"a": b"1", b"b": b"2"}),
        (b"a=1; b=2; ", {b"a": b"1", b"b": b"2"}),
        (b"a=1;\r\n\t", {b"a": b"1"}),
        (b" a = 1 ;\r\n\tb\t=\r\n 2\r\n ", {b"a": b"1", b"b": b"2"}),
        (b"a= x  y ", {b"a": b"x  y"}),
        (b"a=x\r\n y", {b"a": b"x\r\n y"}),
        (b"a=", {b"a": b""}),
        (b"a==b=", {b"a": b"=b="}),
        (b"A=1;a=2", {b"A": b"1", b"a": b"2"}),
        (b"x_9=1;Zz=", {b"x_9": b"1", b"Zz": b""}),
        (b"unknown=b=abc;b=c", {b"unknown": b"b=abc", b"b": b"c"}),
    ],
)
def test_a_well_formed_list(octets, tags):
    """Statements 1, 2, 3, 7, 9, 10, 11, 15."""
    assert parse(octets) == tags
    assert list(parse(octets)) == list(tags)


@rfc("6376", "3.2")
@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"", "empty"),
        (b" ", "empty"),
        (b";", "empty"),
        (b"a=1;;b=2", "empty"),
        (b";a=1", "empty"),
        (b"a=1;;", "empty"),
        (b"a=1; ;", "empty"),
        (b"a", "no '='"),
        (b"a=1;b", "no '='"),
        (b"a b=1", "malformed"),
        (b"=1", "malformed"),
        (b"a-b=1", "malformed"),
        (b"1a=1", "malformed"),
        (b"_a=1", "malformed"),
        (b"\xc3\xa4=1", "malformed"),
    ],
)
def test_a_malformed_list(octets, problem):
    """Statements 4, 5, 6."""
    assert problem in refusal(octets)


@rfc("6376", "3.2")
@pytest.mark.parametrize("octets", [b"a=1;a=1", b"a=1;b=2;a=3", b"zz=1; zz=2"])
def test_a_duplicate_name_spoils_the_list(octets):
    """Statement 8: known or not, the same value or not."""
    assert "more than once" in refusal(octets)


@rfc("6376", "3.2")
@pytest.mark.parametrize(
    "value",
    [
        b"\x00",
        b"x\x01y",
        b"\x0b",
        b"\x0c",
        b"\x7f",
        b"x\ry",
        b"x\ny",
        b"x\r\ny",
        b"x\r\n\r\n y",
        b"\r",
    ],
)
def test_control_characters_and_bare_line_ends_spoil_the_list(value):
    """Statement 13."""
    assert "control character" in refusal(b"a=" + value + b"; b=2")


@rfc("8616", "5")
def test_utf_8_is_allowed_and_other_octets_are_not():
    """Statements 14, 135."""
    assert parse(b"a=\xc3\xa4") == {b"a": b"\xc3\xa4"}
    assert "UTF-8" in refusal(b"a=\xe4; b=2")


@rfc("6376", "3.7")
@pytest.mark.parametrize(
    ("octets", "without"),
    [
        (b"a=1; b=xyz; c=2", b"a=1; b=; c=2"),
        (b"a=1; b= x\r\n y ; c=2", b"a=1; b=; c=2"),
        (b"a=1; b \t= xyz", b"a=1; b \t="),
        (b"bb=1; xb=2;b=3;bh=4", b"bb=1; xb=2;b=;bh=4"),
        (b"n=b=1; b=2=", b"n=b=1; b="),
        (b"b=1;", b"b=;"),
        (b"a=1", b"a=1"),
    ],
)
def test_a_value_is_deleted_with_the_white_space_around_it(octets, without):
    """Statements 15, 57: nothing else changes."""
    assert without_value(octets, b"b") == without


@rfc("6376", "2.8")
def test_folding_white_space_is_removed_and_other_octets_stay():
    """Statements 22, 52."""
    assert remove_white_space(b" a\t\r\n b\x0b\x0c\xa0 ") == b"ab\x0b\x0c\xa0"


@rfc("6376", "2.10")
@rfc("4648", "4")
@pytest.mark.parametrize(
    ("encoded", "octets"),
    [
        (b"", b""),
        (b"AA==", b"\x00"),
        (b" A\r\n A=\t=", b"\x00"),
        (b"AQI=", b"\x01\x02"),
        (b"AQID", b"\x01\x02\x03"),
    ],
)
def test_base64_may_hold_white_space(encoded, octets):
    """Statement 22."""
    assert decode_base64(encoded, SYNTAX, tag="b=") == octets


@rfc("6376", "2.10")
@rfc("4648", "3.2")
@rfc("4648", "3.3")
@pytest.mark.parametrize(
    "encoded",
    [
        b"A",
        b"AA",
        b"AA=",
        b"AQID=",
        b"AQID==",
        b"AQID===",
        b"AQID====",
        b"AA==AA==",
        b"A-_A",
        b"=",
        b"AA\x0b==",
    ],
)
def test_base64_has_just_the_padding_it_needs(encoded):
    """Statements 23, 90."""
    with pytest.raises(Unusable, match="b="):
        decode_base64(encoded, SYNTAX, tag="b=")


@rfc("6376", "3.6.1")
def test_a_list_is_divided_at_colons():
    """Statements 93, 94, 95."""
    assert split_list(b"sha1 :\r\n sha256") == ("sha1", "sha256")
    assert split_list(b"") == ("",)
    assert split_list(b"a::\xc3\xa4") == ("a", "", "\u00e4")


@rfc("6376", "2.11")
@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        (b"", b""),
        (b"abc", b"abc"),
        (b"a=20b=3B=3D", b"a b;="),
        (b"a b\r\n\tc", b"abc"),
        (b"=41=\r\n 42", b"AB"),
        (b"=00=FF", b"\x00\xff"),
        (b"\xc3\xbc@", b"\xc3\xbc@"),
        (b"<>:!~", b"<>:!~"),
    ],
)
def test_quoted_printable_is_decoded(encoded, decoded):
    """Statements 37, 48."""
    assert decode_quoted_printable(encoded, SYNTAX) == decoded


@rfc("6376", "2.11")
@pytest.mark.parametrize("encoded", [b"=", b"a=4", b"=4a", b"=ag", b"=G0", b"==41", b"\x7f", b";"])
def test_malformed_quoted_printable_is_refused(encoded):
    """Statements 37, 48: hexadecimal digits are upper-case."""
    with pytest.raises(Unusable) as caught:
        decode_quoted_printable(encoded, SYNTAX)
    assert caught.value.cause is SYNTAX


@rfc("6376", "2.11")
@rfc("8616", "5")
@pytest.mark.parametrize(
    ("decoded", "also", "encoded"),
    [
        (b"abc<>:", b"", b"abc<>:"),
        (b"a b;=\t\r\n\x7f", b"", b"a=20b=3B=3D=09=0D=0A=7F"),
        (b"a|b", b"|", b"a=7Cb"),
        (b"a|b", b"", b"a|b"),
        ("\u00fc".encode(), b"", "\u00fc".encode()),
        (b"\xfc \xc3\xbc", b"", b"=FC=20=C3=BC"),
    ],
)
def test_quoted_printable_is_encoded(decoded, also, encoded):
    """Statements 124, 135."""
    assert encode_quoted_printable(decoded, also=also) == encoded
    assert decode_quoted_printable(encoded, SYNTAX) == decoded


@rfc("8616", "5")
def test_utf_8_is_encoded_where_the_message_is_not_internationalised():
    """Statement 135."""
    assert encode_quoted_printable("a\u00fc".encode(), keep_utf8=False) == b"a=C3=BC"
