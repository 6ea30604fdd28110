"""Verifying: what is said about a signature, and what happens to its message."""

from __future__ import annotations

from .messages import BODY, FUTURE, PAST, PLAIN, message, sender, signed
from .model import EXTERNAL, Probe, Setting

__all__ = ["SETTINGS"]


def outside(name: str, octets: bytes) -> Probe:
    """Mail from outside."""
    return Probe(name=name, message=octets, delivery=EXTERNAL)


def changed(body: bytes) -> bytes:
    """A message whose body was changed on its way."""
    return signed(then=lambda whole: whole.replace(BODY, body))


BAD = outside("the body was changed", changed(b"Another one.\r\n"))
FORGED = outside("the subject was changed", signed(then=lambda m: m.replace(b"dinner", b"lunch")))
NO_KEY = outside("no key record", signed(s=b"none"))
REVOKED = outside("a revoked key", signed(s=b"revoked"))
MISMATCH = outside("another key in the record", signed(s=b"other"))
EXPIRED = outside("expired", signed(extra=b"t=1600000000; x=" + PAST))
MALFORMED = outside("a malformed signature", signed(then=lambda m: m.replace(b"d=", b"e=", 1)))
UNSIGNED = outside("unsigned", PLAIN)
GOOD = outside("a good signature", signed())
EVERY = (GOOD, BAD, FORGED, NO_KEY, REVOKED, MISMATCH, EXPIRED, MALFORMED, UNSIGNED)


def action(option: str, value: str, *probes: Probe, more: str = "") -> Setting:
    """One On-* option with one value."""
    name = f"{option} {value}" + (f", {more.strip()}" if more else "")
    return Setting(name=name, conf=f"{option} {value}\n{more}", probes=probes)


