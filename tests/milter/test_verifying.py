"""What is said about mail from outside, and what follows from it."""

import re

import pytest

import dkimcore
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers.static import StaticResolver
from dkimcore.settings.model import Action, KeyTrust, Source
from dkimcore_milter.action import ACCEPT, DeleteField, Reply, Verdict
from dkimcore_milter.logline import Level
from dkimcore_milter.peer import Peer
from tests.milter.sessions import BODY, HOST, INSIDE, NOW, SIMPLE, Mta, compose, publish, site
from tests.protocol import material

rfc = pytest.mark.rfc
KEY = material.rsa()
FORGED = (b"Authentication-Results", b" mx.example.net; dkim=pass header.d=bank.example")


def mail(*, selector="s1", domain="example.com", fields=SIMPLE, body=BODY, now=NOW, **profile):
    """A message signed for a domain with the site's key."""
    message = compose(fields, body)
    signer = dkimcore.Signer.make(domain, selector, KEY, profile=dkimcore.SigningProfile(**profile))
    return dkimcore.sign(message, [signer], now=now).octets + message


def tampered(message=None):
    return (message or mail()).replace(b"hungry", b"angry")


def judged(folder, message, *, resolver=None, recipients=(b"<bob@example.net>",), **groups):
    mta = Mta(site(folder, **groups), resolver=resolver)
    return mta.pass_on(message, recipients=recipients)


def answering(status, *records, authentic=False, detail=""):
    answer = TxtAnswer(status, records, authentic=authentic, detail=detail)
    return StaticResolver({"s1._domainkey.example.com": answer})


DOWN = answering(TxtStatus.FAILED, detail="timed out")


@rfc("8601", "2.7.1")
def test_a_good_signature_passes(tmp_path):
    outcome = judged(tmp_path, mail())
    assert outcome.reply == ACCEPT
    (field,) = outcome.results
    shown = re.search(rb"b=(\w{8})", re.sub(rb"[\r\n\t]", b"", mail()).partition(b"bh=")[2])
    assert field.split() == [
        f"{HOST};",
        "dkim=pass",
        "(2048-bit",
        "key)",
        "header.d=example.com",
        "header.i=@example.com",
        "header.a=rsa-sha256",
        "header.s=s1",
        f"header.b={shown[1].decode()}",
    ]
    assert outcome.lines("verified") == ["DKIM verification successful"]
    assert outcome.message.endswith(mail())


def test_success_is_only_logged_if_wanted(tmp_path):
    outcome = judged(tmp_path, mail(), logging={"success": False, "why": False})
    assert outcome.log == []


@pytest.mark.parametrize("chunk", [1, 3, 65_535])
def test_the_chunks_of_the_body_do_not_matter(tmp_path, chunk):
    outcome = Mta(site(tmp_path)).pass_on(mail(), chunk=chunk)
    assert "dkim=pass" in outcome.results[0]


@pytest.mark.parametrize("canonicalization", Canonicalization)
def test_eight_bit_mail_is_verified_as_it_is(tmp_path, canonicalization):
    fields = [*SIMPLE, (b"X-Odd", b"\t\xff\xfe\r\n \xc3\xbc;;  ")]
    signer = dkimcore.Signer.make(
        "example.com",
        "s1",
        KEY,
        profile=dkimcore.SigningProfile(
            header_canonicalization=canonicalization,
            body_canonicalization=canonicalization,
            fields=("from", "x-odd"),
        ),
    )
    message = compose(fields, b"\x00\x80\xff x\r\n")
    message = dkimcore.sign(message, [signer], now=NOW).octets + message
    assert "dkim=pass" in judged(tmp_path, message).results[0]


def test_a_changed_body_fails_and_is_accepted(tmp_path):
    outcome = judged(tmp_path, tampered())
    assert outcome.reply == ACCEPT
    told = 'dkim=fail reason="signature verification failed" (2048-bit key) header.d=example.com'
    assert told in " ".join(outcome.results[0].split())
    assert outcome.lines("bad-signature") == ["bad signature data"]
    (why,) = outcome.lines("signature-failed")
    assert why.startswith("signature 1 not accepted: body hash did not verify (s=s1 d=example.com")


