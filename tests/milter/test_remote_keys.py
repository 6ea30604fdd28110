"""Keys that are kept elsewhere, as a message sees them: slow, down, wrong, and what then."""

from __future__ import annotations

import threading

import pytest

import dkimcore
from dkimcore.errors import KeyUnusable
from dkimcore.resolvers.static import StaticResolver
from dkimcore.settings.model import Source
from dkimcore_milter.action import ACCEPT, Reply, Verdict
from dkimcore_milter.conversation import Conversation
from dkimcore_milter.keyvitals import show_keys
from dkimcore_milter.logline import Level
from dkimcore_milter.metrics import Count, Gauge, Timer, cells_of
from dkimcore_milter.need import Need
from dkimcore_milter.service import Service
from tests.milter import farkeys
from tests.milter.mta import client, go_on, macros, message
from tests.milter.sessions import BODY, INSIDE, NOW, SIMPLE, Mta, compose, parse, site
from tests.milter.test_verifying import mail
from tests.servers.milterwire import pack

AWAY = Reply(Verdict.TEMPFAIL, "451", "4.7.5", "resource unavailable")
KEYS = "key example.com:s1:far:one/key\nrsa example.com:s2:far:one/rsa\n"
KEYS += "other example.com:s3:far:two/other\n"


@pytest.fixture
def far(tmp_path, monkeypatch):
    with farkeys.installed(tmp_path / "packages", monkeypatch) as service:
        yield service


@pytest.fixture
def start(tmp_path, far):
    """Makes an MTA with a filter that signs with keys kept elsewhere."""

    def start(signers=("key",), *, failure=None, keys="", backends="", **groups):
        actions = groups.pop("actions", {})
        if failure is not None:
            actions = {"key_failure": Source(failure), **actions}
        (tmp_path / "keys.toml").write_text(backends)
        signing = {
            "multiple_signatures": True,
            "key_backends": Source(str(tmp_path / "keys.toml")),
            **groups.pop("signing", {}),
        }
        settings = site(tmp_path, signing=signing, actions=actions, **groups)
        local = (tmp_path / "KeyTable").read_text()
        (tmp_path / "KeyTable").write_text(f"{local}{KEYS}{keys}")
        rows = (f"example.com {name}\n" for name in signers)
        (tmp_path / "SigningTable").write_text("".join(rows))
        return Mta(settings, peer=INSIDE)

    return start


def open_all(mta):
    """Opens the keys that sign, as a first message does."""
    assert len(signatures(mta.send())) > 0
    mta.log.clear()


def signatures(outcome):
    return [
        value.partition("; s=")[2].partition(";")[0] for value in outcome.values("DKIM-Signature")
    ]


def verified(outcome, **keys):
    records = {f"{name}._domainkey.example.com": key.key_record() for name, key in keys.items()}
    results = dkimcore.verify(outcome.message, resolver=StaticResolver(records), now=NOW)
    return [result.passed for result in results]


def counted(mta, *labels):
    (cell,) = [count for count in Count if (count.family, *count.labels) == labels]
    return mta.meter.value(cell)


def actions_taken(mta):
    found = {
        count.labels[0]: mta.meter.value(count)
        for count in Count
        if count.family == "key_failure_actions"
    }
    return {name: number for name, number in found.items() if number}


def events(mta, *names):
    return [line for line in mta.log if line.event in names]


def test_a_key_of_a_service_signs(start, far):
    mta = start(["key", "rsa"])
    outcome = mta.send()
    assert signatures(outcome) == ["s2", "s1"]
    assert verified(outcome, s1=far.key("key"), s2=far.key("rsa")) == [True, True]
    opened = events(mta, "key-opened")
    assert {line.fields["uri"] for line in opened} == {"far:one/key", "far:one/rsa"}
    assert {line.level for line in opened} == {Level.INFO}
    assert actions_taken(mta) == {}


def test_keys_of_one_message_are_asked_side_by_side(start, far):
    mta = start(["key", "rsa"])
    open_all(mta)
    while far.called.acquire(blocking=False):
        pass
    far.gate.clear()
    outcomes = []
    sending = threading.Thread(target=lambda: outcomes.append(mta.send()))
    sending.start()
    assert far.called.acquire(timeout=30)
    assert far.called.acquire(timeout=30)  # the second is asked though the first has not answered
    far.gate.set()
    sending.join(30)
    assert signatures(outcomes[0]) == ["s2", "s1"]


