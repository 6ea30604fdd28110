"""What is signed, how, and what happens to mail that cannot be."""

import re
import tempfile
from pathlib import Path

import pytest

import dkimcore
from dkimcore.errors import KeyUnavailable
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.resolvers.static import StaticResolver
from dkimcore.settings.model import Action, Source
from dkimcore.testing import EphemeralKey
from dkimcore_milter.action import ACCEPT, DeleteField, InsertField, Reply, Verdict
from dkimcore_milter.logline import Level
from dkimcore_milter.peer import Peer
from tests.milter.sessions import BODY, INSIDE, NOW, SIMPLE, Mta, compose, site
from tests.protocol import material

RECORDS = StaticResolver({"s1._domainkey.example.com": material.rsa().record()})
SIGNING_ERROR = Reply(Verdict.REJECT, "550", "5.7.0", "DKIM signing error")
TEMPFAIL = Reply(Verdict.TEMPFAIL)


def verified(message, resolver=RECORDS, **policy):
    return dkimcore.verify(
        message, resolver=resolver, now=NOW, policy=dkimcore.VerifyPolicy(**policy)
    )


def tags(outcome):
    """The tags of the topmost signature."""
    value = re.sub(r"\s", "", outcome.values("DKIM-Signature")[0])
    return dict(tag.partition("=")[::2] for tag in value.split(";"))


def signed(folder, fields=SIMPLE, body=BODY, *, recipients=(b"<bob@example.net>",), **groups):
    return Mta(site(folder, **groups), peer=INSIDE).send(fields, body, recipients=recipients)


def test_mail_of_an_internal_host_is_signed(tmp_path):
    outcome = signed(tmp_path)
    assert outcome.reply == ACCEPT
    assert outcome.step == "eom"
    assert verified(outcome.message).passed
    assert outcome.lines("signed") == ["DKIM-Signature field added (s=s1, d=example.com)"]
    assert outcome.log[0].level is Level.INFO
    assert outcome.log[0].fields == {
        "domain": "example.com",
        "selector": "s1",
        "algorithm": "rsa-sha256",
    }
    assert str(outcome.log[0]).startswith("4Bq1: ")


def test_success_is_only_logged_if_wanted(tmp_path):
    """SyslogSuccess."""
    assert signed(tmp_path, logging={"success": False}).log == []


def test_mail_of_a_client_that_authenticated_is_signed(tmp_path):
    macros = {"i": "Q", "j": "mx", "{auth_type}": "PLAIN"}
    outcome = Mta(site(tmp_path), macros=macros).send()
    assert verified(outcome.message).passed


@pytest.mark.parametrize("chunk", [1, 7, 65_535])
def test_the_chunks_of_the_body_do_not_matter(tmp_path, chunk):
    outcome = Mta(site(tmp_path), peer=INSIDE).send(
        SIMPLE, b"one\r\n two \r\n\r\nthree\r\n\r\n\r\n", chunk=chunk
    )
    assert verified(outcome.message).passed


@pytest.mark.parametrize(
    "value",
    [b" a\r\n\tb", b"\ta\r\n  \r\n c", b"", b"   ", b" a\tb ", "x \u00fc".encode(), b" \xff\xfe"],
)
@pytest.mark.parametrize("canonicalization", Canonicalization)
def test_a_field_is_signed_octet_by_octet(tmp_path, value, canonicalization):
    """Leading white space, folds and octets above 127 are as they were."""
    fields = [(name, value if name == b"Subject" else old) for name, old in SIMPLE]
    outcome = signed(tmp_path, fields, signing={"header_canonicalization": canonicalization})
    assert verified(outcome.message).passed


def test_a_field_name_with_a_semicolon_disturbs_nobody(tmp_path):
    """OpenDKIM leaves it out; no h= can name it, so it changes no hash."""
    outcome = signed(tmp_path, [(b"X;Y", b" z"), *SIMPLE])
    assert verified(outcome.message).passed
    assert outcome.values("X;Y") == ["z"]


