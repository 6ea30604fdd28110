"""Who is signed, verified and left alone; and a connection with its messages in any order."""

import pytest

from dkimcore.settings.model import Action, Source
from dkimcore_milter.action import ACCEPT, CONTINUE, SKIP, Conclusion, Reply, Verdict
from dkimcore_milter.engine import Engine
from dkimcore_milter.logline import Level
from dkimcore_milter.peer import Peer
from dkimcore_milter.session import Session
from tests.milter.sessions import (
    BODY,
    HOST,
    INSIDE,
    MACROS,
    NOW,
    OUTSIDE,
    SIMPLE,
    Mta,
    compose,
    site,
)
from tests.milter.test_verifying import FORGED, mail, tampered

STRANGER = [(b"From", b" Eve <eve@example.org>"), *SIMPLE[1:]]


def is_signed(outcome):
    return bool(outcome.values("DKIM-Signature"))


def test_mail_from_outside_is_not_signed(tmp_path):
    outcome = Mta(site(tmp_path)).send()
    assert not is_signed(outcome)
    assert [(line.level, line.text) for line in outcome.log] == [
        (Level.INFO, "mail.example.org [192.0.2.1] not internal"),
        (Level.INFO, "not authenticated"),
        (Level.DEBUG, "no signature data"),
    ]


def test_mail_of_a_domain_that_is_not_ours_is_verified(tmp_path):
    outcome = Mta(site(tmp_path), peer=INSIDE).send([FORGED, *STRANGER])
    assert not is_signed(outcome)
    assert b"bank.example" not in outcome.message
    assert "no signing table match for 'eve@example.org'" in [line.text for line in outcome.log]


def test_findings_are_only_logged_if_wanted(tmp_path):
    """LogWhy."""
    assert Mta(site(tmp_path, logging={"why": False})).send().log == []


def test_a_client_without_an_address_is_no_internal_one(tmp_path):
    """OpenDKIM takes it for 127.0.0.1."""
    for peer in (Peer(host=None, address=None), Peer(host="unknown", address=None)):
        assert not is_signed(Mta(site(tmp_path), peer=peer).send())


@pytest.mark.parametrize(
    ("signs", "verifies", "fields", "signed", "judged"),
    [
        (True, True, SIMPLE, True, False),
        (True, True, STRANGER, False, True),
        (True, False, SIMPLE, True, False),
        (True, False, STRANGER, False, False),
        (False, True, SIMPLE, False, False),
        (False, True, STRANGER, False, True),
    ],
)
def test_the_mode(tmp_path, signs, verifies, fields, signed, judged):
    """Mode; what would be signed is not verified, whoever would sign it."""
    settings = site(
        tmp_path,
        hosts={"signs": signs, "verifies": verifies},
        verifying={"always_add_results": True},
    )
    outcome = Mta(settings, peer=INSIDE).send(fields)
    assert outcome.reply == ACCEPT
    assert (is_signed(outcome), bool(outcome.results)) == (signed, judged)
    assert outcome.step == ("eom" if signed or judged else "eoh")


def test_peers_are_left_alone(tmp_path):
    """PeerList."""
    mta = Mta(site(tmp_path, hosts={"peers": Source("192.0.2.0/24")}))
    assert mta.greeting == ACCEPT
    session = mta.session
    assert session.envelope_sender(b"<>") == ACCEPT
    assert session.envelope_recipient(b"<a@b>") == ACCEPT
    assert session.field(*FORGED) == ACCEPT
    assert session.end_of_header() == ACCEPT
    assert session.body(BODY) == ACCEPT
    assert session.end_of_message() == Conclusion((), ACCEPT)
    assert mta.log == []
    assert Mta(site(tmp_path)).greeting == CONTINUE


def test_exempt_domains_are_left_alone(tmp_path):
    """ExemptDomains; but who only claims to be one brings in no results of ours."""
    settings = site(tmp_path, verifying={"exempt_domains": Source("example.org")})
    outcome = Mta(settings, peer=INSIDE).send([FORGED, *STRANGER])
    assert (outcome.reply, outcome.step, outcome.changes) == (ACCEPT, "eoh", ())
    assert outcome.lines("exempt") == ["domain 'example.org' exempted, accepting"]
    outcome = Mta(settings).send(STRANGER)
    assert (outcome.reply, outcome.step) == (ACCEPT, "eoh")
    outcome = Mta(settings).send([FORGED, *STRANGER])
    assert b"bank.example" not in outcome.message
    assert outcome.results == []
    assert outcome.skipped