def test_a_key_at_hand_and_one_that_is_not(start, far):
    mta = start(["main", "key"])
    assert signatures(mta.send()) == ["s1", "s1"]
    assert counted(mta, "signatures_made", "rsa") == 1
    assert counted(mta, "signatures_made", "ed25519") == 1


class TestDeadline:
    def test_a_service_that_hangs_holds_a_message_up_so_long(self, start, far):
        mta = start(backends="[store]\ndeadline = 0.2\n")
        open_all(mta)
        far.gate.clear()
        outcome = mta.send()
        assert (outcome.reply, outcome.step) == (AWAY, "eom")
        (line,) = events(mta, "key-failed")
        assert line.level is Level.ERR
        assert "far:one/key: there was no signature before the deadline" in line.text
        assert line.fields["uri"] == "far:one/key"
        assert actions_taken(mta) == {"tempfail": 1}
        assert counted(mta, "key_errors", "other", "unavailable") == 1

    def test_what_comes_too_late_does_no_harm(self, start, far):
        mta = start(backends="[store]\ndeadline = 0.2\n")
        open_all(mta)
        far.gate.clear()
        assert mta.send().reply == AWAY
        far.gate.set()
        assert signatures(mta.send()) == ["s1"]

    def test_the_time_is_measured_from_the_question_to_the_answer(self, start, far):
        mta = start(backends="[store]\ndeadline = 0.3\n")
        open_all(mta)
        cells = [mta.meter._row[cell] for cell in cells_of(Timer.KEYS_OTHER)]
        assert sum(cells) == 1
        before = mta.meter._row[Timer.KEYS_OTHER.sum_cell]
        far.gate.clear()
        mta.send()
        assert mta.meter._row[Timer.KEYS_OTHER.sum_cell] - before == pytest.approx(0.3, abs=0.25)


def test_a_wrong_signature_never_leaves(start, far):
    mta = start()
    open_all(mta)
    far.is_wrong = True
    outcome = mta.send()
    assert outcome.reply == AWAY
    assert events(mta, "signature-refused")
    assert "does not verify" in events(mta, "key-failed")[0].text
    assert counted(mta, "key_errors", "other", "unusable") == 1


def test_a_service_that_is_down_is_not_asked_again_and_again(start, far):
    mta = start(backends='[backend.x]\ntype = "far"\nattempts = 1\n')
    mta.engine.measure(mta.meter)
    open_all(mta)
    far.fail()
    for _ in range(5):
        assert mta.send().reply == AWAY
    (line,) = events(mta, "breaker-opened")
    assert (line.level, line.fields["endpoint"]) == (Level.WARNING, "far:x")
    assert counted(mta, "key_breaker_openings", "other") == 1
    asked = len(far.calls)
    outcome = mta.send()
    assert outcome.reply == AWAY
    assert len(far.calls) == asked
    assert "is down" in events(mta, "key-failed")[-1].text
    assert counted(mta, "key_round_trips", "other", "unavailable") == 5
    # When it was opened it was tested.
    assert counted(mta, "key_round_trips", "other", "success") == 2
    assert counted(mta, "key_round_trip_signatures", "other") == 7
    show_keys(mta.meter, mta.engine.keys.store)
    assert mta.meter.value(Gauge.KEY_BREAKERS_OPEN_OTHER) == 1
    assert mta.meter.value(Gauge.KEY_BREAKERS_OPEN_VAULT) == 0
    assert mta.meter.value(Gauge.KEY_SIGNATURES_WAITING_OTHER) == 0


def test_a_failure_names_the_request(start, far):
    mta = start(backends='[backend.x]\ntype = "far"\nattempts = 1\n')
    open_all(mta)
    far.fail()
    mta.send()
    (line,) = events(mta, "key-failed")
    assert line.text.endswith("the service is away; start it (request r-17)")
    assert line.fields["request_id"] == "r-17"