def test_an_author_beyond_ascii_is_signed_for(tmp_path):
    """OpenDKIM aborts here."""
    settings = site(tmp_path)
    (tmp_path / "KeyTable").write_text(f"main %:s1:{tmp_path}/s1.private\n")
    (tmp_path / "SigningTable").write_text("* main\n")
    fields = [(b"From", " <a@b\u00fccher.example>".encode()), *SIMPLE[1:]]
    outcome = Mta(settings, peer=INSIDE).send(fields)
    records = StaticResolver({"s1._domainkey.xn--bcher-kva.example": material.rsa().record()})
    assert "d=xn--bcher-kva.example;" in outcome.values("DKIM-Signature")[0]
    assert verified(outcome.message, records).passed


def test_all_matches_sign_and_the_last_ends_up_on_top(tmp_path):
    settings = site(tmp_path, signing={"multiple_signatures": True})
    ed25519 = EphemeralKey.ed25519(bytes(32))
    (tmp_path / "ed.private").write_bytes(ed25519.private_pem())
    with (tmp_path / "KeyTable").open("a") as table:
        table.write(f"ed example.com:ed:{tmp_path}/ed.private\n")
        table.write(f"third example.com:s3:{tmp_path}/s1.private\n")
    (tmp_path / "SigningTable").write_text("alice@example.com main\nexample.com ed\n* third\n")
    outcome = Mta(settings, peer=INSIDE).send()
    selectors = re.findall(r"; s=(\w+)", " ".join(outcome.values("DKIM-Signature")))
    assert selectors == ["s3", "ed", "s1"]
    records = StaticResolver(
        {
            "s1._domainkey.example.com": material.rsa().record(),
            "s3._domainkey.example.com": material.rsa().record(),
            "ed._domainkey.example.com": ed25519.key_record(),
        }
    )
    assert [one.passed for one in verified(outcome.message, records)] == [True] * 3


def test_old_signatures_go_bottom_up(tmp_path):
    """RemoveOldSignatures."""
    old = [(b"DKIM-Signature", b" v=1; one"), *SIMPLE, (b"dkim-signature", b" v=1; two")]
    outcome = signed(tmp_path, old, signing={"remove_old_signatures": True})
    deleted = [one.index for one in outcome.changes if isinstance(one, DeleteField)]
    assert deleted == [2, 1]
    assert len(outcome.values("DKIM-Signature")) == 1
    assert verified(outcome.message).passed
    assert len(signed(tmp_path, old).values("DKIM-Signature")) == 3


def test_the_filter_names_itself(tmp_path):
    """SoftwareHeader."""
    outcome = signed(tmp_path, logging={"software_header": True})
    expected = f"dkimcore v{dkimcore.__version__} mx.example.net 4Bq1"
    assert outcome.values("DKIM-Filter") == [expected]
    assert isinstance(outcome.changes[-1], InsertField)
    assert verified(outcome.message).passed


def test_a_signature_expires_and_copies_fields(tmp_path):
    """SignatureTTL, Diagnostics."""
    outcome = signed(tmp_path, signing={"lifetime": 60, "copied_fields": True})
    found = tags(outcome)
    assert int(found["x"]) - int(found["t"]) == 60
    assert found["z"].startswith("From:Alice=20<alice@example.com>|")
    assert verified(outcome.message).passed


@pytest.mark.parametrize(("limit", "length"), [(0, 0), (5, 5), (10_000, len(BODY))])
def test_only_so_much_of_the_body_is_signed(tmp_path, limit, length):
    """MaximumSignedBytes."""
    outcome = signed(tmp_path, signing={"maximum_signed_bytes": limit})
    assert tags(outcome)["l"] == str(length)
    changed = outcome.message[: len(outcome.message) - len(BODY) + length] + b"changed\r\n"
    assert verified(changed, allow_body_length=True).passed


