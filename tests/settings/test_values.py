"""Values: what each kind takes, what it refuses, and in which words."""

from __future__ import annotations

import pytest

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.settings import Action, KeyTrust, LogFormat
from dkimcore.settings.fields import HEADER_CAP, READERS
from dkimcore.settings.values import Place, boolean, integer
from dkimcore.settings.words import canonicalizations, minimum, mode, name_servers, rate, umask

SIMPLE, RELAXED = Canonicalization.SIMPLE, Canonicalization.RELAXED


@pytest.mark.parametrize("text", ["t", "T", "y", "Y", "1", "true", "yesterday", "10", "on", "ON"])
def test_yes(text):
    assert boolean(text)


@pytest.mark.parametrize("text", ["f", "F", "n", "N", "0", "false", "nope", "01", "off", "Off"])
def test_no(text):
    assert not boolean(text)


@pytest.mark.parametrize("text", ["", "o", "onward", "offer", "2", "-1", "\udcff", "ja"])
def test_neither_yes_nor_no(text):
    with pytest.raises(ValueError, match="write yes or no"):
        boolean(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("7", 7), ("007", 7), ("022", 18), ("0x1f", 31), ("0X1F", 31), ("+5", 5)),
        *(("-1", -1), ("-010", -8), ("2147483647", 2**31 - 1), ("00", 0)),
    ],
)
def test_integers_are_those_of_strtol(text, number):
    assert integer(text) == number


@pytest.mark.parametrize(
    "text", ["", "08", "0x", "0xg", "1k", "1 2", "--1", "1.0", "٣", "0b1", "x"]
)
def test_no_integers(text):
    with pytest.raises(ValueError, match="is not an integer"):
        integer(text)


@pytest.mark.parametrize("text", ["2147483648", "-2147483648", "9" * 100_000, "0" * 5000 + "1"])
def test_integers_beyond_31_bits(text):
    with pytest.raises(ValueError, match="too large") as error:
        integer(text)
    assert len(str(error.value)) < 150


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("signing.lifetime", "0", None),
        ("signing.lifetime", "604800", 604_800),
        ("signing.maximum_signed_bytes", "-1", None),
        ("signing.maximum_signed_bytes", "0", 0),
        ("signing.algorithm", "RSA-SHA256", Algorithm.RSA_SHA256),
        ("signing.algorithm", "ed25519-sha256", Algorithm.ED25519_SHA256),
        ("verifying.clock_drift", "0", 300),
        ("verifying.minimum_key_bits", "0", 1024),
        ("verifying.minimum_key_bits", "2048", 2048),
        ("verifying.maximum_header_octets", "0", HEADER_CAP),
        ("verifying.maximum_header_octets", "65536", 65_536),
        ("verifying.maximum_signatures", "0", 0),
        ("verifying.unprotected_key", "Neutral", KeyTrust.NEUTRAL),
        ("resolving.timeout", "0", 0),
        ("logging.facility", "LOCAL3", "local3"),
        ("logging.facility", "security", "auth"),
        ("logging.format", "json", LogFormat.JSON),
        *(("actions.security", a[0], Action(a)) for a in Action),
        *(("actions.security", a.upper(), Action(a)) for a in Action),
        ("process.umask", "022", 0o22),
        ("limits.memory", "0", 0),
        ("limits.memory", "16", 16),
        ("limits.queries", "1", 1),
    ],
)
def test_what_a_text_means_for_a_field(field, text, value):
    assert READERS[field].from_text(text, Place()) == value


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("signing.algorithm", "rsa-sha1", "RFC 8301 forbids it.* write rsa-sha256"),
        ("signing.algorithm", "x", "one of: rsa-sha256, ed25519-sha256"),
        ("signing.lifetime", "-1", "-1 is not possible: it must be at least 0"),
        ("signing.maximum_signed_bytes", "-2", "at least 0; -1 means all"),
        ("verifying.minimum_key_bits", "512", "at least 1024; RFC 8301"),
        ("verifying.minimum_key_bits", "8193", "at most 8192; RFC 8301"),
        ("verifying.unprotected_key", "maybe", "one of: none, neutral, fail"),
        ("logging.facility", "local8", "one of: auth, authpriv, .*local7"),
        ("actions.security", "rej", "one of: accept, discard, quarantine, reject, tempfail$"),
        ("resolving.message_timeout", "0", "at least 1"),
        ("process.workers", "1025", "at most 1024"),
        ("limits.header_fields", "9", "at least 10; a usual message has 20 to 60 fields"),
        ("limits.recipients", "99", "at least 100; RFC 5321"),
        ("limits.queries", "0", "at least 1"),
        ("limits.queries", "1001", "at most 1000"),
        ("limits.connections", "0", "at least 1"),
        ("limits.connections", "60001", "at most 60000; add workers instead"),
        ("limits.threads", "0", "at least 1"),
        ("limits.threads", "1025", "at most 1024"),
        ("limits.memory", "15", "at least 16; it is in MiB, and 0 means no limit"),
        ("limits.memory", "2000000", "at most 1048576; it is in MiB"),
    ],
)
def test_what_a_field_refuses(field, text, problem):
    with pytest.raises(ValueError, match=problem):
        READERS[field].from_text(text, Place())


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("simple", (SIMPLE, SIMPLE)),
        ("relaxed", (RELAXED, SIMPLE)),
        ("Relaxed/RELAXED", (RELAXED, RELAXED)),
        ("simple/relaxed", (SIMPLE, RELAXED)),
    ],
)
def test_canonicalizations(text, pair):
    assert canonicalizations(text) == pair