class TestOpening:
    def test_a_key_that_cannot_be_opened(self, start, far):
        far.missing.add("key")
        mta = start()
        outcome = mta.send()
        assert (outcome.reply, outcome.step) == (AWAY, "eoh")
        (line,) = events(mta, "key-error")
        assert line.text.startswith("can't load key from far:one/key: the service has no such key")
        assert line.fields["uri"] == "far:one/key"
        assert events(mta, "key-refused")
        assert actions_taken(mta) == {"tempfail": 1}

    def test_the_session_says_that_it_has_to_be_waited_for(self, start, far):
        mta = start()
        session = mta.session
        session.envelope_sender(b"<>")
        for one in SIMPLE:
            session.field(*one)
        assert session.try_end_of_header() is None
        assert session.zone is None
        session.wait()
        assert session.may_be_slow
        session.abort()
        for one in SIMPLE:
            session.field(*one)
        assert session.try_end_of_header() is not None  # it is open now


class TestUnsigned:
    RULE = "csl:example.com=unsigned"

    def test_mail_goes_unsigned_where_that_is_wanted(self, start, far):
        mta = start(failure=self.RULE)
        open_all(mta)
        far.fail()
        outcome = mta.send()
        assert (outcome.reply, outcome.changes) == (ACCEPT, ())
        (line,) = events(mta, "sent-unsigned")
        assert line.level is Level.NOTICE
        assert line.text == (
            "sent without any signature: no (s=s1, d=example.com); DkimcoreOnKeyFailure says "
            "unsigned"
        )
        assert actions_taken(mta) == {"unsigned": 1}
        assert events(mta, "key-failed")

    def test_also_where_the_key_cannot_be_opened(self, start, far):
        far.missing.add("key")
        mta = start(failure=self.RULE)
        outcome = mta.send()
        assert (outcome.reply, outcome.step, outcome.changes) == (ACCEPT, "eoh", ())
        assert events(mta, "key-error")
        assert events(mta, "sent-unsigned")
        assert actions_taken(mta) == {"unsigned": 1}

    def test_signatures_that_could_be_made_are_added_all_the_same(self, start, far):
        far.missing.add("key")
        mta = start(["key", "main"], failure=self.RULE)
        outcome = mta.send()
        assert signatures(outcome) == ["s1"]
        assert events(mta, "signed-less")
        assert actions_taken(mta) == {"other-algorithm": 1}

    def test_a_table_that_is_wrong_is_no_failure_of_a_key(self, start, far, tmp_path):
        mta = start(["nosuch"], failure=self.RULE)
        assert mta.send().reply == Reply(Verdict.TEMPFAIL)
        assert actions_taken(mta) == {}

    def test_nor_is_a_key_too_small(self, start, far):
        mta = start(["rsa"], failure=self.RULE, verifying={"minimum_key_bits": 2048})
        assert mta.send().reply == Reply(Verdict.REJECT, "550", "5.7.0", "DKIM signing error")

    def test_other_domains_are_not_concerned(self, start, far):
        mta = start(failure="csl:example.net=unsigned")
        open_all(mta)
        far.fail()
        assert mta.send().reply == AWAY


class TestOtherAlgorithm:
    RULE = "csl:*=other-algorithm"

    def test_one_signature_suffices(self, start, far):
        mta = start(["main", "other"], failure=self.RULE)
        open_all(mta)
        farkeys.service("two").fail("two/other")
        outcome = mta.send()
        assert signatures(outcome) == ["s1"]
        (line,) = events(mta, "signed-less")
        assert line.text.startswith("sent without a signature (s=s3, d=example.com)")
        assert actions_taken(mta) == {"other-algorithm": 1}

    def test_that_of_another_domain_does_not(self, start, far):
        row = "foreign example.net:s3:far:two/other\n"
        mta = start(["main", "foreign"], failure=self.RULE, keys=row)
        open_all(mta)
        farkeys.service("two").fail("two/other")
        assert mta.send().reply == AWAY
        assert actions_taken(mta) == {"tempfail": 1}

    def test_none_does_not(self, start, far):
        mta = start(["key", "other"], failure=self.RULE)
        open_all(mta)
        far.fail()
        farkeys.service("two").fail()
        assert mta.send().reply == AWAY
        assert actions_taken(mta) == {"tempfail": 1}

    def test_nor_where_no_key_can_be_opened(self, start, far):
        far.missing.add("key")
        mta = start(failure=self.RULE)
        assert mta.send().reply == AWAY
        assert actions_taken(mta) == {"tempfail": 1}