def test_some_recipients_want_l(tmp_path):
    """BodyLengthDB."""
    groups = {"signing": {"body_length_db": Source("list@example.net")}}
    recipients = (b"<bob@example.net>", b"<list@example.net>")
    outcome = signed(tmp_path, recipients=recipients, **groups)
    assert tags(outcome)["l"] == str(len(BODY))
    assert outcome.lines("body-length") == [
        "BodyLengthDB matched list@example.net, signing with l= requested"
    ]
    assert "l" not in tags(signed(tmp_path, **groups))


def test_some_recipients_want_no_signature(tmp_path):
    """DontSignMailTo: then the message is left alone."""
    outcome = signed(
        tmp_path,
        recipients=(b"<a@example.net>", b"<list@example.net>"),
        signing={"exempt_recipients": Source("list@example.net")},
    )
    assert (outcome.reply, outcome.step, outcome.changes) == (ACCEPT, "eoh", ())
    assert outcome.lines("recipient-exempt") == ["skipping signing of mail to 'list@example.net'"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" relaxed/simple", "relaxed/simple"),
        (b" SIMPLE/relaxed ", "simple/relaxed"),
        (b" simple", "simple/simple"),
        (b" relaxed", "relaxed/simple"),
        (b" nonsense", "relaxed/relaxed"),
        (b" relaxed/nonsense", "relaxed/relaxed"),
        (b" relaxed/simple/simple", "relaxed/relaxed"),
        (b"", "relaxed/relaxed"),
        (None, "relaxed/relaxed"),
    ],
)
def test_a_field_may_choose_the_canonicalization(tmp_path, value, expected):
    """SelectCanonicalizationHeader, if it is set."""
    fields = SIMPLE if value is None else [*SIMPLE, (b"x-canonicalization", value)]
    groups = {"signing": {"canonicalization_header": "X-Canonicalization"}}
    outcome = signed(tmp_path, fields, **groups)
    assert tags(outcome)["c"] == expected
    assert verified(outcome.message).passed
    assert tags(signed(tmp_path, fields))["c"] == "relaxed/relaxed"


@pytest.mark.parametrize(
    ("value", "auid"),
    [
        (b" alice@example.com", "alice@example.com"),
        (b" A <x@mail.example.com>", "x@mail.example.com"),
        (b" x@example.org", None),
        (b" nonsense", None),
        (b" x@localhost", None),
        (b" " + b"x" * 400 + b"@example.com", None),
    ],
)
@pytest.mark.parametrize("remove", [False, True])
def test_a_field_may_name_the_auid(tmp_path, value, auid, remove):
    """IdentityHeader, IdentityHeaderRemove: what is removed must not be signed."""
    fields = [(b"Reply-To", value), *SIMPLE]
    groups = {"signing": {"identity_header": "Reply-To", "identity_header_remove": remove}}
    outcome = signed(tmp_path, fields, **groups)
    assert tags(outcome).get("i") == auid
    assert outcome.values("Reply-To") == ([] if remove else [value.decode().strip()])
    assert verified(outcome.message).passed


def test_without_that_field_nothing_is_different(tmp_path):
    outcome = signed(tmp_path, signing={"identity_header": "X-Id", "identity_header_remove": True})
    assert "i" not in tags(outcome)
    assert [type(one) for one in outcome.changes] == [InsertField]


def test_what_the_mta_rewrites_later_is_signed_as_it_will_be(tmp_path):
    """ReplaceRules."""
    (tmp_path / "rules").write_text("host\\.example\\.com\texample.com\n")
    groups = {"signing": {"replace_rules": Source(f"{tmp_path}/rules")}}
    fields = [(b"From", b" a@host.example.com"), *SIMPLE[1:]]
    outcome = signed(tmp_path, fields, **groups)
    assert verified(outcome.message.replace(b"host.", b"")).passed


@pytest.mark.parametrize("chunk", [1, 2, 3, 65_535])
@pytest.mark.parametrize("body", [b"a\rb\nc\r\nd\r", b"a\r\r\n\n\r\n", b"\r", b"a\r\n"])
def test_lone_line_ends_are_hashed_as_they_will_be(tmp_path, body, chunk):
    """FixCRLF."""
    mta = Mta(site(tmp_path, signing={"fix_crlf": True}), peer=INSIDE)
    outcome = mta.send(SIMPLE, body, chunk=chunk)
    fixed = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert verified(outcome.message.removesuffix(body) + fixed).passed


