"""`why` concludes what a session does, for configurations and clients of all kinds."""

from __future__ import annotations

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
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables, lists and keys that configurations choose from."""
    site = Site(tmp_path_factory.mktemp("site"))
    key = site.key("good.pem")
    site.key("small.pem", SMALL_RSA)
    # Only what stands above the folder decides whether others can come to this one.
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
    "ResignMailTo": st.sampled_from(["bob@example.net=one", "bob@example.net=absent", "bob@x"]),
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
    "On-Security": ACTIONS,
    "On-InternalError": ACTIONS,
    "On-SignatureError": ACTIONS,
}

configurations = st.tuples(
    st.sampled_from(TABLES), st.fixed_dictionaries({}, optional=OPTIONS)
).map(lambda chosen: chosen[0] + "".join(f"{name} {text}\n" for name, text in chosen[1].items()))

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
    if events & {"signing-error", "table-error", "key-not-loaded"}:
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