class TestFallback:
    RULE = "csl:example.com=fallback:main"

    def test_another_row_signs_instead(self, start, far):
        mta = start(failure=self.RULE)
        open_all(mta)
        far.fail()
        outcome = mta.send()
        assert verified(outcome, s1=far.key("key")) == [False]  # it is the file's key
        assert "a=rsa-sha256" in outcome.values("DKIM-Signature")[0]
        (line,) = events(mta, "signed-by-fallback")
        assert line.text == (
            "signed with the key 'main' instead of (s=s1, d=example.com); DkimcoreOnKeyFailure "
            "says fallback:main"
        )
        assert line.fields["fallback"] == "main"
        assert actions_taken(mta) == {"fallback": 1}
        assert counted(mta, "signatures_made", "rsa") == 1

    def test_also_where_the_key_cannot_be_opened(self, start, far):
        far.missing.add("key")
        mta = start(failure=self.RULE)
        outcome = mta.send()
        assert len(signatures(outcome)) == 1
        assert actions_taken(mta) == {"fallback": 1}

    def test_also_with_a_key_kept_elsewhere_that_is_not_open(self, start, far):
        mta = start(failure="csl:example.com=fallback:other")
        open_all(mta)
        far.fail()
        outcome = mta.send()
        assert signatures(outcome) == ["s3"]
        assert verified(outcome, s3=farkeys.service("two").key("other")) == [True]

    def test_a_fallback_that_fails_too(self, start, far):
        mta = start(failure="csl:example.com=fallback:other")
        open_all(mta)
        far.fail()
        farkeys.service("two").missing.add("other")
        assert mta.send().reply == AWAY
        assert [line.fields["key"] for line in events(mta, "key-not-loaded")] == ["other"]
        farkeys.service("two").missing.clear()
        mta.engine.keys.store.forget("far:two/other")
        assert signatures(mta.send()) == ["s3"]
        farkeys.service("two").fail()
        assert mta.send().reply == AWAY
        assert actions_taken(mta) == {"tempfail": 2, "fallback": 1}

    def test_the_rule_of_the_fallbacks_domain_does_not_let_it_fail(self, start, far):
        """Another signature is made, and that domain may do without: the first one may not."""
        far.missing.add("key")
        farkeys.service("two")
        mta = start(
            ("key", "main"),
            failure="csl:example.com=fallback:away,example.net=unsigned",
            keys="away example.net:s9:far:two/away\n",
        )
        open_all(mta)
        farkeys.service("two").fail()
        assert mta.send().reply == AWAY
        assert actions_taken(mta) == {"fallback": 1, "tempfail": 1}

    def test_a_key_that_signs_already_signs_once(self, start, far):
        mta = start(["main", "key"], failure=self.RULE)
        open_all(mta)
        far.fail()
        assert signatures(mta.send()) == ["s1"]
        assert actions_taken(mta) == {"fallback": 1}

    def test_one_fallback_for_two_signs_once(self, start, far):
        mta = start(["key", "rsa"], failure="csl:example.com=fallback:other")
        open_all(mta)
        far.fail()
        assert signatures(mta.send()) == ["s3"]
        far.missing |= {"key", "rsa"}
        mta.engine.keys.store.forget("far:one/key")
        mta.engine.keys.store.forget("far:one/rsa")
        assert signatures(mta.send()) == ["s3"]

    def test_a_row_for_every_domain(self, start, far, tmp_path):
        mta = start(
            failure="csl:example.com=fallback:every", keys=f"every %:s9:{tmp_path}/s1.private\n"
        )
        open_all(mta)
        far.fail()
        outcome = mta.send()
        assert signatures(outcome) == ["s9"]
        assert "; d=example.com;" in outcome.values("DKIM-Signature")[0]

    def test_who_it_is_for_is_still_said(self, start, far):
        """IdentityHeader."""
        signing = {"identity_header": "Sender"}
        mta = start(failure=self.RULE, signing=signing)
        fields = [*SIMPLE, (b"Sender", b" boss@example.com")]
        mta.send(fields)
        far.fail()
        outcome = mta.send(fields)
        assert "i=boss@example.com" in outcome.values("DKIM-Signature")[0]
        assert "a=rsa" in outcome.values("DKIM-Signature")[0]

    def test_a_file_that_is_gone_falls_back_to_a_service_without_holding_up_the_loop(
        self, start, far, tmp_path
    ):
        mta = start(["main"], failure="csl:example.com=fallback:key")
        (tmp_path / "s1.private").unlink()
        session = mta.session
        session.envelope_sender(b"<>")
        for one in SIMPLE:
            session.field(*one)
        assert session.try_end_of_header() is None
        session.wait()
        assert far.opened == ["key"]
        session.body(BODY)
        conclusion = session.end_of_message()
        assert conclusion.reply == ACCEPT
        assert len(conclusion.modifications) == 1