SETTINGS = (
    Setting(name="no option", conf="", probes=EVERY),
    Setting(
        name="AlwaysAddARHeader",
        conf="AlwaysAddARHeader yes\n",
        probes=(UNSIGNED, GOOD, outside("no body", message(body=b""))),
    ),
    Setting(
        name="signatures of all kinds",
        conf="",
        probes=(
            outside("simple/simple", signed(c=b"simple/simple")),
            outside("no c=", signed(c=None)),
            outside("Ed25519", signed(key="ed")),
            outside("rsa-sha1", signed(key="sha1", a=b"rsa-sha1")),
            outside("i= of a subdomain", signed(i=b"joe@sub.example.com")),
            outside("i= elsewhere", signed(i=b"joe@example.net")),
            outside("in the future", signed(extra=b"t=" + FUTURE)),
            outside("x= before t=", signed(extra=b"t=1700000000; x=1600000000")),
            outside("no From in h=", signed(h=b"to:subject:date")),
            outside("an unknown algorithm", signed(a=b"rsa-sha999")),
            outside("version 2", signed(v=b"2")),
            outside("no bh=", signed(bh=None)),
            outside("the whole body by l=", signed(extra=b"l=34")),
            outside("a tag twice", signed(extra=b"s=rsa")),
            outside("an empty b=", signed(b=b"")),
            outside("upper case", signed(d=b"EXAMPLE.com")),
            outside("other quoting of q=", signed(extra=b"q=dns/txt:dns")),
            outside("an unknown q=", signed(extra=b"q=http")),
            outside("folds in b=", signed(field=b"dkim-signature:\r\n\t")),
        ),
    ),
    Setting(
        name="key records of all kinds",
        conf="",
        probes=(
            outside("record strict", signed(s=b"strict")),
            outside("record junk", signed(s=b"junk")),
            outside("record version", signed(s=b"version")),
            outside("record sha1only", signed(s=b"sha1only")),
            outside("record webonly", signed(s=b"webonly")),
            outside("record broken", signed(s=b"broken")),
            outside("record keyless", signed(s=b"keyless")),
            outside("record foreign", signed(s=b"foreign")),
            outside("record newtype", signed(s=b"newtype")),
            outside("record of an Ed25519 key", signed(s=b"ed")),
            outside("t=y, and it fails", signed(s=b"testing")),
            outside("t=y, and it passes", signed(s=b"testing", key="b")),
            outside("t=s and i= of a subdomain", signed(s=b"strict", i=b"@sub.example.com")),
            outside("RSA of 1024 bits", signed(s=b"rsa1024", key="1024")),
            outside("RSA of 768 bits", signed(s=b"rsa768", key="768")),
        ),
    ),
    Setting(
        name="key records of all kinds, On-Default reject",
        conf="On-Default reject\n",
        probes=tuple(
            outside(f"record {name}", signed(s=name.encode()))
            for name in ("junk", "version", "broken", "keyless", "sha1only", "webonly", "newtype")
        ),
    ),
    Setting(
        name="MinimumKeyBits",
        conf="MinimumKeyBits 2048\n",
        probes=(outside("RSA of 1024 bits", signed(s=b"rsa1024", key="1024")), GOOD),
    ),
    Setting(
        name="ClockDrift",
        conf="ClockDrift 1000000000\n",
        probes=(EXPIRED,),
    ),
    Setting(
        name="l=",
        conf="",
        probes=(
            outside("text was appended", signed(extra=b"l=7", limit=7)),
            outside("longer than the body", signed(extra=b"l=9999")),
        ),
    ),
    Setting(
        name="several signatures",
        conf="",
        probes=(
            outside("good on bad", signed(signed(s=b"other"))),
            outside("bad on good", signed(signed(), s=b"other")),
            outside("malformed beside good", b"DKIM-Signature: a=b; c\r\n" + signed()),
            outside(
                "one without d= beside good", b"DKIM-Signature: v=1; a=rsa-sha256\r\n" + signed()
            ),
            outside(
                "two that begin alike",
                signed(signed(signed(sender("a@example.com"), s=b"s1"))),
            ),
            outside("expired on good", signed(signed(), extra=b"x=" + PAST)),
        ),
    ),
    Setting(
        name="too many signatures",
        conf="",
        probes=(
            outside("four", signed(signed(signed(signed())))),
            outside("seven", signed(signed(signed(signed(signed(signed(signed()))))))),
        ),
    ),
    Setting(
        name="MaximumSignaturesToVerify",
        conf="MaximumSignaturesToVerify 2\n",
        probes=(
            outside("a good one in third place", signed(signed(signed(), s=b"other"), s=b"other")),
        ),
    ),
    Setting(
        name="MaximumSignaturesToVerify 0",
        conf="MaximumSignaturesToVerify 0\nTrustSignaturesFrom example.edu\n",
        probes=(
            outside(
                "author, trusted, other",
                signed(signed(signed(), d=b"example.edu"), d=b"example.net"),
            ),
        ),
    ),
    Setting(
        name="TrustSignaturesFrom",
        conf="MaximumSignaturesToVerify 1\nTrustSignaturesFrom example.edu\n",
        probes=(outside("the trusted one below", signed(signed(d=b"example.edu"))),),
    ),
    Setting(
        name="MustBeSigned",
        conf="MustBeSigned Subject,Cc,Message-ID\n",
        probes=(
            GOOD,
            outside("all of them", signed(h=b"from:to:subject:date:message-id")),
        ),
    ),
    Setting(name="NoHeaderB", conf="NoHeaderB yes\n", probes=(GOOD, BAD)),
    action("On-BadSignature", "reject", *EVERY),
    action("On-BadSignature", "tempfail", *EVERY),
    action("On-BadSignature", "discard", BAD, GOOD, MALFORMED),
    action("On-BadSignature", "quarantine", BAD, GOOD),
    action("On-BadSignature", "quarantine", BAD, GOOD, more="CaptureUnknownErrors yes\n"),
    action(
        "On-BadSignature",
        "r",
        outside("t=y, and it fails", signed(s=b"testing")),
        outside("good on bad", signed(signed(s=b"other"))),
        outside("bad on good", signed(signed(), s=b"other")),
        outside("another key in the record", signed(s=b"other")),
    ),
    action("On-KeyNotFound", "reject", NO_KEY, REVOKED, GOOD),
    action("On-KeyNotFound", "tempfail", NO_KEY),
    action("On-KeyNotFound", "discard", NO_KEY),
    action("On-NoSignature", "reject", UNSIGNED, GOOD, NO_KEY),
    action("On-NoSignature", "tempfail", UNSIGNED),
    action("On-NoSignature", "discard", UNSIGNED),
    action("On-NoSignature", "quarantine", UNSIGNED),
    action("On-NoSignature", "reject", UNSIGNED, GOOD, more="AlwaysAddARHeader yes\n"),
    action("On-Default", "reject", *EVERY),
    action("On-Default", "reject", BAD, NO_KEY, UNSIGNED, more="On-NoSignature accept\n"),
    *(
        Setting(
            name="the DNS does not answer" + (f", On-DNSError {value}" if value else ""),
            conf="Nameservers 127.0.0.66\nDNSTimeout 1\n"
            + (f"On-DNSError {value}\n" if value else ""),
            base=False,
            probes=(GOOD,),
        )
        for value in ("", "reject", "accept")
    ),
    Setting(
        name="TestDNSData without the name",
        conf="TestDNSData csl:x._domainkey.example.com=v=DKIM1\n",
        base=False,
        probes=(GOOD,),
    ),
    Setting(
        name="TestDNSData with the name",
        conf="TestDNSData csl:rsa._domainkey.example.com=v=DKIM1; p=\n",
        base=False,
        probes=(GOOD,),
    ),
    Setting(
        name="RedirectFailuresTo",
        conf="RedirectFailuresTo postmaster@example.net\n",
        probes=(BAD, GOOD),
    ),
)