def test_a_changed_header_fails(tmp_path):
    outcome = judged(tmp_path, mail().replace(b"dinner", b"winner"))
    assert "dkim=fail" in outcome.results[0]
    assert outcome.lines("crypto-error") == [
        "s=s1 d=example.com a=rsa-sha256 SSL error: the signature does not fit"
    ]
    assert outcome.skipped


def test_each_failure_is_a_line_for_programs(tmp_path):
    (line,) = [one for one in judged(tmp_path, tampered()).log if one.event == "signature-failed"]
    assert line.fields["cause"] == "body_hash"
    assert line.fields["status"] == "fail"
    assert line.fields["domain"] == "example.com"
    quiet = judged(tmp_path, tampered(), logging={"why": False})
    assert quiet.lines("signature-failed") == []


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (Action.ACCEPT, ACCEPT),
        (Action.DISCARD, Reply(Verdict.DISCARD)),
        (Action.REJECT, Reply(Verdict.REJECT, "550", "5.7.0", "bad DKIM signature data")),
        (Action.TEMPFAIL, Reply(Verdict.TEMPFAIL, "451", "4.7.0", "bad DKIM signature data")),
        (Action.QUARANTINE, ACCEPT),
    ],
)
def test_a_bad_signature_has_its_action(tmp_path, action, verdict):
    """On-BadSignature."""
    outcome = judged(tmp_path, tampered(), actions={"bad_signature": action})
    assert outcome.reply == verdict
    assert (outcome.quarantine is not None) is (action is Action.QUARANTINE)
    assert bool(outcome.changes) is (verdict == ACCEPT)


def test_a_malformed_signature_is_a_bad_one(tmp_path):
    message = b"DKIM-Signature: nonsense\r\n" + compose(SIMPLE, BODY)
    outcome = judged(tmp_path, message, actions={"bad_signature": Action.REJECT})
    assert outcome.reply == Reply(Verdict.REJECT, "550", "5.7.0", "DKIM signature syntax error")
    assert outcome.lines("syntax-error")[0].startswith("syntax error: ")
    outcome = judged(tmp_path, message)
    assert outcome.results == [f"{HOST}; dkim=permerror"]


def test_a_junk_signature_hides_neither_a_good_one_nor_a_forgery(tmp_path):
    """OpenDKIM ends at the first."""
    outcome = judged(
        tmp_path,
        b"DKIM-Signature: nonsense\r\n" + compose([FORGED], b"")[:-2] + mail(),
        actions={"bad_signature": Action.REJECT},
    )
    assert outcome.reply == ACCEPT
    (field,) = outcome.results
    assert "dkim=permerror;" in field
    assert "dkim=pass (2048" in field
    assert "bank" not in field


def test_a_revoked_key_is_a_bad_signature(tmp_path):
    settings = site(tmp_path, actions={"bad_signature": Action.REJECT})
    publish(tmp_path, s1=b"v=DKIM1; p=")
    outcome = Mta(settings).pass_on(mail())
    assert outcome.reply == Reply(Verdict.REJECT)
    assert outcome.lines("key-revoked") == ["key revoked (s=s1, d=example.com, a=rsa-sha256)"]


def test_a_revoked_key_fails(tmp_path):
    settings = site(tmp_path)
    publish(tmp_path, s1=b"v=DKIM1; p=")
    outcome = Mta(settings).pass_on(mail())
    assert 'dkim=fail reason="key revoked" header.d' in " ".join(outcome.results[0].split())


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        (Action.ACCEPT, ACCEPT),
        (Action.REJECT, Reply(Verdict.REJECT, "550", "5.7.0", "DKIM key retrieval failed")),
        (Action.TEMPFAIL, Reply(Verdict.TEMPFAIL, "451", "4.7.5", "DKIM key retrieval failed")),
    ],
)
def test_no_key_has_its_action(tmp_path, action, reply):
    """On-KeyNotFound."""
    message = mail(selector="gone")
    outcome = judged(tmp_path, message, actions={"key_not_found": action})
    assert outcome.reply == reply
    assert outcome.skipped
    (line,) = outcome.lines("key-retrieval-failed")
    assert line.startswith("key retrieval failed (s=gone, d=example.com): ")
    if reply == ACCEPT:
        assert 'reason="key not found in DNS"' in outcome.results[0]