class TestResigning:
    LIST = (b"<list@example.net>",)

    @pytest.fixture
    def again(self, start):
        def again(key="key", **groups):
            signing = {"resign_recipients": Source(f"list@example.net={key}")}
            mta = start(signing=signing, **groups)
            mta.session.close()
            return Mta(mta.engine.settings)

        return again

    def test_what_passed_is_signed_again(self, again, far):
        outcome = again().pass_on(mail(), recipients=self.LIST)
        assert "dkim=pass" in outcome.results[0]
        assert signatures(outcome) == ["s1", "s1"]

    def test_what_did_not_is_not(self, again, far):
        outcome = again().pass_on(compose(SIMPLE, BODY), recipients=self.LIST)
        assert signatures(outcome) == []
        assert far.calls == [1]  # the check when it was opened

    def test_a_service_that_is_down(self, again, far):
        mta = again()
        mta.pass_on(mail(), recipients=self.LIST)
        far.fail()
        assert mta.pass_on(mail(), recipients=self.LIST).reply == AWAY

    def test_unsigned_is_verified_all_the_same(self, again, far):
        mta = again(failure="csl:*=unsigned")
        mta.pass_on(mail(), recipients=self.LIST)
        far.fail()
        outcome = mta.pass_on(mail(), recipients=self.LIST)
        assert "dkim=pass" in outcome.results[0]
        assert signatures(outcome) == ["s1"]
        far.missing.add("key")
        mta.engine.keys.store.forget("far:one/key")
        outcome = mta.pass_on(mail(), recipients=self.LIST)
        assert "dkim=pass" in outcome.results[0]

    def test_another_key_signs_instead(self, again, far):
        mta = again(failure="csl:*=fallback:other")
        mta.pass_on(mail(), recipients=self.LIST)
        far.fail()
        outcome = mta.pass_on(mail(), recipients=self.LIST)
        assert signatures(outcome) == ["s3", "s1"]
        assert "dkim=pass" in outcome.results[0]

    @pytest.mark.parametrize("original", [mail(), compose(SIMPLE, BODY)])
    def test_step_by_step_as_the_loop_does_it(self, start, far, original):
        mta = start(signing={"resign_recipients": Source("b@example.net=key")})
        assert mta.engine.keys.store.get("far:one/key")
        fields, body = parse(original)
        octets = message([(name, fold(value)) for name, value in fields], body=body)
        service = Service(engine=mta.engine, log=mta.log.append, meter=mta.meter, inet=False)
        conversation = Conversation(service)
        conversation.receive(pack(b"O", b"\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"))
        conversation.receive(macros(b"C", j="mx.example.net") + client("192.0.2.1", b"mail"))
        conversation.receive(octets)
        assert conversation.need is Need.SIGNAL
        out = go_on(conversation)
        assert conversation.need is Need.OCTETS
        is_signed = original == mail()
        assert (b"DKIM-Signature" in out) is is_signed
        assert (b"dkim=pass" in out) is is_signed
        assert len(far.calls) == 1 + is_signed

    def test_a_service_that_is_down_step_by_step(self, start, far):
        mta = start(
            failure="csl:*=fallback:other",
            signing={"resign_recipients": Source("b@example.net=key")},
        )
        assert mta.engine.keys.store.get("far:one/key")
        far.fail()
        fields, body = parse(mail())
        octets = message([(name, fold(value)) for name, value in fields], body=body)
        service = Service(engine=mta.engine, log=mta.log.append, meter=mta.meter, inet=False)
        conversation = Conversation(service)
        conversation.receive(pack(b"O", b"\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"))
        conversation.receive(macros(b"C", j="mx.example.net") + client("192.0.2.1", b"mail"))
        conversation.receive(octets)
        assert go_on(conversation) == b""
        assert conversation.need is Need.WORK
        out = go_on(conversation)
        assert b"dkim=pass" in out
        assert b"s=s3" in out


def fold(value):
    """A value as MTAs hand it over."""
    return value.replace(b"\r\n", b"\n")