def test_exemptions_are_only_logged_if_wanted(tmp_path):
    settings = site(
        tmp_path,
        verifying={"exempt_domains": Source("example.org")},
        logging={"why": False},
    )
    assert Mta(settings).send(STRANGER).log == []


def single(folder, **hosts):
    signing = {
        "signing_table": None,
        "key_table": None,
        "domains": Source("example.com"),
        "selector": "s1",
        "key_file": Source(f"{folder}/s1.private"),
    }
    return site(folder, signing=signing, hosts=hosts)


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        (OUTSIDE, "mail.example.org"),
        (Peer(host=None, address="192.0.2.1"), "192.0.2.1"),
        (Peer(host=None, address=None), "unknown-host"),
    ],
)
def test_who_uses_our_domains_from_outside_is_named(tmp_path, peer, shown):
    (line,) = [
        line for line in Mta(single(tmp_path), peer=peer).send().log if line.event == "external-use"
    ]
    assert line.level is Level.NOTICE
    assert line.text == f"external host {shown} attempted to send as example.com"


def test_who_may_do_that_is_not_named(tmp_path):
    """ExternalIgnoreList."""
    settings = single(tmp_path, external_ignore=Source("192.0.2.1"))
    outcome = Mta(settings).send()
    assert outcome.lines("external-use") == []
    assert not is_signed(outcome)


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        (Action.ACCEPT, ACCEPT),
        (Action.TEMPFAIL, Reply(Verdict.TEMPFAIL)),
        (Action.REJECT, Reply(Verdict.REJECT)),
    ],
)
def test_a_header_may_be_too_large(tmp_path, action, reply):
    """MaximumHeaders, On-Security: told at once."""
    settings = site(
        tmp_path, verifying={"maximum_header_octets": 200}, actions={"security": action}
    )
    outcome = Mta(settings, peer=INSIDE).send([*SIMPLE, (b"X", b"y" * 100)])
    assert (outcome.reply, outcome.step) == (reply, "header")
    (line,) = outcome.log
    assert (line.level, str(line)) == (Level.NOTICE, "4Bq1: too much header data")


def test_a_message_with_too_large_a_header_may_be_held(tmp_path):
    """That is possible at the end of the message only."""
    settings = site(
        tmp_path,
        verifying={"maximum_header_octets": 100},
        actions={"security": Action.QUARANTINE},
    )
    outcome = Mta(settings, peer=INSIDE).send()
    assert (outcome.reply, outcome.step, outcome.skipped) == (ACCEPT, "eom", True)
    assert outcome.quarantine is not None
    assert len(outcome.log) == 1


def test_a_header_may_be_as_large_as_it_likes(tmp_path):
    """MaximumHeaders 0 is read as a large number."""
    settings = site(tmp_path, verifying={"maximum_header_octets": 1 << 30})
    assert is_signed(Mta(settings, peer=INSIDE).send([*SIMPLE, (b"X", b"y" * 400_000)]))


def test_the_queue_id_may_come_late(tmp_path):
    """Postfix knows it when the message has ended."""
    mta = Mta(site(tmp_path), peer=INSIDE, macros={"j": HOST})
    session = mta.session
    session.envelope_sender(b"<>")
    for one in SIMPLE:
        session.field(*one)
    session.end_of_header()
    mta.macros["i"] = "Late"
    session.end_of_message()
    assert [line.job_id for line in mta.log] == ["Late"]


def test_a_queue_id_that_never_comes_is_said_once(tmp_path):
    mta = Mta(site(tmp_path), peer=INSIDE, macros={})
    assert [line.job_id for line in mta.send().log] == ["(unknown-jobid)"] * 2
    assert mta.log[0].level is Level.WARNING
    assert len(mta.send().lines("no-queue-id")) == 0


def test_the_mtas_name_may_come_late(tmp_path):
    mta = Mta(site(tmp_path), macros={})
    mta.macros["j"] = HOST
    assert mta.pass_on(mail()).results
    nameless = Mta(site(tmp_path), macros={}).pass_on(mail())
    assert nameless.values("Authentication-Results")[0].startswith("unknown-host;")


def test_a_forgery_is_found_though_our_name_comes_last(tmp_path):
    mta = Mta(site(tmp_path, verifying={"exempt_domains": Source("example.org")}), macros={})
    for fields in ([FORGED, *SIMPLE], [FORGED, *STRANGER], [FORGED]):
        mta.macros.clear()
        mta.session.close()
        mta.session = Session(mta.engine, log=mta.log.append, macros=mta.macros.get)
        for one in fields:
            mta.session.field(*one)
        assert mta.session.end_of_header() == CONTINUE
        mta.macros["j"] = HOST
        assert mta.session.end_of_message().modifications[0].index == 1