def test_a_dns_failure_is_a_temporary_one(tmp_path):
    """On-DNSError acts, unlike OpenDKIM's."""
    outcome = judged(tmp_path, mail(), resolver=DOWN)
    assert outcome.reply == Reply(Verdict.TEMPFAIL, "451", "4.7.5", "DKIM key retrieval failed")
    assert outcome.lines("key-retrieval-failed") == [
        "key retrieval failed (s=s1, d=example.com): timed out"
    ]
    outcome = judged(tmp_path, mail(), resolver=DOWN, actions={"dns_error": Action.ACCEPT})
    assert "dkim=temperror header.d=example.com" in " ".join(outcome.results[0].split())


def test_the_queries_of_a_message_may_take_so_long(tmp_path):
    class AsksElsewhere:
        def lookup_txt(self, name):
            return StaticResolver({}).lookup_txt(name)

    outcome = judged(tmp_path, mail(), resolver=AsksElsewhere(), resolving={"message_timeout": 0})
    assert outcome.reply.code == "451"
    assert "took over 0 seconds" in outcome.lines("key-retrieval-failed")[0]


def test_a_resolver_that_breaks_is_a_dns_failure(tmp_path):
    class Broken:
        def lookup_txt(self, name):
            raise OSError("no network")

    outcome = judged(tmp_path, mail(), resolver=Broken())
    assert outcome.reply.code == "451"


@pytest.mark.parametrize(
    ("action", "reply", "level"),
    [
        (Action.ACCEPT, ACCEPT, Level.DEBUG),
        (
            Action.REJECT,
            Reply(Verdict.REJECT, "550", "5.7.0", "no DKIM signature data"),
            Level.NOTICE,
        ),
        (
            Action.TEMPFAIL,
            Reply(Verdict.TEMPFAIL, "451", "4.7.0", "no DKIM signature data"),
            Level.NOTICE,
        ),
    ],
)
@pytest.mark.parametrize("always", [False, True])
def test_unsigned_mail_has_its_action(tmp_path, action, reply, level, always):
    """On-NoSignature, whatever AlwaysAddARHeader says."""
    outcome = judged(
        tmp_path,
        compose(SIMPLE, BODY),
        actions={"no_signature": action},
        verifying={"always_add_results": always},
    )
    assert outcome.reply == reply
    assert outcome.skipped
    (line,) = [one for one in outcome.log if one.event == "not-signed"]
    assert (line.level, line.text) == (level, "no signature data")


def test_unsigned_mail_is_quiet_without_logwhy(tmp_path):
    outcome = judged(tmp_path, compose(SIMPLE, BODY), logging={"why": False})
    assert outcome.log == []
    assert outcome.changes == ()


def test_unsigned_mail_may_be_said_to_be_so(tmp_path):
    """AlwaysAddARHeader."""
    outcome = judged(tmp_path, compose(SIMPLE, BODY), verifying={"always_add_results": True})
    assert outcome.results == [f"{HOST}; dkim=none"]


@rfc("8601", "5")
@pytest.mark.parametrize(
    "message",
    [
        compose([FORGED, *SIMPLE], BODY),
        compose([FORGED], b"")[:-2] + mail(),
        compose([FORGED], b"")[:-2] + tampered(),
        b"DKIM-Signature: x\r\n" + compose([FORGED, *SIMPLE], BODY),
        compose([FORGED, *SIMPLE[1:]], BODY),
        compose([FORGED, (b"From", b" undisclosed"), *SIMPLE[1:]], BODY),
        compose([FORGED, *SIMPLE, (b"X", b" a\rb")], BODY),
        compose([FORGED], BODY),
    ],
)
@pytest.mark.parametrize("ignore", [False, True])
def test_a_forged_result_is_taken_out_of_every_message(tmp_path, message, ignore):
    """Whether signed, unsigned, malformed or without an author; IgnoreMalformedMail or not."""
    outcome = judged(tmp_path, message, verifying={"ignore_malformed_mail": ignore})
    assert outcome.reply == ACCEPT
    assert b"bank.example" not in outcome.message


