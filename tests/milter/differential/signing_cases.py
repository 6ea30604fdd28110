"""Signing: what is in the DKIM-Signature field, and what happens to odd messages."""

from __future__ import annotations

from dataclasses import replace

from .messages import PLAIN, arriving, message, signed
from .model import EXTERNAL, INTERNAL, Probe, Setting

__all__ = ["SETTINGS"]

ONE = "Domain example.com\nSelector s1\nKeyFile {folder}/rsa2048.pem\n"
KEY = "Canonicalization relaxed/simple\nOverSignHeaders From\n" + ONE
RICH = message(
    *(b"Received: from a by b; now", b"Return-Path: <a@example.com>", b"Keywords: one"),
    *(b"X-Foo: 1", b"Reply-To: joe@example.com", b"Cc: a@example.org", b"Sender: s@example.com"),
    *(b"List-Id: <l.example.com>", b"List-Unsubscribe: <https://example.com/u>"),
    *(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click", b"In-Reply-To: <0@example.com>"),
    *(b"References: <0@example.com>", b"X-Foo: 2", b"Comments: none", b"Resent-To: r@example.org"),
)
ODD = message(
    *(b"X-Folded:\r\n one\r\n\t two  \r\n   three", b"X-Empty:", b"X-Blank: \t", b"X-Tight:x"),
    *(b"subject: in lower case", b"SUBJECT:  twice\t", b"X-8bit: gr\xfc\xdfe \xe2\x82\xac"),
)


def rich(name: str, conf: str) -> Setting:
    """A configuration that gets one message with many fields."""
    return Setting(name=name, conf=conf, probes=(Probe(name="many fields", message=RICH),))


def canonicalization(value: str) -> Setting:
    """One value of Canonicalization, with plain and odd messages."""
    return Setting(
        name=f"Canonicalization {value}",
        conf=f"{ONE}Canonicalization {value}\nOverSignHeaders From\nSignHeaders *,+X-Folded,"
        "+X-Empty,+X-Blank,+X-Tight,+X-8bit\n",
        probes=(
            Probe(name="an ordinary message", message=PLAIN),
            Probe(name="odd white space and 8-bit octets", message=ODD),
            Probe(name="no body", message=message(body=b"")),
            Probe(name="a body of empty lines", message=message(body=b"\r\n\r\n")),
            Probe(name="no final line end", message=message(body=b"a \r\n b")),
        ),
    )


SETTINGS = (
    *map(
        canonicalization, ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed")
    ),
    canonicalization("relaxed"),
    *(
        Setting(
            name=f"milter protocol 2, {value}",
            conf=f"{ONE}Canonicalization {value}\nOverSignHeaders From\nSoftwareHeader yes\n",
            probes=tuple(
                Probe(name=name, message=octets, delivery=delivery, version=2)
                for name, octets, delivery in (
                    ("signing", PLAIN, INTERNAL),
                    ("odd white space", ODD, INTERNAL),
                    ("verifying", signed(c=value.encode()), EXTERNAL),
                    (
                        "forged results",
                        arriving(b"mx.example.net; dkim=pass", b"mx.example.net; dkim=fail"),
                        EXTERNAL,
                    ),
                )
            ),
        )
        for value in ("simple/simple", "relaxed/relaxed")
    ),
    rich("no option but the key", ONE),
    rich("OverSignHeaders as Debian ships it", KEY),
    rich("SignHeaders", KEY + "SignHeaders X-Foo,Subject,Date\n"),
    rich("SignHeaders as a delta", KEY + "SignHeaders *,+X-Foo,-Subject,Message-ID\n"),
    Setting(
        name="SignHeaders from a file",
        conf=KEY + "SignHeaders file:{folder}/names\n",
        files={"names": "X-Foo\nsubject\n"},
        probes=(Probe(name="many fields", message=RICH),),
    ),
    rich("OmitHeaders", KEY + "OmitHeaders *,+To,+X-Foo\n"),
    rich("OmitHeaders From", KEY + "OmitHeaders From\n"),
    rich("OverSignHeaders", KEY + "OverSignHeaders From,Subject,X-None\n"),
    rich("OverSignHeaders with a field that is not signed", KEY + "OverSignHeaders From,X-Foo\n"),
    Setting(
        name="SignatureTTL",
        conf=KEY + "SignatureTTL 86400\n",
        probes=(Probe(name="an ordinary message", message=PLAIN),),
    ),
    Setting(
        name="MaximumSignedBytes",
        conf=KEY + "MaximumSignedBytes 20\n",
        probes=(
            Probe(name="a longer body", message=PLAIN),
            Probe(name="a shorter body", message=message(body=b"a\r\n")),
        ),
    ),
    Setting(
        name="BodyLengthDB",
        conf=KEY + "BodyLengthDB *@example.net,ann@.example.org\n",
        probes=tuple(
            Probe(
                name=to.decode(),
                message=PLAIN,
                delivery=replace(INTERNAL, recipients=(b"<x@example.edu>", to)),
            )
            for to in (b"<List@example.net>", b"<ann@a.example.org>", b"<ann@example.org>")
        ),
    ),
    Setting(
        name="RemoveOldSignatures",
        conf=KEY + "RemoveOldSignatures yes\n",
        probes=(
            Probe(name="two signatures", message=signed(signed())),
            Probe(name="none", message=PLAIN),
            Probe(name="from outside", message=signed(), delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="SoftwareHeader",
        conf=KEY + "SoftwareHeader yes\n",
        probes=(
            Probe(name="signing", message=PLAIN),
            Probe(name="verifying", message=signed(), delivery=EXTERNAL),
            Probe(name="unsigned mail", message=PLAIN, delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="Diagnostics and RequestReports",
        conf=KEY + "Diagnostics yes\nRequestReports yes\n",
        probes=(Probe(name="an ordinary message", message=PLAIN),),
    ),
    Setting(
        name="a Canonicalization field in the message",
        conf=KEY,
        probes=(Probe(name="simple/simple", message=message(b"Canonicalization: simple/simple")),),
    ),
    Setting(
        name="SelectCanonicalizationHeader",
        conf=KEY + "SelectCanonicalizationHeader X-Canonicalization\n",
        probes=(
            Probe(name="simple/simple", message=message(b"X-Canonicalization: simple/simple")),
            Probe(name="nonsense", message=message(b"X-Canonicalization: odd")),
        ),
    ),
    Setting(
        name="ReplaceRules",
        conf=KEY + "ReplaceRules {folder}/rules\n",
        files={"rules": "host[0-9]*\\.example\\.com\texample.com\n"},
        probes=(
            Probe(
                name="a field that Postfix will rewrite",
                message=message(author=b"joe@host7.example.com"),
            ),
        ),
    ),
    Setting(
        name="authors",
        conf=KEY,
        probes=tuple(
            Probe(name=author.decode("ascii", "backslashreplace"), message=message(author=author))
            for author in (
                *(b'"a@example.net" <joe@example.com>', b"joe@example.com (a@example.net)"),
                *(b"joe@example.com, a@example.net", b"a@example.net, joe@example.com"),
                *(b"team: joe@example.com;", b"<@relay.example:joe@example.com>"),
                *(b'"joe smith"@example.com', b"joe", b"", b"<>", b"joe@", b"joe @ example.com"),
                *(b"=?utf-8?q?Joe?=\r\n <joe@example.com>", b"Jo\xc3\xa9 <joe@example.com>"),
            )
        ),
    ),
    Setting(
        name="authors in careless From fields",
        conf=KEY,
        probes=tuple(
            Probe(name=author, message=message(author=author.encode()))
            for author in (
                *("Smith, Joe <joe@example.com>", "Dr. Joe <joe@example.com>"),
                *("Joe @ Work <joe@example.com>", "Joe [x] <joe@example.com>"),
                *("Joe: x <joe@example.com>", '"Joe <joe@example.com>', "Joe (x <joe@example.com>"),
                *("joe@example.com,", "joe@example.com; ann@example.com", "undisclosed: ;"),
                *("Joe < joe@example.com >", "joe smith@example.com", "joe..x@example.com"),
                *("'joe@example.com'", "joe@[192.0.2.1]", "Joe <joe@example.com.>"),
                *("me@localhost", "Joe <joe@example_x.com>", "Joe<joe@example.com>(x)"),
                *("<joe@example.com", "<joe@example.com> joe", "Joe <<joe@example.com>>"),
                *("joe@example.com ann@example.com", "Joe <joe@example.com> <ann@example.org>"),
                *("joe@sub.example.com@example.com", "Joe <mailto:joe@example.com>"),
                *("<joe@example.com> <joe@example.com>", "<joe smith@example.com>"),
            )
        ),
    ),
    Setting(
        name="careless From fields from outside",
        conf=KEY + "On-NoSignature reject\nOn-BadSignature reject\n",
        probes=tuple(
            Probe(
                name=f"{author}, {state}",
                message=make(message(author=author.encode())),
                delivery=EXTERNAL,
            )
            for author in (
                *("Joe (Work) <joe@example.com> joe", "Joe (x <joe@example.com>"),
                *("Joe <joe@example.com> <ann@example.org>", "joe"),
            )
            for state, make in (
                ("unsigned", bytes),
                ("signed", signed),
                ("changed", lambda octets: signed(octets).replace(b"Bye", b"Hi")),
            )
        ),
    ),
    Setting(
        name="no From, two From",
        conf=KEY,
        probes=(
            Probe(name="no From", message=message(author=None)),
            Probe(name="two From", message=message(b"From: a@example.net")),
            Probe(name="ours on top", message=message(b"From: b@example.com")),
            Probe(name="no From, outside", message=message(author=None), delivery=EXTERNAL),
            Probe(name="two, outside", message=message(b"From: a@b.test"), delivery=EXTERNAL),
            Probe(
                name="no From, signed, outside",
                message=signed(message(author=None)),
                delivery=EXTERNAL,
            ),
        ),
    ),
    Setting(
        name="StrictHeaders",
        conf=KEY + "StrictHeaders yes\nAlwaysAddARHeader yes\n",
        probes=(
            Probe(name="two From", message=message(b"From: b@example.com")),
            Probe(name="two Subject, signed, outside", message=signed(ODD), delivery=EXTERNAL),
            Probe(name="as it should be", message=signed(), delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="RequiredHeaders",
        conf=KEY + "RequiredHeaders yes\nAlwaysAddARHeader yes\n",
        probes=(
            Probe(name="two From", message=message(b"From: b@example.com")),
            Probe(name="two Subject, outside", message=signed(ODD), delivery=EXTERNAL),
            Probe(
                name="no Date, outside",
                message=PLAIN.replace(b"Date:", b"X-Date:"),
                delivery=EXTERNAL,
            ),
            Probe(name="as it should be", message=signed(), delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="IgnoreMalformedMail",
        conf=KEY + "IgnoreMalformedMail yes\nStrictHeaders yes\n",
        probes=(
            Probe(name="two From", message=message(b"From: b@example.com")),
            Probe(name="no From, outside", message=message(author=None), delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="MaximumHeaders",
        conf=KEY + "MaximumHeaders 2000\n",
        probes=(
            Probe(name="below", message=PLAIN),
            Probe(name="above", message=message(b"X-Long: " + b"x" * 3000)),
        ),
    ),
    Setting(
        name="MaximumHeaders and On-Security",
        conf=KEY + "MaximumHeaders 2000\nOn-Security reject\n",
        probes=(Probe(name="above", message=message(b"X-Long: " + b"x" * 3000)),),
    ),
    Setting(
        name="a header of 100 KiB",
        conf=KEY,
        probes=(Probe(name="many fields", message=message(*[b"X-Long: " + b"x" * 900] * 110)),),
    ),
)
