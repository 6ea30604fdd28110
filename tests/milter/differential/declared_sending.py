"""Differences that are meant: tables, origin and signing."""

from __future__ import annotations

from .model import Case, Difference

__all__ = ["SENDING"]

SIGNED = "eom: accept, signed a=rsa-sha256 d=example.com s=s1"
NET = "eom: accept, signed a=rsa-sha256 d=example.net s=s1"
ACCEPTED = "eom: accept"
WRONG = "does not verify"
ERROR = "eom: 550 5.7.0 DKIM signing error"
HALVES = "InternalHosts: networks written by halves"
END = "no final line end"
COUNTED = "OverSignHeaders with a field that is not signed"
IGNORED = "IgnoreMalformedMail"

SENDING = (
    Difference(
        title="A signer without @",
        reason="OpenDKIM's library refuses to sign, and the mail goes out unsigned without a "
        "word. Mail that the table wants signed is not sent unsigned.",
        cases=(
            Case("a signer without @", "from ann@example.com", "eom: continue", "eoh: tempfail"),
        ),
    ),
    Difference(
        title="More than two rows with MultipleSignatures",
        reason="A bug of OpenDKIM's uses only the first and the last row. The manual promises "
        "all of them.",
        cases=(
            Case(
                "MultipleSignatures: three rows",
                "from joe@example.com",
                f"{NET}, signed a=rsa-sha256 d=example.com s=s1",
                f"{NET}, signed a=rsa-sha256 d=example.com s=s2, "
                "signed a=rsa-sha256 d=example.com s=s1",
            ),
        ),
    ),
    Difference(
        title="A row whose key the KeyTable does not have",
        reason="OpenDKIM finds some of them at the start (of a `file:` table, up to the first "
        "row without a signer) and does not start. `dkimcore-milter -n` finds all; a milter that "
        "starts serves the other rows, and answers mail of this row with a temporary failure.",
        cases=(
            Case(
                "a key that the KeyTable does not have (file)",
                "from joe@example.net",
                "exit status 78",
                NET,
            ),
        ),
    ),
    Difference(
        title="On-InternalError and tables",
        reason="OpenDKIM answers a row without a key, or a key file that is not there, with a "
        "temporary failure in any case, and a file that holds no key with On-InternalError. "
        "Here On-InternalError decides about all of them. Its default is tempfail; with accept the "
        "mail goes out unsigned, and the log says so.",
        cases=tuple(
            Case(
                f"keys that cannot be used, On-InternalError {value}",
                f"from joe@example.{ending}",
                "eoh: tempfail",
                ours,
            )
            for value, ours in (
                ("accept", "eoh: accept"),
                ("reject", "eoh: reject"),
                ("discard", "eoh: discard"),
                ("quarantine", "eom: accept, quarantine"),
            )
            for ending in ("net", "edu")
        ),
    ),
    Difference(
        title="Keys below a folder with the sticky bit",
        reason="In such a folder, like /tmp, nobody can replace another user's file. OpenDKIM "
        "calls every key below it unsafe. The key file itself must still be private.",
        cases=(
            Case(
                "a key file in a folder that all may write to, with the sticky bit",
                "from joe@example.com",
                "eoh: tempfail",
                SIGNED,
            ),
        ),
    ),
    Difference(
        title="A domain with other letters",
        reason="OpenDKIM crashes. The domain is signed for in A-labels, which every verifier "
        "looks up rightly; RFC 8616 section 5 allows the other form as well.",
        cases=(
            Case(
                "a domain with other letters, by %",
                "from joe@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example",
                "it crashed",
                "eom: accept, signed a=rsa-sha256 d=xn--bcher-kva.example s=s1",
            ),
        ),
    ),
    Difference(
        title="Domains that cannot sign",
        reason="No verifier accepts a signature of a host name without a dot, of an address, or of "
        "what is no domain name (RFC 6376 section 3.5). `%` and `Domain *` do not mean such a "
        "domain; its mail is verified like other mail that is not ours to sign, and the log says "
        "so at notice. A final dot is no part of the signing domain.",
        cases=tuple(
            case
            for setting in ("one key, any domain", "any domain, by %")
            for case in (
                *(
                    Case(
                        setting,
                        f"from {user}@{domain}",
                        f"{ACCEPTED}, signed a=rsa-sha256 d={domain} s=s1 ({said})",
                        ACCEPTED,
                    )
                    for user, domain, said in (
                        ("root", "localhost", WRONG),
                        ("joe", "[192.0.2.1]", f"{WRONG}: d= value is not valid (b'[192.0.2.1]')"),
                        ("joe", "-.example.edu", WRONG),
                    )
                ),
                Case(
                    setting,
                    "from joe@example.edu.",
                    "example.edu.",
                    "example.edu",
                    "signature 1 d",
                ),
            )
        ),
    ),
    Difference(
        title="The algorithm of a key",
        reason="The key decides, so that RSA and Ed25519 keys can stand in one table; "
        "SignatureAlgorithm, where it is set, must agree with it.",
        cases=(
            Case(
                "an Ed25519 key without SignatureAlgorithm",
                "from joe@example.com",
                "eom: 451 4.7.0 resource unavailable",
                "eom: accept, signed a=ed25519-sha256 d=example.com s=ed",
            ),
        ),
    ),
    Difference(
        title="A KeyFile that must not sign",
        reason="An RSA key below 1024 bits must not sign (RFC 8301 section 3.2). It is refused "
        "at the start instead of with every message.",
        cases=(Case("a key that is too small", "from joe@example.com", ERROR, "exit status 78"),),
    ),
    Difference(
        title="Clients without an address",
        reason="OpenDKIM takes a client whose address the MTA does not know for 127.0.0.1, so "
        "its mail is signed. Nobody knows who that is.",
        cases=(Case("InternalHosts by default", "from an unknown address", SIGNED, ACCEPTED),),
    ),
    Difference(
        title="Networks written by halves",
        reason="192.0.2.5/24, 10/8 and 10.0.0.0/255.0.0.0 match nobody in OpenDKIM, and nothing "
        "says so. They mean the network that they name, in a refile: too; `dkimcore-milter -n` "
        "warns.",
        cases=(
            *(
                Case(HALVES, f"from {address}", ACCEPTED, SIGNED)
                for address in ("192.0.2.9", "192.0.2.5", "10.1.2.3", "203.0.113.9")
            ),
            *(
                Case("InternalHosts: networks among patterns", f"from {address}", ACCEPTED, SIGNED)
                for address in ("192.0.2.9", "10.1.2.3")
            ),
        ),
    ),
    Difference(
        title="A list of one IPv6 address",
        reason="OpenDKIM takes what stands before the first colon for the type of the list, "
        "and does not start.",
        cases=(Case("InternalHosts: one IPv6 address", "from ::1", "exit status 78", SIGNED),),
    ),
    Difference(
        title="Several macros of MacroList",
        reason="A bug of OpenDKIM's lets a macro with another value undo the match of one "
        "before it. The manual says that any match is enough.",
        cases=(Case("MacroList", "a match, then another value", ACCEPTED, SIGNED),),
    ),
    Difference(
        title="Mail that is to be signed and cannot be",
        reason="Without exactly one From a signature would say nothing certain about the author "
        "(RFC 6376 section 5.4, RFC 5322 section 3.6). OpenDKIM sends the first one unsigned, "
        "and signs the second. Here On-SignatureError decides, which rejects unless set.",
        cases=(
            Case("SenderHeaders", "Sender only", f"{ACCEPTED}, dkim=permerror", ERROR),
            Case("no From, two From", "ours on top", SIGNED, ERROR),
        ),
    ),
    Difference(
        title="A body without a final line end",
        reason="OpenDKIM does not sign it with a relaxed body, and says nothing. Canonicalization "
        "adds the line end (RFC 6376 section 3.4.4).",
        cases=(
            Case("Canonicalization simple/relaxed", END, ACCEPTED, SIGNED),
            Case("Canonicalization relaxed/relaxed", END, ACCEPTED, SIGNED),
        ),
    ),
    Difference(
        title="OmitHeaders with From",
        reason="Nothing could be signed: From must be (RFC 6376 section 5.4). OpenDKIM sends all "
        "mail unsigned and tells its readers `dkim=permerror`.",
        cases=(
            Case(
                "OmitHeaders From",
                "many fields",
                f"{ACCEPTED}, dkim=permerror",
                "exit status 78",
            ),
        ),
    ),
    Difference(
        title="OverSignHeaders with a field that is not signed",
        reason="Named once, a field that is there must be hashed, and OpenDKIM does not: its "
        "signature is wrong. The instances that are there are signed, too.",
        cases=(
            Case(
                COUNTED,
                "many fields",
                "cc date from*2 in-reply-to list-id list-unsubscribe references reply-to "
                "resent-to subject to x-foo",
                "cc content-type date from*2 in-reply-to list-id list-unsubscribe "
                "list-unsubscribe-post message-id mime-version references reply-to resent-to "
                "subject to x-foo*3",
                "signature 1 h",
            ),
            Case(COUNTED, "many fields", "does not verify", "yes", "signature 1 verifies"),
        ),
    ),
    Difference(
        title="The rest of a body that is not signed",
        reason="OpenDKIM tells the MTA to send no more of it. It is read here, and the "
        "signature is the same.",
        cases=(Case("MaximumSignedBytes", "a longer body", "skipped", "", "body"),),
    ),
    Difference(
        title="Several blanks behind the colon with milter protocol 2",
        reason="An MTA of that version takes one blank away, and OpenDKIM does not put it back "
        "where there are more. Its simple signature is wrong then.",
        cases=(
            Case(
                "milter protocol 2, simple/simple",
                "odd white space",
                "does not verify",
                "yes",
                "signature 1 verifies",
            ),
        ),
    ),
    Difference(
        title="RequestReports",
        reason="Failure reports (RFC 6651) are not there yet, so none are asked for.",
        cases=(
            Case("Diagnostics and RequestReports", "an ordinary message", "y", "", "signature 1 r"),
        ),
    ),
    Difference(
        title="SelectCanonicalizationHeader",
        reason="OpenDKIM reads the field's value with the blank before it, and does not "
        "recognise it.",
        cases=(
            Case(
                "SelectCanonicalizationHeader",
                "simple/simple",
                "relaxed/simple",
                "simple/simple",
                "signature 1 c",
            ),
        ),
    ),
    Difference(
        title="Blanks around the @ of the author",
        reason='OpenDKIM looks for the domain " example.com" in its tables. Such blanks mean '
        "nothing (RFC 5322 section 4.4).",
        cases=(Case("authors", "joe @ example.com", ACCEPTED, SIGNED),),
    ),
    Difference(
        title="From fields that readers understand in different ways",
        reason="Mail programs differ in whom they show as the author of such a field, so no "
        "signature vouches for one of them. OpenDKIM picks one. The log names the field.",
        cases=tuple(
            Case("authors in careless From fields", author, SIGNED, f"{ACCEPTED}, dkim=permerror")
            for author in (
                *("Joe <<joe@example.com>>", "<joe smith@example.com>"),
                *("joe@example.com ann@example.com", "Joe <joe@example.com> <ann@example.org>"),
                *("joe@sub.example.com@example.com", "Joe <mailto:joe@example.com>"),
            )
        ),
    ),
    Difference(
        title="The size of a header",
        reason="MaximumHeaders is 65536 in OpenDKIM unless set, here 262144: long lists of "
        "recipients and ARC chains pass. The same action, On-Security, is above it.",
        cases=(Case("a header of 100 KiB", "many fields", "header: tempfail", SIGNED),),
    ),
)