def test_what_a_stranger_sends_stays_in_its_line(tmp_path):
    fields = [(b"From", b" a\x1b]0;x@example.org"), *SIMPLE[1:]]
    for line in Mta(site(tmp_path), peer=INSIDE).send(fields).log:
        assert line.text.isprintable()
    fields = [(b"From", b' "a b\xff"@example.org'), *SIMPLE[1:]]
    for line in Mta(site(tmp_path), peer=INSIDE).send(fields).log:
        line.text.encode()


def test_messages_follow_one_another(tmp_path):
    """Whatever happened to the one before."""
    mta = Mta(site(tmp_path, actions={"bad_signature": Action.REJECT}))
    assert mta.pass_on(mail()).results
    assert mta.pass_on(tampered()).reply.verdict is Verdict.REJECT
    assert mta.send().results == []
    assert mta.pass_on(mail()).results


def test_recipients_are_those_of_the_message(tmp_path):
    groups = {"signing": {"exempt_recipients": Source("list@example.net")}}
    mta = Mta(site(tmp_path, **groups), peer=INSIDE)
    assert not is_signed(mta.send(recipients=[b"<list@example.net>"]))
    assert is_signed(mta.send())


def test_an_abort_forgets_the_message(tmp_path):
    mta = Mta(site(tmp_path), peer=INSIDE)
    session = mta.session
    session.envelope_sender(b"<>")
    session.envelope_recipient(b"<a@b>")
    session.field(b"From", b" eve@example.org")
    session.abort()
    assert is_signed(mta.send())
    session.envelope_sender(b"<>")
    session.field(*SIMPLE[0])
    session.end_of_header()
    session.body(b"x")
    session.abort()
    assert mta.log == mta.log[:1]
    # The client may go on without a new MAIL, as far as we are concerned.
    for one in SIMPLE:
        assert session.field(*one) == CONTINUE
    assert session.end_of_header() == CONTINUE
    assert session.end_of_message().modifications


def test_a_body_or_an_end_may_come_without_the_rest(tmp_path):
    mta = Mta(site(tmp_path), peer=INSIDE)
    session = mta.session
    for one in SIMPLE:
        session.field(*one)
    assert session.body(BODY) == CONTINUE
    assert len(session.end_of_message().modifications) == 1
    assert session.body(BODY) == SKIP  # a message without header fields: nobody signs it
    assert session.end_of_message().reply == ACCEPT
    assert session.end_of_message().reply == ACCEPT


def test_a_verdict_is_final(tmp_path):
    """What was refused at the end of the header is not accepted by a call that follows."""
    settings = site(tmp_path)
    (tmp_path / "s1.private").unlink()
    mta = Mta(settings, peer=INSIDE)
    session, tempfail = mta.session, Reply(Verdict.TEMPFAIL)
    for one in SIMPLE:
        session.field(*one)
    assert session.end_of_header() == tempfail
    assert session.field(b"X", b" y") == tempfail
    assert session.end_of_header() == tempfail
    assert session.body(BODY) == tempfail
    assert session.end_of_message() == Conclusion((), tempfail)
    for one in SIMPLE:
        session.field(*one)
    assert session.body(BODY) == tempfail


def test_a_header_that_goes_on_after_its_end_changes_nothing(tmp_path):
    mta = Mta(site(tmp_path), peer=INSIDE)
    session = mta.session
    for one in SIMPLE:
        session.field(*one)
    session.end_of_header()
    assert session.field(b"From", b" eve@example.org") == CONTINUE
    assert session.end_of_header() == CONTINUE
    assert len(session.end_of_message().modifications) == 1


def test_a_connection_ends_once(tmp_path):
    """The keys of an engine that was replaced close with its last session."""
    engine = Engine.load(site(tmp_path), clock=lambda: float(NOW))
    sessions = [Session(engine, log=lambda line: None, macros=MACROS.get) for _ in range(2)]
    store = engine._keys
    engine.close()
    sessions[0].close()
    sessions[0].close()
    assert engine._keys is store
    sessions[1].close()
    assert engine._keys is not store


def test_a_session_works_without_a_greeting(tmp_path):
    engine = Engine.load(site(tmp_path), clock=lambda: float(NOW))
    session = Session(engine, log=lambda line: None, macros={}.get)
    fields = compose(SIMPLE, b"")
    assert fields
    for one in SIMPLE:
        session.field(*one)
    assert session.end_of_message() == Conclusion((), ACCEPT)