@rfc("8601", "5")
def test_forged_results_go_bottom_up(tmp_path):
    """CVE-2022-48521."""
    fields = [
        FORGED,
        (b"authentication-results", b" other.example; dkim=pass header.d=good.example"),
        *SIMPLE,
        (b"AUTHENTICATION-RESULTS", b" MX.example.net./4Bq1; dkim/1=pass x.y=bank.example"),
        (b"Authentication-Results", b" (unclosed mx.example.net; dkim=pass header.d=bank.example"),
    ]
    outcome = judged(tmp_path, compose(fields, BODY))
    assert [change.index for change in outcome.changes] == [4, 3, 1]
    assert b"bank.example" not in outcome.message
    assert b"good.example" in outcome.message


@rfc("8601", "5")
@pytest.mark.parametrize(
    "odd",
    [
        (b"X-Odd", b" a\r\nAuthentication-Results: other.example; dkim=pass"),
        (b"X-Odd", b" a\r\n"),
        (b"X-Odd", b"\r\n\r\n"),
        (b" X-Odd", b" a"),
        (b"X-Odd\r\nAuthentication-Results", b" other.example; dkim=pass"),
    ],
)
def test_forged_results_are_numbered_as_the_mta_counts_them(tmp_path, odd):
    """A value with a line end that is no fold makes no field of its own."""
    results = (b"Authentication-Results", b" other.example; dkim=pass header.d=good.example")
    mta = Mta(site(tmp_path))
    outcome = mta.send([*SIMPLE, odd, results, FORGED])
    deleted = [change for change in outcome.changes if isinstance(change, DeleteField)]
    assert deleted == [DeleteField(b"Authentication-Results", 2)]
    assert outcome.results == [f"{HOST}; dkim=permerror (bad message/signature format)"]


SPF = (b"Authentication-Results", b" mx.example.net; spf=pass (x; y) smtp.mailfrom=a@b.example")


@pytest.mark.parametrize(
    ("verifying", "left"),
    [({}, 1), ({"remove_all_results": True}, 0), ({"keep_results": True}, 3)],
)
def test_results_of_other_filters_stay(tmp_path, verifying, left):
    """RemoveARAll, KeepAuthResults."""
    fields = [SPF, FORGED, *SIMPLE, FORGED]
    outcome = judged(tmp_path, compose(fields, BODY), verifying=verifying)
    assert len(outcome.results) == left


@pytest.mark.parametrize(
    ("claimed", "removed"),
    [
        (b"mx.example.net", True),
        (b"old.example.net", True),
        (b"OLD.example.net", True),
        (b'old . (x) "example".net', True),
        (b"a.\\example . org", True),
        (b"a.example.org", True),
        (b"a.b.example.org", True),
        (b"example.org", False),
        (b"other.example", False),
        (b"x." * 200 + b"example.org", False),
    ],
)
def test_results_of_others_may_be_removed(tmp_path, claimed, removed):
    """RemoveARFrom."""
    fields = [(b"Authentication-Results", b" " + claimed + b"; dkim=pass"), *SIMPLE]
    groups = {"verifying": {"remove_results_from": Source("old.example.net,.example.org")}}
    outcome = judged(tmp_path, compose(fields, BODY), **groups)
    assert (outcome.values("Authentication-Results") == []) is removed


def test_a_malformed_message_is_said_to_be_so(tmp_path):
    fields = SIMPLE[1:]  # no From
    outcome = judged(tmp_path, compose(fields, BODY))
    assert outcome.results == [f"{HOST}; dkim=permerror (bad message/signature format)"]
    assert outcome.skipped
    assert outcome.log[0].level is Level.INFO
    ignoring = {"verifying": {"ignore_malformed_mail": True}}
    outcome = judged(tmp_path, compose(fields, BODY), **ignoring)
    assert (outcome.reply, outcome.step, outcome.changes) == (ACCEPT, "eoh", ())
    outcome = judged(tmp_path, compose(fields, BODY), hosts={"verifies": False})
    assert (outcome.step, outcome.changes) == ("eoh", ())