@pytest.mark.parametrize("text", ["", "/", "relaxed/", "/simple", "nofws", "a/b", "simple/simple/"])
def test_unknown_canonicalizations(text):
    with pytest.raises(ValueError, match="write simple or relaxed"):
        canonicalizations(text)


@pytest.mark.parametrize(
    ("text", "pair"), [("s", (True, False)), ("v", (False, True)), ("vs", (True, True))]
)
def test_modes(text, pair):
    assert mode(text) == pair


@pytest.mark.parametrize("text", ["S", "s v", "svx"])
def test_unknown_modes(text):
    with pytest.raises(ValueError, match="write s, v or sv"):
        mode(text)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        *(("10/1h", (10, 3600)), ("5/30", (5, 30)), ("1/90S", (1, 90)), ("2/3m", (2, 180))),
        *(("0/1d", (0, 86_400)),),
    ],
)
def test_rates(text, pair):
    assert rate(text) == pair


@pytest.mark.parametrize(
    "text", ["", "10", "10/", "/1h", "10/0h", "10/1w", "a/b", "10/1h ", "-1/2"]
)
def test_no_rates(text):
    with pytest.raises(ValueError, match="such as 10/1h"):
        rate(text)


@pytest.mark.parametrize("text", ["0", "1000", "50%", "100%", "1000+"])
def test_minimum(text):
    assert minimum(text) == text


@pytest.mark.parametrize("text", ["", "x", "5%x", "+", "%", "-1", "1" * 11])
def test_no_minimum(text):
    with pytest.raises(ValueError, match="not an amount"):
        minimum(text)


def test_a_minimum_beyond_all():
    with pytest.raises(ValueError, match="at most 100%"):
        minimum("101%")


@pytest.mark.parametrize("text", ["-1", "01000", "512"])
def test_impossible_umasks(text):
    with pytest.raises(ValueError, match="from 000 to 0777"):
        umask(text)


def test_name_servers():
    assert name_servers("192.0.2.1, 2001:db8::1,") == ("192.0.2.1", "2001:db8::1")
    with_ports = ("192.0.2.1:5353", "[2001:db8::1]:53", "[2001:db8::1]")
    assert name_servers(", ".join(with_ports)) == with_ports
    for text in ("ns.example.com", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1 192.0.2.2"):
        with pytest.raises(ValueError, match="not an IP address; write one"):
            name_servers(text)
    with pytest.raises(ValueError, match="no address"):
        name_servers(",")
