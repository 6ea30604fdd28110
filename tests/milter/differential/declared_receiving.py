"""Differences that are meant: verifying and Authentication-Results."""

from __future__ import annotations

from .model import Case, Difference

__all__ = ["RECEIVING"]

ACCEPTED = "eom: accept"
PASS = "eom: accept, dkim=pass"
FIELD = "Authentication-Results:"
FORGED = "forged results"
ELSEWHERE = "forged results on mail that is not verified"
RECORDS = "key records of all kinds"
VERSION = "unknown key version"
KINDS = "signatures of all kinds"
BIT = "(2048-bit key)"
GOOD = "a good signature"
FIRST = "results 1 dkim 1"


def kept(setting: str, probe: str, field: str) -> Case:
    """A field that OpenDKIM leaves."""
    return Case(setting, probe, "", f"{FIELD} {field}", "removed")


OUTSIDE = "careless From fields from outside"
CALLED = f"{ACCEPTED}, dkim=permerror"
REFUSED = "eom: 550 5.7.0"

RECEIVING = (
    Difference(
        title="A stranger's From field that cannot be read",
        reason="OpenDKIM verifies no signature of such a message unless Mode is v, and asks no "
        "On-* option. A stranger must not switch verification off.",
        cases=tuple(
            case
            for author in ("Joe (x <joe@example.com>", "joe")
            for case in (
                Case(OUTSIDE, f"{author}, unsigned", CALLED, f"{REFUSED} no DKIM signature data"),
                Case(OUTSIDE, f"{author}, signed", CALLED, PASS),
                Case(OUTSIDE, f"{author}, changed", CALLED, f"{REFUSED} bad DKIM signature data"),
            )
        ),
    ),
    Difference(
        title="A malformed signature",
        reason="OpenDKIM ends at the first malformed signature: no result is written, good "
        "signatures beside it are not looked at, and forged results stay. One junk field must not "
        "switch verification off.",
        cases=(
            Case(
                "no option", "a malformed signature", "eoh: accept", f"{ACCEPTED}, dkim=permerror"
            ),
            *(
                Case(
                    "several signatures",
                    probe,
                    "eoh: accept",
                    f"{ACCEPTED}, dkim=permerror, dkim=pass",
                )
                for probe in ("malformed beside good", "one without d= beside good")
            ),
            Case(
                ELSEWHERE,
                "a malformed signature",
                "eoh: accept",
                f"{ACCEPTED}, removed {FIELD} mx.example.net; dkim=pass, dkim=permerror",
            ),
        ),
    ),
    Difference(
        title="rsa-sha1",
        reason="It must not pass (RFC 8301 section 3.1). DkimcoreAllowSHA1 verifies it, for "
        "archives.",
        cases=(Case(KINDS, "rsa-sha1", PASS, f"{ACCEPTED}, dkim=permerror"),),
    ),
    Difference(
        title="l=",
        reason="Whoever takes a signature with l= can append text to the message (RFC 6376 "
        "section 8.2). DkimcoreAllowBodyLength accepts it.",
        cases=(
            Case(KINDS, "the whole body by l=", PASS, f"{ACCEPTED}, dkim=policy"),
            Case("l=", "text was appended", PASS, f"{ACCEPTED}, dkim=policy"),
            Case(
                "l=",
                "longer than the body",
                f"{ACCEPTED}, dkim=fail",
                f"{ACCEPTED}, dkim=policy",
            ),
        ),
    ),
    Difference(
        title="A tag twice",
        reason="It makes the whole field invalid (RFC 6376 section 3.2); verifiers that "
        "differ in which of the two they take can be played off against each other.",
        cases=(Case(KINDS, "a tag twice", PASS, f"{ACCEPTED}, dkim=permerror"),),
    ),
    Difference(
        title="How many signatures are verified",
        reason="Five unless MaximumSignaturesToVerify is set, in OpenDKIM three: mail of "
        "providers that sign twice and passes a list has more than three.",
        cases=tuple(
            case
            for probe, numbers in (("four", (4,)), ("seven", (4, 5)))
            for number in numbers
            for case in (
                Case("too many signatures", probe, "neutral", "pass", f"results 1 dkim {number}"),
                Case("too many signatures", probe, "", BIT, f"results 1 dkim {number} comment"),
            )
        ),
    ),
    Difference(
        title="On-NoSignature with AlwaysAddARHeader",
        reason="AlwaysAddARHeader makes OpenDKIM forget On-NoSignature, by mistake.",
        cases=(
            Case(
                "On-NoSignature reject, AlwaysAddARHeader yes",
                "unsigned",
                f"{ACCEPTED}, dkim=none",
                "eom: 550 5.7.0 no DKIM signature data",
            ),
        ),
    ),
    Difference(
        title="Key records that cannot be read",
        reason="OpenDKIM says fail, temperror or permerror, by the kind of mistake. No mistake in "
        "a record goes away by asking again, and it says nothing about the message: permerror "
        "(RFC 6376 section 6.1.2).",
        cases=(
            Case(RECORDS, "record foreign", "fail", "permerror", FIRST),
            Case(RECORDS, "record foreign", VERSION, "", f"{FIRST} reason"),
            *(
                case
                for setting in (RECORDS, f"{RECORDS}, On-Default reject")
                for case in (
                    Case(setting, "record version", "fail", "permerror", FIRST),
                    Case(setting, "record version", VERSION, "", f"{FIRST} reason"),
                    Case(setting, "record broken", "temperror", "permerror", FIRST),
                    Case(setting, "record keyless", "temperror", "permerror", FIRST),
                )
            ),
        ),
    ),
    Difference(
        title="MustBeSigned",
        reason="No key is fetched for a signature that does not cover a field of MustBeSigned, so "
        "its size is not known.",
        cases=(Case("MustBeSigned", GOOD, BIT, "", f"{FIRST} comment"),),
    ),
    Difference(
        title="DNS failures",
        reason="OpenDKIM's On-DNSError is without effect, though its manual says tempfail: the "
        "mail is accepted, and nothing is written. The sender shall try again, unless "
        "On-DNSError says otherwise; then `dkim=temperror` is written.",
        cases=(
            Case(
                "the DNS does not answer",
                GOOD,
                ACCEPTED,
                "eom: 451 4.7.5 DKIM key retrieval failed",
            ),
            Case(
                "the DNS does not answer, On-DNSError reject",
                GOOD,
                ACCEPTED,
                "eom: 550 5.7.0 DKIM key retrieval failed",
            ),
            Case(
                "the DNS does not answer, On-DNSError accept",
                GOOD,
                ACCEPTED,
                f"{ACCEPTED}, dkim=temperror",
            ),
        ),
    ),
    Difference(
        title="A name that TestDNSData does not have",
        reason="It has no key, as in TestPublicKeys; OpenDKIM takes it for a DNS failure.",
        cases=(Case("TestDNSData without the name", GOOD, ACCEPTED, f"{ACCEPTED}, dkim=fail"),),
    ),
    Difference(
        title="The place of Original-Recipient",
        reason="OpenDKIM appends it to the header; here it is inserted on top, like the other "
        "trace fields.",
        cases=(
            Case(
                "RedirectFailuresTo",
                "the body was changed",
                "Authentication-Results ... Original-Recipient",
                "Original-Recipient Authentication-Results",
                "added",
            ),
        ),
    ),
    Difference(
        title="Forged results that OpenDKIM keeps",
        reason="OpenDKIM keeps a field that its parser does not understand. A reader with "
        "another parser would believe it (RFC 8601 section 5). What begins with our name and "
        "may be read as a dkim result is removed.",
        cases=(
            kept(
                FORGED,
                "a version of the method",
                "mx.example.net; dkim/1=pass header.d=example.org",
            ),
            kept(
                FORGED,
                "an unknown property",
                "mx.example.net; dkim=pass policy.x=y; x=pass odd.z=1",
            ),
            kept(FORGED, "a final dot", "mx.example.net.; dkim=pass"),
            kept(FORGED, "nonsense", "mx.example.net; dkim=;=="),
            kept(ELSEWHERE, "no From", "mx.example.net; dkim=pass"),
            kept(
                "RemoveARAll",
                "an unknown property",
                "mx.example.net; dkim=pass policy.x=y; x=pass odd.z=1",
            ),
            kept("RemoveARAll", "a final dot", "mx.example.net.; dkim=pass"),
            kept("RemoveARAll", "no results", "mx.example.net; none"),
        ),
    ),
    Difference(
        title="RemoveARFrom",
        reason="With RemoveARFrom OpenDKIM no longer removes what is forged in its own name; "
        "it is always removed here. Names with a leading dot mean the names below, as the manual "
        "says.",
        cases=(
            kept("RemoveARFrom", "ours", "mx.example.net; dkim=pass"),
            kept("RemoveARFrom", "below a listed name", "mx.example.edu; dkim=pass"),
        ),
    ),
)