UNREADABLE = [b" undisclosed", b" <alice@example.com> <eve@example.org>", b" a@b@example.com"]


@pytest.mark.parametrize("signs", [True, False])
@pytest.mark.parametrize("author", UNREADABLE)
def test_a_stranger_s_from_that_cannot_be_read_does_not_hinder_verifying(tmp_path, author, signs):
    """OpenDKIM verifies such mail only with Mode v; a stranger would choose whether."""
    fields = [(b"From", author), *SIMPLE[1:]]
    outcome = judged(tmp_path, mail(fields=fields), hosts={"signs": signs})
    assert "dkim=pass" in outcome.results[0]
    (line,) = [line for line in outcome.log if line.event == "bad-author"]
    assert line.level is Level.INFO
    assert line.text.startswith("can't parse From: header value '")
    refusing = {"no_signature": Action.REJECT, "bad_signature": Action.REJECT}
    for message in (compose(fields, BODY), mail(fields=fields) + b"Not me.\r\n"):
        outcome = judged(tmp_path, message, hosts={"signs": signs}, actions=refusing)
        assert outcome.reply.code == "550"


@pytest.mark.parametrize("author", UNREADABLE)
def test_our_own_mail_with_such_a_from_leaves_unsigned_and_that_is_said(tmp_path, author):
    fields = [(b"From", author), *SIMPLE[1:]]
    actions = {"no_signature": Action.REJECT}
    outcome = Mta(site(tmp_path, actions=actions), peer=INSIDE).send(fields)
    assert outcome.reply == ACCEPT
    assert outcome.results == [f"{HOST}; dkim=permerror (bad message/signature format)"]
    (line,) = outcome.log
    assert (line.level, line.event) == (Level.NOTICE, "bad-author")
    assert line.text.startswith("can't parse From: header value '")
    assert line.text.endswith("'; not signed")
    quiet = Mta(site(tmp_path, verifying={"ignore_malformed_mail": True}), peer=INSIDE).send(fields)
    assert (quiet.reply, quiet.changes, len(quiet.log)) == (ACCEPT, (), 1)


def signatures(*choices, body=BODY):
    """A message with several signatures, the first on top: (selector, domain)."""
    message = compose(SIMPLE, body)
    signers = [dkimcore.Signer.make(domain, selector, KEY) for selector, domain in choices]
    fields = dkimcore.sign(message, signers, now=NOW)
    return fields.octets + message


RECORD = KEY.record()
MANY = StaticResolver(
    {f"s{n}._domainkey.{d}": RECORD for n in range(9) for d in ("example.com", "list.example")}
)


def words(outcome):
    """The word and the selector of each result."""
    text = re.sub(r"\([^)]*\)", "", " ".join(outcome.results[0].split()))
    return re.findall(r"dkim=(\w+)[^;]*?header\.s=(\w+)", text)


@pytest.mark.parametrize(
    ("maximum", "expected", "ignored"),
    [
        (1, "pnnn", 3),
        (3, "pppn", 1),
        (4, "pppp", 0),
        (9, "pppp", 0),
    ],
)
def test_so_many_signatures_are_verified(tmp_path, maximum, expected, ignored):
    """MaximumSignaturesToVerify: top down, the rest is neutral."""
    message = signatures(*((f"s{n}", "example.com") for n in range(4)))
    outcome = judged(tmp_path, message, resolver=MANY, verifying={"maximum_signatures": maximum})
    assert [word[0] for word, _ in words(outcome)] == list(expected)
    assert [selector for _, selector in words(outcome)] == ["s0", "s1", "s2", "s3"]
    lines = outcome.lines("signatures-ignored")
    assert lines == ([f"ignoring {ignored} signature(s)"] if ignored else [])
    several = outcome.lines("signatures")
    assert several == (
        [f"message has signatures from {', '.join(['example.com'] * min(maximum, 4))}"]
        if maximum > 1
        else []
    )