@pytest.mark.parametrize("chunk", [1, 65_535])
def test_lone_line_ends_are_hashed_as_they_are(tmp_path, chunk):
    """The MTA's message is final; cron jobs print progress with CRs, and their mail is signed."""
    outcome = Mta(site(tmp_path), peer=INSIDE).send(SIMPLE, b"10%\r20%\n30%\r", chunk=chunk)
    assert verified(outcome.message).passed


def test_a_lone_cr_in_the_header_is_signed_as_it_is(tmp_path):
    """Scripts of web sites send such mail, and OpenDKIM signs it; refusing it would lose it."""
    fields = [*SIMPLE, (b"X-A", b" a\rb")]
    outcome = signed(tmp_path, fields)
    assert (outcome.reply, outcome.step) == (ACCEPT, "eom")
    assert len(outcome.values("DKIM-Signature")) == 1
    assert b"X-A: a\rb\r\n" in outcome.message


def test_the_header_may_not_hold_a_lone_lf(tmp_path):
    """From an MTA none comes: the connection makes each LF a CRLF."""
    fields = [*SIMPLE, (b"X-A", b" a\nb")]
    outcome = signed(tmp_path, fields)
    assert (outcome.reply, outcome.step) == (SIGNING_ERROR, "eom")


@pytest.mark.parametrize(
    "value", [b" a\r\nFrom: eve@example.org", b" a\r\n", b" a\r\n\r\nbody", b"\r\n"]
)
def test_a_field_that_is_two_is_not_signed(tmp_path, value):
    outcome = signed(tmp_path, [*SIMPLE, (b"X-A", value), (b"X-B", b" b")])
    assert outcome.reply == SIGNING_ERROR
    assert "no fold" in outcome.lines("signing-error")[0]


def test_two_authors_are_not_signed(tmp_path):
    outcome = signed(tmp_path, [*SIMPLE, (b"From", b" eve@example.org")])
    assert (outcome.reply, outcome.step, outcome.changes) == (SIGNING_ERROR, "eom", ())
    assert outcome.skipped
    (line,) = outcome.lines("signing-error")
    assert line.startswith("signature generation error: the message has 2 From fields")


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        (Action.ACCEPT, ACCEPT),
        (Action.DISCARD, Reply(Verdict.DISCARD)),
        (Action.TEMPFAIL, Reply(Verdict.TEMPFAIL, "451", "4.7.0", "DKIM signing error")),
        (Action.REJECT, SIGNING_ERROR),
        (Action.QUARANTINE, ACCEPT),
    ],
)
def test_the_operator_decides_what_becomes_of_what_cannot_be_signed(tmp_path, action, reply):
    """On-SignatureError."""
    fields = [*SIMPLE, (b"From", b" eve@example.org")]
    outcome = signed(tmp_path, fields, actions={"signature_error": action})
    assert outcome.reply == reply
    assert (outcome.quarantine is not None) is (action is Action.QUARANTINE)
    assert outcome.lines("signing-error")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("other example.com:s1:/x\n", "signing table references unknown key 'main'"),
        ("main example.com:s1\n", "KeyTable entry for 'main' corrupt"),
        ("main example.com:s1:/nowhere/key\n", "can't load key from /nowhere/key: "),
        ("main example.com:s1:nosuchscheme:key\n", ""),
    ],
)
def test_a_wrong_table_is_never_an_unsigned_message(tmp_path, keys, line):
    """The client tries again, and the log says what to mend; told at the end of the header."""
    settings = site(tmp_path)
    (tmp_path / "KeyTable").write_text(keys)
    outcome = Mta(settings, peer=INSIDE).send()
    assert (outcome.reply, outcome.step) == (TEMPFAIL, "eoh")
    (first, *_) = [each for each in outcome.log if each.level is Level.ERR]
    assert first.text.startswith(line)


