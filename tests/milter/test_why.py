"""`why` concludes what a session does, for configurations and clients of all kinds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.settings.load import load_settings
from dkimcore_milter.action import DeleteField, InsertField
from dkimcore_milter.engine import Engine
from dkimcore_milter.explanation import Envelope, Outcome
from dkimcore_milter.peer import Peer
from dkimcore_milter.rehearsal import rehearse
from dkimcore_milter.why import explain
from tests.milter import farkeys
from tests.milter.site import SMALL_RSA, Site

NOW = 1_700_000_000.0
BODY = [b"At noon?\r\n"]

# Each row of the key table is good or bad in a way of its own.
SIGNING_TABLE = """\
good@example.com     one
both@example.com     one
both@example.com     two
small@example.com    small
absent@example.com   absent
open@example.com     open
junk@example.com     junk
unknown@example.com  nowhere
value@example.com
signer@example.com   one:example.com
auid@example.com     one:@mail.example.com
*@sub.example.com    percent
*@localhost          percent
"""


@pytest.fixture(scope="module")
def folder():
    """Tables, lists and keys that configurations choose from."""
    # Pytest's own folders let nobody in, and below such a folder modes do not matter.
    with tempfile.TemporaryDirectory(prefix="dkimcore-test-") as name:
        yield furnish(Site(Path(name)))


def furnish(site):
    """Writes the files of a site, and returns its folder."""
    key = site.key("good.pem")
    site.key("small.pem", SMALL_RSA)
    site.folder.chmod(0o755)
    open_key = site.key("open.pem", mode=0o666)
    junk = site.write("junk.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    site.write("SigningTable", SIGNING_TABLE)
    site.write(
        "KeyTable",
        f"one example.com:s1:{key}\n"
        f"two example.com:s2:{key}\n"
        f"small example.com:s3:{site.folder}/small.pem\n"
        f"absent example.com:s4:{site.folder}/absent.pem\n"
        f"open example.com:s5:{open_key}\n"
        f"junk example.com:s6:{junk}\n"
        f"percent %:s7:{key}\n"
        "broken example.com\n",
    )
    site.write("records", "none._domainkey.example.com v=DKIM1; p=\n")
    site.write("Rules", "Subject\tsubject\n")
    return site.folder


TABLES = (
    "SigningTable refile:{0}/SigningTable\nKeyTable {0}/KeyTable\n",
    "SigningTable refile:{0}/SigningTable\nKeyTable {0}/KeyTable\nMultipleSignatures yes\n",
    "Domain example.com\nSelector s1\nKeyFile {0}/good.pem\n",
    "Domain *\nSelector s1\nKeyFile {0}/good.pem\n",
    "Domain example.com\nSubDomains yes\nSelector s1\nKeyFile {0}/small.pem\n",
    "Domain example.com\nSelector s1\nKeyFile {0}/absent.pem\n",
    "",
)
ACTIONS = st.sampled_from(["accept", "reject", "tempfail", "discard", "quarantine"])
# Option, and what it is set to where it is set.
OPTIONS = {
    "Mode": st.sampled_from(["s", "v", "sv"]),
    "InternalHosts": st.sampled_from(["127.0.0.1", "192.0.2.0/24, !192.0.2.9", ".example.net"]),
    "PeerList": st.sampled_from(["192.0.2.7", "peer.example.net"]),
    "ExternalIgnoreList": st.just("192.0.2.9"),
    "MTA": st.just("submission"),
    "MacroList": st.just("ours=yes|really"),
    "ExemptDomains": st.sampled_from(["example.com", "other.example"]),
    "DontSignMailTo": st.just("bob@example.net"),
    "BodyLengthDB": st.just("bob@example.net"),
    "ResignMailTo": st.sampled_from(
        [f"bob@example.net={name}" for name in ("one", "absent", "percent")] + ["bob@x"]
    ),
    "RequiredHeaders": st.just("yes"),
    "StrictHeaders": st.just("yes"),
    "IgnoreMalformedMail": st.just("yes"),
    "MaximumHeaders": st.sampled_from(["100", "0"]),
    "MinimumKeyBits": st.just("2048"),
    "RequireSafeKeys": st.just("no"),
    "SenderHeaders": st.just("Sender, From"),
    "SenderMacro": st.just("author"),
    "DefaultSender": st.just("good@example.com"),
    "ReplaceRules": st.just("{0}/Rules"),
    "KeepAuthResults": st.just("yes"),
    "RemoveARAll": st.just("yes"),
    "RemoveOldSignatures": st.just("yes"),
    "AlwaysAddARHeader": st.just("yes"),
    "CaptureUnknownErrors": st.just("yes"),
    "DkimcoreOnKeyFailure": st.sampled_from(
        [
            *("example.com=unsigned", "example.com=other-algorithm", "csl:*=fallback:one"),
            *("csl:example.com=fallback:absent", "csl:*=unsigned,example.com=fallback:small"),
        ]
    ),
    "On-Security": ACTIONS,
    "On-InternalError": ACTIONS,
    "On-SignatureError": ACTIONS,
}

configurations = (
    st.tuples(st.sampled_from(TABLES), st.fixed_dictionaries({}, optional=OPTIONS))
    # Without a table there is no row to fall back to, which is an error at load.
    .filter(lambda chosen: "KeyTable" in chosen[0] or "fallback" not in str(chosen[1]))
    .map(lambda chosen: chosen[0] + "".join(f"{name} {text}\n" for name, text in chosen[1].items()))
)

envelopes = st.builds(
    Envelope,
    peer=st.builds(
        Peer,
        host=st.sampled_from(["localhost", "peer.example.net", "[192.0.2.9]", None]),
        address=st.sampled_from(["127.0.0.1", "192.0.2.7", "192.0.2.9", "2001:db8::1", None]),
    ),
    macros=st.fixed_dictionaries(
        {"i": st.just("4Bq1"), "j": st.just("mx.example.net")},
        optional={
            "{auth_type}": st.sampled_from(["PLAIN", ""]),
            "{daemon_name}": st.sampled_from(["submission", "smtpd"]),
            "{ours}": st.sampled_from(["yes", "no"]),
            "{author}": st.sampled_from(["good@example.com", "x@other.example", ""]),
        },
    ),
    recipients=st.sampled_from([(), (b"<bob@example.net>",), (b"bob@x", b"carol@example.net")]),
)

FROMS = [
    *(f"{line.split()[0].replace('*', 'any')}" for line in SIGNING_TABLE.splitlines()),
    "x@other.example",
    "x@sub.sub.example.com",
    "nobody",
    "a@example.com, b@example.com",
    "x@com",
    "",
]
FIELDS = st.sampled_from(
    [
        (b"To", b" bob@example.net"),
        (b"Subject", b" dinner"),
        (b"Date", b" Mon, 1 Jan 2024 00:00:00 +0000"),
        (b"Sender", b" good@example.com"),
        (b"Sender", b" nobody"),
        (b"Authentication-Results", b" mx.example.net; dkim=pass header.d=bank.example"),
        (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=example.com; s=none; h=from; bh=AAAA; b=AAAA"),
        (b"DKIM-Signature", b" junk"),
    ]
)
authors = st.sampled_from(FROMS).map(lambda text: (b"From", b" " + text.encode()))
headers = st.lists(authors, max_size=2).flatmap(
    lambda fields: st.lists(FIELDS, max_size=5).map(lambda more: [*fields, *more])
)


def done(rehearsal):
    """The outcome of what a session did."""
    changes = rehearsal.conclusion.modifications
    added = {bytes(one.field.name).lower() for one in changes if isinstance(one, InsertField)}
    deleted = {one.name.lower() for one in changes if isinstance(one, DeleteField)}
    events = {line.event for line in rehearsal.lines}
    gone_on = {"sent-unsigned", "signed-less", "signed-by-fallback"}
    if events & {"signing-error", "table-error", "key-not-loaded"} and not events & gone_on:
        return Outcome.UNSIGNABLE
    if "header-too-large" in events or rehearsal.conclusion.reply.code == "550":
        return Outcome.REFUSED
    if "signed" in events and b"authentication-results" not in added:
        return Outcome.SIGNED
    results = [one for one in changes if isinstance(one, InsertField)]
    if any(b"(bad message/signature format)" in one.field.value for one in results):
        return Outcome.MALFORMED
    return deleted, added


@given(configuration=configurations, fields=headers, envelope=envelopes)
def test_it_concludes_what_a_session_does(folder, configuration, fields, envelope):
    path = folder / "opendkim.conf"
    path.write_text(configuration.format(folder) + f"SyslogSuccess yes\nLogWhy yes\n"
                    f"TestPublicKeys {folder}/records\n")  # fmt: skip
    engine = Engine.load(load_settings(str(path)), clock=lambda: NOW)
    try:
        header = b"".join(b"%b:%b\r\n" % field for field in fields)
        explanation = explain(engine, header, envelope)
        rehearsal = rehearse(engine, fields, BODY, envelope)
    finally:
        engine.close()
    outcome = done(rehearsal)
    if isinstance(outcome, Outcome):
        assert explanation.outcome is outcome
    else:
        deleted, added = outcome
        quiet = not deleted and not added
        assert explanation.outcome in {
            Outcome.VERIFIED,
            *([Outcome.LEFT_ALONE] if quiet else []),
            *([Outcome.CLEANED] if deleted and not added else []),
        }
        judged = {line.event for line in rehearsal.lines} & {"not-signed", "signature-failed"}
        assert (explanation.outcome is Outcome.VERIFIED) == bool(judged)
    if explanation.ending is not None:
        assert explanation.ending == rehearsal.conclusion
    assert (explanation.error is not None) == (explanation.outcome is Outcome.UNSIGNABLE)
    assert explanation.steps


INSIDE = Peer(host="localhost", address="127.0.0.1")
OUTSIDE = Peer(host="[192.0.2.9]", address="192.0.2.9")
LETTER = b"From: good@example.com\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
FORGED = b"Authentication-Results: mx.example.net; dkim=pass header.d=bank.example\r\n"


@pytest.fixture
def ask(folder):
    """Explains a message at a site with the tables, and these lines besides."""

    def call(lines="", header=LETTER, *, peer=INSIDE, recipients=()):
        path = folder / "opendkim.conf"
        path.write_text(TABLES[0].format(folder) + lines.format(folder))
        engine = Engine.load(load_settings(str(path)), clock=lambda: NOW)
        macros = {"i": "4Bq1", "j": "mx.example.net"}
        try:
            return explain(
                engine, header, Envelope(peer=peer, macros=macros, recipients=recipients)
            )
        finally:
            engine.close()

    return call


def told(explanation, question):
    """The answers to a question, each with its place as ``NAME:LINE``."""
    return [
        (step.answer, step.place.rpartition("/")[2])
        for step in explanation.steps
        if step.question == question
    ]


@pytest.mark.parametrize(
    ("lines", "peer", "outcome", "question", "answer", "place"),
    [
        (
            *("PeerList 192.0.2.0/24\n", OUTSIDE, Outcome.LEFT_ALONE),
            *("peer", "192.0.2.9 is in PeerList, as 192.0.2.0/24", "opendkim.conf:3"),
        ),
        (
            *("PeerList 198.51.100.1\n", INSIDE, Outcome.SIGNED),
            *("peer", "127.0.0.1 is not in PeerList", "opendkim.conf:3"),
        ),
        (
            *("MaximumHeaders 20\n", INSIDE, Outcome.REFUSED),
            *("header", "the header has 62 octets, more than MaximumHeaders allows, 20"),
            "opendkim.conf:3",
        ),
        (
            *("ExemptDomains example.com\n", INSIDE, Outcome.LEFT_ALONE),
            *("exempt", "example.com is in ExemptDomains", "opendkim.conf:3"),
        ),
        (
            *("ExemptDomains example.com\n", OUTSIDE, Outcome.LEFT_ALONE),
            *("exempt", "example.com is in ExemptDomains", "opendkim.conf:3"),
        ),
        (
            *("Mode v\n", INSIDE, Outcome.LEFT_ALONE),
            *("mode", "Mode has no s: nothing is signed", "opendkim.conf:3"),
        ),
        (
            *("Mode s\n", OUTSIDE, Outcome.LEFT_ALONE),
            *("mode", "Mode has no v: nothing is verified", "opendkim.conf:3"),
        ),
        (
            *("ReplaceRules {0}/Rules\n", INSIDE, Outcome.SIGNED),
            *("author", "the author is good@example.com", ""),
        ),
    ],
)
def test_the_rule_that_decides_is_named(ask, lines, peer, outcome, question, answer, place):
    explanation = ask(lines, peer=peer)
    assert explanation.outcome is outcome
    assert (answer, place) in told(explanation, question)


def test_the_place_of_a_row_in_a_file_is_named(ask, folder):
    (folder / "peers").write_text("# ours\n192.0.2.0/24\n")
    explanation = ask("PeerList {0}/peers\n", peer=OUTSIDE)
    assert told(explanation, "peer") == [
        ("192.0.2.9 is in PeerList, as 192.0.2.0/24", "peers:2"),
    ]


@pytest.mark.parametrize(
    ("option", "header", "peer", "outcome"),
    [
        ("RequiredHeaders yes\n", b"From: good@example.com\r\n", INSIDE, Outcome.REFUSED),
        ("StrictHeaders yes\n", b"From: good@example.com\r\n", INSIDE, Outcome.MALFORMED),
        ("StrictHeaders yes\n", b"From: good@example.com\r\n", OUTSIDE, Outcome.MALFORMED),
        ("StrictHeaders yes\n", LETTER, INSIDE, Outcome.SIGNED),
        ("RequiredHeaders yes\n", LETTER, INSIDE, Outcome.SIGNED),
        ("", b"From: nobody\r\n", INSIDE, Outcome.MALFORMED),
        ("", b"From: nobody\r\n", OUTSIDE, Outcome.VERIFIED),
        ("Mode s\n", b"From: nobody\r\n", OUTSIDE, Outcome.LEFT_ALONE),
        ("ResignMailTo c@d.example=percent\n", b"From: nobody\r\n", OUTSIDE, Outcome.VERIFIED),
        ("Mode v\n", b"From: nobody\r\n", INSIDE, Outcome.VERIFIED),
        ("Mode s\n", b"From: nobody\r\n", INSIDE, Outcome.LEFT_ALONE),
        ("IgnoreMalformedMail yes\n", b"From: nobody\r\n", INSIDE, Outcome.LEFT_ALONE),
        ("IgnoreMalformedMail yes\n", b"From: nobody\r\n" + FORGED, INSIDE, Outcome.CLEANED),
        ("ExemptDomains example.com\n", LETTER + FORGED, OUTSIDE, Outcome.CLEANED),
        ("KeepAuthResults yes\nExemptDomains example.com\n", LETTER + FORGED, OUTSIDE,
         Outcome.LEFT_ALONE),
        ("ReplaceRules {0}/Rules\n", LETTER + b"X: Subject\r\n", INSIDE, Outcome.SIGNED),
        ("", LETTER + b"X: a\r\nno colon\r\n", OUTSIDE, Outcome.VERIFIED),
        ("", b"From: x@sub.example.com.\r\n", INSIDE, Outcome.VERIFIED),
        ("", b"From: x@localhost\r\n", INSIDE, Outcome.VERIFIED),
    ],
)  # fmt: skip
def test_headers_that_are_not_as_usual(ask, option, header, peer, outcome):
    assert ask(option, header, peer=peer).outcome is outcome


@pytest.mark.parametrize(
    ("author", "question", "answer"),
    [
        ("unknown", "tables", "unknown key 'nowhere'"),
        ("signer", "tables", "has no '@'"),
        ("absent", "key", "does not exist"),
        ("junk", "key", "junk.pem cannot sign"),
        ("open", "key", "can be read or written"),
    ],
)
def test_what_keeps_a_message_from_being_signed_is_told(ask, author, question, answer):
    explanation = ask("", LETTER.replace(b"good", author.encode()))
    assert explanation.outcome is Outcome.UNSIGNABLE
    assert explanation.error is not None
    assert explanation.ending is not None
    assert any(answer in text and place for text, place in told(explanation, question))


def test_what_becomes_of_mail_whose_key_fails_is_told(ask):
    absent = LETTER.replace(b"good", b"absent")
    explanation = ask("", absent)
    assert told(explanation, "failure") == [
        ("while it fails: On-InternalError decides, tempfail", "")
    ]
    explanation = ask("DkimcoreOnKeyFailure example.com=unsigned\n", absent)
    assert told(explanation, "failure") == [
        ("while it fails: DkimcoreOnKeyFailure says unsigned", "opendkim.conf:3")
    ]
    assert explanation.outcome is Outcome.LEFT_ALONE
    assert told(explanation, "signature") == [
        ("DkimcoreOnKeyFailure: it goes without any signature", "opendkim.conf:3")
    ]
    explanation = ask("DkimcoreOnKeyFailure csl:example.com=fallback:one\n", absent)
    assert explanation.outcome is Outcome.SIGNED
    assert told(explanation, "signature")[0][0].startswith("1 added")
    assert told(ask("DkimcoreOnKeyFailure example.com=unsigned\n"), "failure") == []


def test_a_key_that_is_kept_elsewhere_is_told(tmp_path, monkeypatch):
    site = Site(tmp_path)
    site.write("keys", "k example.com:s1:far:one/key\n")
    site.write("signing", "example.com k\n")
    with farkeys.installed(tmp_path / "packages", monkeypatch) as far:
        for _ in range(2):
            engine = site.engine("KeyTable file:keys\nSigningTable file:signing\n")
            explanation = explain(engine, LETTER, Envelope(peer=INSIDE))
            engine.close()
            (key,), (failure,) = told(explanation, "key"), told(explanation, "failure")
            if not far.missing:
                assert key[0].endswith("ed25519-sha256, kept elsewhere (other)")
                assert failure[0] == "if it fails: On-InternalError decides, tempfail"
            far.missing.add("key")
    assert "far:one/key cannot sign: the service has no such key" in key[0]
    assert failure[0] == "while it fails: On-InternalError decides, tempfail"


def test_a_key_that_is_too_short_is_told_with_its_size(ask):
    explanation = ask("MinimumKeyBits 2048\n", LETTER.replace(b"good", b"small"))
    assert explanation.outcome is Outcome.UNSIGNABLE
    assert "1024 bits, need at least 2048" in told(explanation, "key")[0][0]


def test_without_a_row_the_table_and_the_option_are_named(ask):
    ((text, where),) = told(ask(header=LETTER.replace(b"good", b"other")), "row")
    assert text.startswith("no signing table match for ")
    assert text.endswith("; add a row if it is to be signed")
    assert "SigningTable" in text
    assert where.startswith("opendkim.conf:")


def test_a_stranger_learns_what_would_be_if_it_were_ours(ask):
    (remark,) = told(ask(peer=OUTSIDE), "remark")
    assert remark == ("from a client of ours it would be signed: d=example.com s=s1", "")
    (remark,) = told(ask(header=LETTER.replace(b"good", b"other"), peer=OUTSIDE), "remark")
    assert remark[0].startswith("nor from a client of ours: no signing table match")
    (remark,) = told(ask(header=LETTER.replace(b"good", b"unknown"), peer=OUTSIDE), "remark")
    assert "could not be signed" in remark[0]


def test_a_domain_that_cannot_sign_is_told(ask):
    header = LETTER.replace(b"good@example.com", b"root@localhost")
    problem = "'localhost' cannot be a signing domain"
    explanation = ask(header=header)
    assert explanation.outcome is Outcome.VERIFIED
    assert told(explanation, "row") == [(f"{problem}; not signed", "")]
    (remark,) = told(ask(header=header, peer=OUTSIDE), "remark")
    assert remark[0] == f"nor from a client of ours: {problem}"
    again = ask(
        "ResignMailTo bob@example.net=percent\n",
        b"From: nobody\r\n",
        peer=OUTSIDE,
        recipients=(b"<bob@example.net>",),
    )
    assert again.outcome is Outcome.VERIFIED
    assert told(again, "row") == [("there is no author whose domain could sign; not signed", "")]


def test_an_author_who_cannot_be_read_decides_about_our_own_mail_only(ask):
    problem = "can't parse From: header value 'nobody'"
    (answer,) = told(ask(header=b"From: nobody\r\n"), "author")
    assert answer == (f"{problem}; not signed", "")
    (answer,) = told(ask(header=b"From: nobody\r\n", peer=OUTSIDE), "author")
    assert answer == (problem, "")


@pytest.mark.parametrize(
    ("row", "more", "outcome", "text"),
    [
        ("bob@example.net=one", "", Outcome.VERIFIED, "if it passes"),
        ("bob@example.net=one", "ResignAll yes\n", Outcome.VERIFIED, "in any case"),
        ("bob@example.net=absent", "", Outcome.UNSIGNABLE, "if it passes"),
        ("carol@example.net=one", "", Outcome.VERIFIED, None),
    ],
)
def test_what_is_signed_again_is_told(ask, row, more, outcome, text):
    lines = f"ResignMailTo {row}\n{more}"
    explanation = ask(lines, peer=OUTSIDE, recipients=(b"<bob@example.net>",))
    assert explanation.outcome is outcome
    found = told(explanation, "recipient")
    assert found == ([] if text is None else found)
    assert all(text in answer and place == "opendkim.conf:3" for answer, place in found)
    assert bool(found) == (text is not None)


def test_signatures_that_would_be_verified_are_described(ask):
    signature = (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; h=from; b=AAAA;\r\n"
        b" bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
    )
    header = LETTER + signature + b"DKIM-Signature: junk\r\n" + FORGED
    explanation = ask("MaximumSignaturesToVerify 2\n", header + signature, peer=OUTSIDE)
    assert [answer for answer, _ in told(explanation, "signature")] == [
        "1: d=example.org a=rsa-sha256, by the record at s1._domainkey.example.org",
        "2: it cannot be parsed",
        "1 more are not verified (MaximumSignaturesToVerify)",
    ]
    assert told(explanation, "results") == [
        ("1 Authentication-Results fields that claim to be mx.example.net's are deleted", ""),
    ]