def test_trusted_signatures_are_verified_first(tmp_path):
    """TrustSignaturesFrom."""
    message = signatures(("s0", "example.com"), ("s1", "example.com"), ("s2", "list.example"))
    outcome = judged(
        tmp_path,
        message,
        resolver=MANY,
        verifying={"maximum_signatures": 2, "trusted_signers": Source("list.example")},
    )
    assert words(outcome) == [("pass", "s0"), ("neutral", "s1"), ("pass", "s2")]


def test_only_known_signatures_are_verified(tmp_path):
    """MaximumSignaturesToVerify 0: the author's domain, and trusted ones."""
    message = signatures(("s0", "list.example"), ("s1", "example.com"), ("s2", "list.example"))
    message = b"DKIM-Signature: junk\r\n" + message
    verifying = {"maximum_signatures": 0}
    outcome = judged(tmp_path, message, resolver=MANY, verifying=verifying)
    assert words(outcome) == [("neutral", "s0"), ("pass", "s1"), ("neutral", "s2")]
    assert outcome.lines("signature-ignored") == ["ignoring signature from list.example"] * 2
    verifying["trusted_signers"] = Source("list.example")
    outcome = judged(tmp_path, message, resolver=MANY, verifying=verifying)
    assert words(outcome) == [("pass", "s0"), ("pass", "s1"), ("pass", "s2")]


def test_a_message_with_ignored_signatures_alone_is_unsigned(tmp_path):
    message = signatures(("s0", "list.example"))
    outcome = judged(
        tmp_path,
        message,
        resolver=MANY,
        verifying={"maximum_signatures": 0},
        actions={"no_signature": Action.REJECT},
    )
    assert outcome.reply.verdict is Verdict.REJECT


def test_without_a_number_there_is_a_limit_all_the_same(tmp_path):
    message = signatures(*((f"s{n}", "example.com") for n in range(9)))
    verifying = {"maximum_signatures": 0}
    outcome = judged(tmp_path, message, resolver=MANY, verifying=verifying)
    assert [word for word, _ in words(outcome)] == ["pass"] * 5 + ["neutral"] * 4


def test_an_author_may_be_missing_for_that(tmp_path):
    fields = [(b"From", b" undisclosed"), *SIMPLE[1:]]
    outcome = judged(
        tmp_path,
        mail(fields=fields),
        hosts={"signs": False},
        verifying={"maximum_signatures": 0},
    )
    assert words(outcome) == [("neutral", "s1")]


def test_a_huge_signature_is_not_even_read(tmp_path):
    message = b"DKIM-Signature: " + b"x" * 20_000 + b"\r\n" + signatures(("s1", "example.com"))
    verifying = {"maximum_signatures": 1, "trusted_signers": Source("example.com")}
    outcome = judged(tmp_path, message, resolver=MANY, verifying=verifying)
    assert "dkim=neutral" in outcome.results[0]
    assert "dkim=pass" in outcome.results[0]


def test_any_pass_wins(tmp_path):
    """Among others that fail, and whatever their actions are."""
    message = signatures(("gone", "example.com"), ("s1", "example.com"))
    outcome = judged(tmp_path, message, actions={"key_not_found": Action.REJECT})
    assert outcome.reply == ACCEPT
    assert [word for word, _ in words(outcome)] == ["fail", "pass"]
    assert outcome.lines("verified")
    assert len(outcome.lines("signature-failed")) == 1


def test_all_results_may_stand_in_one_line(tmp_path):
    """LogResults."""
    message = signatures(("gone", "example.com"), ("s1", "example.com"))
    message = b"DKIM-Signature: junk\r\n" + message
    (line,) = judged(tmp_path, message, logging={"results": True}).lines("results")
    parts = line.split("; ")
    assert parts[0].startswith('result="')
    assert re.fullmatch(
        r"signature=\S{8} domain=example\.com selector=gone " r'result="key not found in DNS"',
        parts[1],
    )
    assert parts[2].endswith('domain=example.com selector=s1 result="no signature error"')