def test_a_row_that_is_wrong_is_named(tmp_path):
    settings = site(tmp_path)
    (tmp_path / "KeyTable").write_text("main example.com:s1\n")
    outcome = Mta(settings, peer=INSIDE).send()
    assert f"[{tmp_path}/KeyTable:1]" in outcome.log[0].text


def test_a_key_that_is_not_there_is_named(tmp_path):
    settings = site(tmp_path)
    (tmp_path / "s1.private").unlink()
    outcome = Mta(settings, peer=INSIDE).send()
    assert outcome.lines("key-not-loaded") == ["error loading key 'main'"]
    assert outcome.log[-1].fields == {"domain": "example.com", "selector": "s1", "key": "main"}


def test_a_key_that_others_may_read_is_not_used():
    """RequireSafeKeys; pytest's own folders nobody else can enter, so that all is safe there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = site(folder, signing={"require_safe_keys": True})
        (folder / "s1.private").chmod(0o644)
        outcome = Mta(settings, peer=INSIDE).send()
    assert (outcome.reply, outcome.step) == (TEMPFAIL, "eoh")
    assert outcome.lines("key-error")[0].startswith("main: key data is not secure: ")


def test_a_key_that_is_none_is_found_out_at_the_end(tmp_path):
    settings = site(tmp_path)
    (tmp_path / "s1.private").write_text("nonsense\n")
    outcome = Mta(settings, peer=INSIDE).send()
    assert outcome.reply == Reply(Verdict.TEMPFAIL, "451", "4.7.0", "resource unavailable")
    assert outcome.step == "eom"
    assert "nonsense" not in str(outcome.log)


@pytest.mark.parametrize(("bits", "minimum"), [(1024, 2048), (1023, 1024)])
def test_a_key_too_small_signs_nothing(tmp_path, bits, minimum):
    """MinimumKeyBits, On-SignatureError."""
    settings = site(tmp_path, verifying={"minimum_key_bits": minimum})
    small = Path(material.__file__).with_name("keys").joinpath(f"rsa{bits}.pem")
    (tmp_path / "s1.private").write_text(small.read_text())
    outcome = Mta(settings, peer=INSIDE).send()
    assert (outcome.reply, outcome.step) == (SIGNING_ERROR, "eom")
    assert outcome.lines("signing-error") == [
        f"signature generation error: private key too small ({bits} bits, need at least {minimum})"
    ]


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        (Action.ACCEPT, ACCEPT),
        (Action.DISCARD, Reply(Verdict.DISCARD)),
        (Action.REJECT, Reply(Verdict.REJECT)),
        (Action.TEMPFAIL, TEMPFAIL),
    ],
)
def test_the_operator_decides_what_becomes_of_mail_that_we_fail_on(tmp_path, action, reply):
    """On-InternalError."""
    settings = site(tmp_path, actions={"internal_error": action})
    (tmp_path / "s1.private").unlink()
    assert Mta(settings, peer=INSIDE).send().reply == reply


def test_mail_that_we_fail_on_may_be_held(tmp_path):
    """CaptureUnknownErrors: held at the end of the message, for it cannot be earlier."""
    settings = site(tmp_path, actions={"quarantine_unknown_errors": True})
    (tmp_path / "s1.private").unlink()
    outcome = Mta(settings, peer=INSIDE).send()
    assert (outcome.reply, outcome.step) == (ACCEPT, "eom")
    assert outcome.quarantine == "dkimcore: internal DKIM error"


class FarKey(EphemeralKey):
    """A key of a service that may be down."""

    is_local = False
    is_down = False

    def sign_digest(self, digest):
        if FarKey.is_down:
            raise KeyUnavailable("the service does not answer", uri="far:key")
        return super().sign_digest(digest)


def test_a_key_service_that_is_down_tempfails(tmp_path, monkeypatch):
    """Also the adapter is told that the end of the message may take its time."""
    settings = site(tmp_path)
    (tmp_path / "KeyTable").write_text("main example.com:s1:far:key\n")
    mta = Mta(settings, peer=INSIDE)
    mta.engine._keys.add("far:key", FarKey.ed25519(bytes(32)))
    monkeypatch.setattr(FarKey, "is_down", True)
    mta.session.envelope_sender(b"<>")
    for one in SIMPLE:
        mta.session.field(*one)
    assert not mta.session.may_be_slow
    mta.session.end_of_header()
    assert mta.session.may_be_slow
    outcome = mta.send()
    assert outcome.reply == Reply(Verdict.TEMPFAIL, "451", "4.7.5", "resource unavailable")
    assert "the service does not answer" in outcome.lines("key-failed")[0]


def test_a_key_at_hand_is_not_slow(tmp_path):
    mta = Mta(site(tmp_path), peer=INSIDE)
    mta.session.envelope_sender(b"<>")
    for one in SIMPLE:
        mta.session.field(*one)
    mta.session.end_of_header()
    assert not mta.session.may_be_slow


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("verifies", [True, False])
def test_a_row_for_everybody_does_not_make_mail_of_cron_bounce(tmp_path, single, verifies):
    """Nobody can sign for a domain of one label, so it is not ours to sign."""
    everybody = {
        "signing_table": None,
        "key_table": None,
        "domains": Source("*"),
        "selector": "s1",
        "key_file": Source(f"{tmp_path}/s1.private"),
    }
    hosts = {"verifies": verifies}
    settings = site(tmp_path, signing=everybody if single else {}, hosts=hosts)
    (tmp_path / "KeyTable").write_text(f"main %:s1:{tmp_path}/s1.private\n")
    (tmp_path / "SigningTable").write_text("* main\n")
    mta = Mta(settings, peer=INSIDE)
    outcome = mta.send([(b"From", b" root@localhost"), *SIMPLE[1:]])
    assert (outcome.reply, outcome.changes) == (ACCEPT, ())
    (line,) = [line for line in outcome.log if line.event == "unfit-domain"]
    assert (line.level, line.text) == (
        Level.NOTICE,
        "'localhost' cannot be a signing domain; not signed",
    )
    assert outcome.lines("not-signed") == ["no signature data"] * verifies
    # A final dot is no part of the domain.
    outcome = mta.send([(b"From", b" alice@example.com."), *SIMPLE[1:]])
    assert verified(outcome.message).passed


def test_who_only_verifies_does_not_say_that_nothing_is_signed(tmp_path):
    settings = site(tmp_path, hosts={"signs": False})
    (tmp_path / "KeyTable").write_text(f"main %:s1:{tmp_path}/s1.private\n")
    (tmp_path / "SigningTable").write_text("* main\n")
    outcome = Mta(settings, peer=INSIDE).send([(b"From", b" root@localhost"), *SIMPLE[1:]])
    assert outcome.step == "eom"
    assert outcome.lines("unfit-domain") == []


def test_one_key_without_tables(tmp_path):
    """Domain, Selector, KeyFile."""
    single = {
        "signing_table": None,
        "key_table": None,
        "domains": Source("example.com"),
        "selector": "s1",
        "key_file": Source(f"{tmp_path}/s1.private"),
    }
    settings = site(tmp_path, signing=single)
    assert verified(Mta(settings, peer=INSIDE).send().message).passed
    outside = Peer(host="mail.example.org", address="192.0.2.1")
    outcome = Mta(settings, peer=outside).send()
    assert outcome.values("DKIM-Signature") == []
    assert outcome.lines("external-use") == [
        "external host mail.example.org attempted to send as example.com"
    ]
    (tmp_path / "s1.private").unlink()
    outcome = Mta(settings, peer=INSIDE).send()
    assert outcome.reply == TEMPFAIL
    assert str(tmp_path) in outcome.lines("key-not-loaded")[0]


def test_the_message_itself_stays_as_it_was(tmp_path):
    outcome = signed(tmp_path)
    assert outcome.message.endswith(compose(SIMPLE, BODY))