class TestConversations:
    """The same, step by step as the loop does it."""

    @pytest.fixture
    def talk(self, start):
        def talk(*signers, **groups):
            mta = start(signers or ["key"], **groups)
            open_all(mta)
            service = Service(engine=mta.engine, log=mta.log.append, meter=mta.meter, inet=False)
            conversation = Conversation(service)
            conversation.receive(pack(b"O", b"\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"))
            conversation.receive(macros(b"C", j="mx.example.net") + client())
            return conversation

        return talk

    def test_nobody_is_waited_for(self, talk, far):
        conversation = talk()
        far.gate.clear()
        conversation.receive(message())
        assert conversation.need is Need.SIGNAL
        assert conversation.progress() == pack(b"p")
        done = threading.Event()
        assert conversation.begin(done.set) is None
        assert not done.is_set()
        far.gate.set()
        assert done.wait(30)
        assert b"DKIM-Signature" in conversation.resume(conversation.complete)
        assert conversation.need is Need.OCTETS

    def test_an_abort_that_came_meanwhile(self, talk, far):
        conversation = talk()
        conversation.receive(message() + pack(b"A") + message(job="Q2"))
        out = go_on(conversation)
        assert out.count(b"DKIM-Signature") == 1
        assert conversation.need is Need.SIGNAL
        assert go_on(conversation).count(b"DKIM-Signature") == 1

    def test_a_conversation_that_is_closed_when_the_answer_comes(self, talk, far):
        conversation = talk()
        far.gate.clear()
        conversation.receive(message())
        done = threading.Event()
        conversation.begin(done.set)
        far.gate.set()
        assert done.wait(30)
        conversation.close()
        conversation.close()

    def test_another_key_is_waited_for_by_a_thread(self, talk, far):
        conversation = talk("key", failure="csl:*=fallback:other")
        far.fail()
        conversation.receive(message())
        assert go_on(conversation) == b""
        assert conversation.need is Need.WORK
        assert conversation.zone is None
        assert conversation.progress() == pack(b"p")
        assert b"s=s3" in go_on(conversation).replace(b"\r\n\t", b" ")
        assert conversation.progress() == b""

    def test_a_key_that_is_at_hand_is_not_waited_for(self, talk, far):
        conversation = talk("main")
        assert b"DKIM-Signature" in conversation.receive(message())

    def test_a_reload_while_a_key_is_waited_for(self, talk, far, start):
        conversation = talk()
        engine = conversation._service.engine
        engine.retain()
        far.gate.clear()
        conversation.receive(message())
        done = threading.Event()
        conversation.begin(done.set)
        engine.close()
        engine.release()
        assert far.closed == []
        far.gate.set()
        assert done.wait(30)
        assert b"DKIM-Signature" in conversation.resume(conversation.complete)
        conversation.close()


@pytest.mark.parametrize(
    ("failure", "reply"),
    [(None, "451 4.7.0 resource unavailable"), ("csl:*=unsigned", None)],
)
def test_a_key_at_hand_may_fail_too(start, far, failure, reply):
    mta = start(["main"], failure=failure)
    session = mta.session
    session.envelope_sender(b"<>")
    for one in SIMPLE:
        session.field(*one)
    session.end_of_header()
    for key in mta.engine.keys.store._keys.values():
        key.withdraw(KeyUnusable("it was withdrawn", uri=key.uri))
    told = session.end_of_message().reply
    assert (None if told == ACCEPT else f"{told.code} {told.enhanced} {told.text}") == reply
    assert "it was withdrawn" in events(mta, "key-failed")[0].text


def test_the_keys_close_with_their_last_session(start, far):
    mta = start()
    open_all(mta)
    mta.engine.close()
    assert far.closed == []
    mta.session.close()
    assert far.closed == ["key"]


def test_a_worker_opens_keys_when_it_starts(start, far):
    mta = start(["key", "rsa", "other"])
    assert mta.engine.keys.schemes == {"far"}
    mta.engine.preload()
    assert far.opened == []  # the supervisor leaves them alone
    mta.engine.keys.warm_up()
    store = mta.engine.keys.store
    for uri in ("far:one/key", "far:one/rsa", "far:two/other"):
        assert store.get(uri).public_key  # waits for who opens it already
    assert sorted(far.opened) == ["key", "rsa"]