def test_header_b_may_be_left_out(tmp_path):
    """NoHeaderB."""
    outcome = judged(tmp_path, mail(), verifying={"no_header_b": True})
    assert "header.b" not in outcome.results[0]


@pytest.mark.parametrize(
    ("verifying", "who"),
    [
        ({"authserv_id": "filter.example"}, "filter.example;"),
        ({"authserv_id_with_job_id": True}, "mx.example.net/4Bq1;"),
    ],
)
def test_who_judges_may_be_named(tmp_path, verifying, who):
    """AuthservID, AuthservIDWithJobID."""
    outcome = judged(tmp_path, mail(), verifying=verifying)
    assert outcome.values("Authentication-Results")[0].startswith(who)


def test_the_filter_names_itself(tmp_path):
    outcome = judged(tmp_path, mail(), logging={"software_header": True})
    assert outcome.message.startswith(b"DKIM-Filter: dkimcore v")
    assert outcome.results


@pytest.mark.parametrize("action", [Action.REJECT, Action.TEMPFAIL, Action.DISCARD])
def test_a_domain_that_tests_dkim_is_not_punished(tmp_path, action):
    """t=y in the key record."""
    settings = site(tmp_path, actions={"bad_signature": action, "quarantine": True})
    publish(tmp_path, s1=KEY.record(flags=("y",)))
    outcome = Mta(settings).pass_on(tampered())
    assert outcome.reply == ACCEPT
    assert outcome.quarantine is None
    assert "dkim=fail" in outcome.results[0]


def test_a_domain_that_tests_dkim_may_be_held(tmp_path):
    settings = site(tmp_path, actions={"bad_signature": Action.QUARANTINE})
    publish(tmp_path, s1=KEY.record(flags=("y",)))
    assert Mta(settings).pass_on(tampered()).quarantine is not None


@pytest.mark.parametrize(
    ("message", "held"),
    [
        (tampered(), True),
        (mail(selector="gone"), True),
        (mail(), False),
        (compose(SIMPLE, BODY), False),
    ],
)
def test_what_failed_may_be_held(tmp_path, message, held):
    """Quarantine."""
    outcome = judged(tmp_path, message, actions={"quarantine": True})
    assert outcome.reply == ACCEPT
    assert (outcome.quarantine is not None) is held
    assert bool(outcome.results) is (b"DKIM-Signature" in message)


def test_what_failed_may_go_to_somebody_else(tmp_path):
    """RedirectFailuresTo."""
    recipients = (b"<bob@example.net>", b"<eve@example.net>", b"<bob@example.net>")
    actions = {"redirect_failures_to": "postmaster@example.net"}
    outcome = judged(tmp_path, tampered(), recipients=recipients[:2], actions=actions)
    assert outcome.recipients == [b"<postmaster@example.net>"]
    assert sorted(outcome.values("Original-Recipient")) == [
        "rfc822;bob@example.net",
        "rfc822;eve@example.net",
    ]
    outcome = judged(tmp_path, mail(), recipients=recipients, actions=actions)
    assert outcome.recipients == list(recipients)
    assert outcome.values("Original-Recipient") == []


def test_a_recipient_brings_in_no_field(tmp_path):
    outcome = judged(
        tmp_path,
        tampered(),
        recipients=(b"<a\r\nX-Evil: b@example.net>",),
        actions={"redirect_failures_to": "<postmaster@example.net>"},
    )
    assert outcome.values("X-Evil") == []
    assert outcome.recipients == [b"<postmaster@example.net>"]


def test_fields_may_have_to_be_signed(tmp_path):
    """MustBeSigned: no action follows."""
    outcome = judged(
        tmp_path,
        mail(fields=[*SIMPLE, (b"X-A", b" b")]),
        verifying={"must_be_signed": Source("x-a")},
        actions={"bad_signature": Action.REJECT},
    )
    assert outcome.reply == ACCEPT
    assert 'dkim=fail reason="unprotected header field"' in " ".join(outcome.results[0].split())


@pytest.mark.parametrize(
    ("minimum", "passes"), [("10", True), ("20", False), ("50%", True), ("100%", False)]
)
def test_enough_of_the_body_must_be_signed(tmp_path, minimum, passes):
    """Minimum acts, unlike OpenDKIM's."""
    message = mail(body=b"123456789\r\n", body_length=True) + b"more more\r\n"
    outcome = judged(
        tmp_path,
        message,
        verifying={"minimum_body": minimum, "allow_body_length": True},
        actions={"bad_signature": Action.REJECT},
    )
    assert (outcome.reply == ACCEPT) is passes
    if not passes:
        assert outcome.lines("signature-failed") == [
            "signature 1 not accepted: not enough of the body is signed "
            "(s=s1 d=example.com a=rsa-sha256)"
        ]


def test_a_body_length_is_refused_unless_allowed(tmp_path):
    outcome = judged(tmp_path, mail(body_length=True))
    assert 'dkim=policy reason="unsigned content"' in " ".join(outcome.results[0].split())


@pytest.mark.parametrize(
    ("trust", "authentic", "word"),
    [
        (KeyTrust.FAIL, False, "policy"),
        (KeyTrust.NEUTRAL, False, "neutral"),
        (KeyTrust.FAIL, True, "pass"),
    ],
)
def test_a_key_without_dnssec_may_count_less(tmp_path, trust, authentic, word):
    """UnprotectedKey."""
    resolver = answering(TxtStatus.FOUND, RECORD, authentic=authentic)
    outcome = judged(tmp_path, mail(), resolver=resolver, verifying={"unprotected_key": trust})
    assert words(outcome) == [(word, "s1")]
    assert ("; secure)" in " ".join(outcome.results[0].split())) is authentic


@pytest.mark.parametrize("signed", [False, True])
def test_strict_headers_are_not_judged(tmp_path, signed):
    """StrictHeaders: neither verified nor signed, and not in silence."""
    settings = site(tmp_path, verifying={"strict_headers": True})
    mta = Mta(settings, peer=INSIDE if signed else Peer(host=None, address="192.0.2.1"))
    outcome = mta.pass_on(compose([*SIMPLE, (b"Subject", b" two")], BODY))
    assert outcome.results == [f"{HOST}; dkim=permerror (bad message/signature format)"]
    assert outcome.values("DKIM-Signature") == []
    assert outcome.lines("field-counts") == [
        "bad message format: message has multiple Subject fields"
    ]
    assert Mta(settings).pass_on(mail()).lines("verified")


@pytest.mark.parametrize("peer", [INSIDE, Peer(host=None, address="192.0.2.1")])
def test_required_headers_are_demanded(tmp_path, peer):
    """RequiredHeaders."""
    settings = site(tmp_path, verifying={"required_headers": True})
    outcome = Mta(settings, peer=peer).pass_on(compose([SIMPLE[0], SIMPLE[0]], BODY))
    one = "does not have exactly one"
    text = f"message {one} Date field, {one} From field"
    assert outcome.reply == Reply(Verdict.REJECT, "550", "5.0.0", text)
    assert outcome.step == "eoh"
    assert outcome.lines("field-counts") == [text]
    assert Mta(settings, peer=peer).send().reply == ACCEPT


def test_a_rewritten_field_is_verified_as_it_came(tmp_path):
    """ReplaceRules say what the MTA does later, not what was signed."""
    (tmp_path / "rules").write_text("dinner\tlunch\n")
    outcome = judged(tmp_path, mail(), signing={"replace_rules": Source(f"{tmp_path}/rules")})
    assert "dkim=pass" in outcome.results[0]


def test_an_expired_signature_is_accepted_and_said_to_be_so(tmp_path):
    outcome = judged(tmp_path, mail(now=NOW - 10_000, lifetime=60))
    assert outcome.reply == ACCEPT
    assert "dkim=permerror header.d=example.com" in " ".join(outcome.results[0].split())
    assert outcome.lines("signature-not-usable")[0].startswith("signature processing failed: x= is")
