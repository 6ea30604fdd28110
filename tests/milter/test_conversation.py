"""Between an MTA and a session: octets, packets, answers, and what goes wrong."""

from __future__ import annotations

import struct
import sys

import pytest

import dkimcore
from dkimcore.resolvers.static import StaticResolver
from dkimcore.testing import EphemeralKey
from dkimcore_milter.logline import Level
from dkimcore_milter.need import Need
from dkimcore_milter.session import Session
from tests.milter.mta import (
    ALL_ACTIONS,
    ALL_STEPS,
    FIELDS,
    WAITING,
    Talk,
    client,
    go_on,
    macros,
    message,
)
from tests.milter.site import Site
from tests.servers.milterwire import (
    AddRecipient,
    ChangeField,
    DeleteRecipient,
    InsertField,
    Outlook,
    Progress,
    Quarantine,
    Reply,
    Steps,
    pack,
)

KEY = EphemeralKey.ed25519()
SIGNING = "Domain example.com\nSelector s1\nKeyFile key\nCanonicalization simple/simple\n"
VERIFYING = "Mode v\nInternalHosts 192.0.2.1\n"
BUG = RuntimeError("a bug")
OFFER = pack(b"O", struct.pack(">III", 6, ALL_ACTIONS, ALL_STEPS))
ACCEPTED = Reply(Outlook.ACCEPT)
CONTINUES = Reply(Outlook.CONTINUE)
ON_UNIX = (Steps.NOHELO | Steps.NOUNKNOWN | Steps.NODATA | Steps.SKIP | Steps.HDR_LEADSPC) | (
    Steps.NR_MAIL | Steps.NR_RCPT | Steps.NR_HDR
)


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.key("key", KEY)
    return made


@pytest.fixture
def talk(site):
    """A conversation behind its CONNECT."""
    made = Talk(site.engine(SIGNING))
    made.greet()
    return made


def errors(talk):
    return [line for line in talk.log if line.level is Level.ERR]


def changes(answers):
    return [answer for answer in answers if not isinstance(answer, (Reply, Progress))]


def result(fields, changes, *, body=b"hello\r\n", blank=b""):
    """Verifies the message as the MTA has it after the changes."""
    inserted = [(change.name, blank + change.value) for change in changes]
    text = b"".join(
        name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n"
        for name, value in [*inserted, *fields]
    )
    records = StaticResolver({"s1._domainkey.example.com": KEY.key_record()})
    (found,) = dkimcore.verify(text + b"\r\n" + body, resolver=records)
    return found


ODD = (
    (b"From", b" a@example.com"),
    (b"Subject", b"no blank"),
    (b"To", b"  two blanks\n\tand a fold\n  and another"),
    (b"Cc", b"\n folded at once"),
    (b"X-8bit", b" caf\xe9 \xf0\x9f\x98\x80 \xff\xfe"),
    (b"X-\xff", b" a name that is no text"),
    (b"Date", b""),
    (b"Message-ID", b" <x@y> \t "),
)


class TestMessages:
    def test_a_message_is_answered_once_on_a_unix_socket(self, site):
        talk = Talk(site.engine(SIGNING))
        agreed = talk.greet()
        assert (agreed.version, agreed.steps) == (6, ON_UNIX)
        *before, change, last = talk.say(message())
        assert before == [CONTINUES, CONTINUES]  # the end of the header, the body
        assert (change.index, change.name) == (0, b"DKIM-Signature")
        assert last == ACCEPTED

    def test_each_step_is_answered_over_tcp(self, site):
        talk = Talk(site.engine(SIGNING), inet=True)
        agreed = talk.greet()
        assert not agreed.steps & (Steps.NODATA | Steps.NR_MAIL | Steps.NR_RCPT | Steps.NR_HDR)
        answers = talk.say(message())
        assert answers[:-2] == [CONTINUES] * (2 + len(FIELDS) + 2)
        assert talk.say(pack(b"T") + pack(b"H", b"x\0") + pack(b"U", b"x\0")) == [CONTINUES] * 3

    @pytest.mark.parametrize("size", [1, 2, 5, 64])
    def test_how_the_octets_are_cut_does_not_matter(self, site, size):
        octets = message(ODD) + message()
        whole, parts = Talk(site.engine(SIGNING)), Talk(site.engine(SIGNING))
        whole.greet()
        parts.greet()
        expected = whole.send(octets)
        got = [parts.send(octets[at : at + size]) for at in range(0, len(octets), size)]
        assert b"".join(got) == expected

    def test_odd_header_octets_are_signed_as_they_are(self, site):
        talk = Talk(site.engine(SIGNING + "SignHeaders *,+X-8bit\n"))
        talk.greet()
        found = result(ODD, changes(talk.say(message(ODD))))
        assert found.status == "pass"
        assert b"x-8bit" in [name.lower() for name in found.signature.signed_fields]

    def test_values_go_out_with_lf_and_their_blank(self, talk):
        (change,) = changes(talk.say(message()))
        assert change.value.startswith(b" v=1;")
        assert b"\n" in change.value
        assert b"\r" not in change.value

    def test_without_leading_space_the_mta_adds_the_blank_itself(self, site):
        # milter_protocol 2: "Subject: hi" comes as "hi", and "v=1" becomes " v=1".
        talk = Talk(site.engine(SIGNING))
        assert talk.greet(version=2, actions=0x3F, steps=0x7F).version == 2
        stripped = [(name, value.strip()) for name, value in FIELDS]
        (change,) = changes(talk.say(message(stripped)))
        assert change.value.startswith(b"v=1;")
        assert result(FIELDS, [change], blank=b" ").status == "pass"

    def test_a_value_ends_at_its_first_nul(self, talk):
        # libmilter's strings end there; what follows is not the message's.
        fields = [*FIELDS, (b"X-Nul", b" one\0two")]
        (change,) = changes(talk.say(message(fields)))
        assert result([*FIELDS, (b"X-Nul", b" one")], [change]).status == "pass"

    def test_the_end_of_the_body_may_come_with_the_end(self, talk):
        octets = message(body=b"hel").replace(pack(b"E"), pack(b"E", b"lo\r\n"))
        assert result(FIELDS, changes(talk.say(octets))).status == "pass"

    def test_a_header_that_was_not_ended_ends_with_the_body(self, talk):
        octets = message().replace(pack(b"N"), b"")
        assert result(FIELDS, changes(talk.say(octets))).status == "pass"

    def test_a_body_is_skipped_only_where_that_was_agreed_on(self, site):
        for steps, expected in ((0x1FFFFF, Outlook.SKIP), (0x7F, Outlook.CONTINUE)):
            talk = Talk(site.engine(VERIFYING))  # unsigned mail: nothing wants the body
            talk.greet(steps=steps)
            *_, body, end = talk.say(message())
            assert (body.outlook, end) == (expected, ACCEPTED)

    def test_too_much_header_is_answered_where_answers_are_given(self, site):
        conf = f"{SIGNING}MaximumHeaders 200000\nOn-Security reject\n"
        many = [*FIELDS, *((b"X-Long", b" " + b"x" * 990) for _ in range(300))]
        silent, loud = Talk(site.engine(conf)), Talk(site.engine(conf), inet=True)
        silent.greet()
        assert silent.say(message(many))[0].final
        loud.greet()
        answers = [answer.outlook for answer in loud.say(message(many))]
        assert Outlook.REJECT in answers[2 : 2 + len(many)]  # a field's


class TestConnections:
    def test_messages_follow_each_other_and_some_have_no_end(self, talk):
        for fields in (ODD, FIELDS):
            assert result(fields, changes(talk.say(message(fields)))).status == "pass"
            assert talk.conversation.under_way is False
            lost = message().replace(pack(b"E"), b"")
            talk.say(lost)
            assert talk.conversation.under_way is True
            assert talk.say(pack(b"A")) == []
            assert talk.conversation.under_way is False

    def test_an_envelope_without_its_abort_is_forgotten(self, talk):
        talk.say(pack(b"M", b"<>\0") + pack(b"L", b"From\0 x@example.org\0"))
        assert result(FIELDS, changes(talk.say(message()))).status == "pass"

    @pytest.mark.parametrize(
        ("who", "signed"),
        [
            (client("127.0.0.1"), True),
            (client("::1"), True),
            (client("192.0.2.1"), False),
            (pack(b"C", b"localhost\0L\0\0/run/x\0"), False),
        ],
    )
    def test_the_clients_address_decides(self, site, who, signed):
        talk = Talk(site.engine(SIGNING))
        talk.negotiate()
        talk.say(macros(b"C", j="mx") + who)
        assert bool(changes(talk.say(message()))) is signed

    def test_another_client_may_follow_on_the_same_connection(self, talk):
        # SMFIC_QUIT_NC: what was agreed on stays, the client and its macros do not.
        assert changes(talk.say(message()))
        assert talk.say(pack(b"K") + client("192.0.2.1")) == [CONTINUES]
        assert not changes(talk.say(message()))
        assert talk.say(pack(b"K") + client()) == [CONTINUES]
        assert changes(talk.say(message()))

    def test_a_client_of_peerlist_is_left_alone(self, site):
        talk = Talk(site.engine(f"{SIGNING}PeerList 127.0.0.1\n"))
        talk.negotiate()
        assert talk.say(client()) == [ACCEPTED]

    def test_quit_ends_it(self, talk):
        assert talk.say(pack(b"Q")) == []
        assert talk.over

    def test_macros_are_asked_for(self, site):
        talk = Talk(site.engine(f"{SIGNING}MacroList csl:color\n"))
        ((stage, symbols),) = talk.greet().symbols
        assert stage == 6
        assert "{color}" in symbols.split()

    def test_an_mta_that_cannot_do_what_is_needed_is_told_in_opendkims_words(self, site):
        talk = Talk(site.engine(SIGNING))
        assert talk.negotiate(actions=0x01) is None
        assert talk.over
        (line,) = errors(talk)
        assert line.text == "required milter action(s) not available (got 0x1, need 0x11)"


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (pack(b"X"), "unknown command 0x58"),
        (struct.pack(">I", 0), "a packet of 0 octets"),
        (struct.pack(">IB", 0x7FFFFFFF, ord("B")), "a packet of 2147483647 octets"),
        (struct.pack(">IB", 1024 * 1024 + 1, ord("D")), "a packet of 1048577 octets"),
        (pack(b"L", b"From"), "a field without a value"),
        (pack(b"M"), "a string without an end"),
        (pack(b"R", b"<a@b>"), "a string without an end"),
        (OFFER, "a second negotiation"),
        (pack(b"K") + OFFER, "a second negotiation"),
        (pack(b"C", b"localhost\0004\0\0nowhere\0"), "a client whose address is none"),
    ],
)
def test_what_is_against_the_protocol_ends_the_connection(talk, octets, why):
    signed = talk.say(message())
    assert changes(signed)
    # What came before is answered.
    assert talk.say(pack(b"T") + octets + message()) == [CONTINUES]
    assert talk.over
    (line,) = errors(talk)
    assert (line.event, line.text) == ("protocol-error", f"milter protocol error: {why}")


@pytest.mark.parametrize(
    ("offer", "why"),
    [
        (b"1234", "a negotiation of 4 octets"),
        (struct.pack(">III", 1, 0, 0), "version 1, which is too old"),
    ],
)
def test_a_negotiation_against_the_protocol_ends_the_connection(site, offer, why):
    talk = Talk(site.engine(SIGNING))
    assert talk.send(pack(b"O", offer)) == b""
    assert talk.over
    assert errors(talk)[0].text == f"milter protocol error: {why}"


@pytest.mark.parametrize("octets", [client(), message(), pack(b"N"), pack(b"K")])
def test_nothing_goes_before_the_negotiation(site, octets):
    talk = Talk(site.engine(SIGNING))
    assert talk.send(macros(b"C", j="x") + pack(b"A")) == b""
    assert not talk.over
    assert talk.send(octets) == b""
    assert talk.over
    assert errors(talk)[0].text == "milter protocol error: the MTA did not negotiate"


def test_a_packet_of_a_megabyte_in_small_parts_takes_no_more_memory_than_it_has(talk):
    octets = pack(b"B", b"x" * (1024 * 1024 - 1))
    before = message().partition(pack(b"B", b"hello\r\n"))[0]
    talk.say(before)
    for at in range(0, len(octets), 4096):
        talk.send(octets[at : at + 4096])
        assert len(talk.conversation._inbox.rest) <= len(octets)
    assert changes(talk.say(pack(b"E")))


def test_one_that_sends_many_messages_at_once_lets_others_have_their_turn(site):
    talk = Talk(site.engine(SIGNING))
    talk.greet()
    octets = message() * 10
    out, turns = talk.conversation.receive(octets), 1
    while talk.conversation.need is Need.TURN:
        out += talk.conversation.receive(b"")
        turns += 1
    assert turns >= 5
    assert out.count(b"DKIM-Signature") == 10


@pytest.mark.parametrize(
    ("packet", "most"),
    [
        (pack(b"A"), 128),
        (pack(b"B", b"x"), 128),
        (client(), 32),
        (macros(b"M", i="Q1"), 256),
        (pack(b"H", b"x\0"), 256),
        (pack(b"K"), 32),
        (pack(b"L", b"\0\0"), 4096),
        (pack(b"M", b"<>\0"), 64),
        (pack(b"R", b"<>\0"), 128),
    ],
)
def test_no_flood_of_small_packets_takes_long_turns(talk, packet, most):
    talk.send(pack(b"M", b"<a@example.com>\0"))
    octets = packet * (65_536 // len(packet))
    talk.conversation.receive(octets)
    turns = 1
    while talk.conversation.need is Need.TURN:
        talk.conversation.receive(b"")
        turns += 1
    assert talk.conversation.need is Need.OCTETS
    assert turns >= 65_536 // len(packet) // most


def test_a_message_as_mail_has_it_takes_one_turn(talk):
    fields = [*FIELDS, *((b"Received", b" from mail.example.org" * 6) for _ in range(15))]
    assert b"DKIM-Signature" in talk.conversation.receive(message(fields))
    assert talk.conversation.need is Need.OCTETS


def test_deletions_and_recipients_reach_the_mta(site):
    conf = f"{VERIFYING}AuthservID mx.example.net\nAlwaysAddARHeader yes\n"
    forged = (b"Authentication-Results", b" mx.example.net; dkim=pass header.d=example.com")
    talk = Talk(site.engine(conf))
    talk.greet()
    made = changes(talk.say(message([forged, *FIELDS, forged])))
    assert [change.index for change in made if isinstance(change, ChangeField)] == [2, 1]
    (inserted,) = [change for change in made if isinstance(change, InsertField)]
    assert inserted.value.split() == [b"mx.example.net;", b"dkim=none"]


def test_a_failed_message_is_redirected(site):
    signer = Talk(site.engine(SIGNING))
    signer.greet()
    (signature,) = changes(signer.say(message()))
    site.write("records", f"s1._domainkey.example.com {KEY.key_record().decode()}\n")
    conf = f"{VERIFYING}TestPublicKeys records\nRedirectFailuresTo postmaster@example.net\n"
    talk = Talk(site.engine(conf))
    talk.greet()
    fields = [(signature.name, signature.value), *FIELDS]
    made = changes(talk.say(message(fields, body=b"not what was signed\r\n")))
    assert AddRecipient(b"<postmaster@example.net>") in made
    assert DeleteRecipient(b"<b@example.net>") in made


class TestBugs:
    """An exception fails one message, in the way the operator chose."""

    @pytest.fixture
    def broken(self, site, monkeypatch):
        """Makes a conversation whose session raises at a step."""

        def start(conf, step, *, exc=BUG):
            def fail(*_arguments):
                raise exc

            talk = Talk(site.engine(conf))
            talk.negotiate()
            monkeypatch.setattr(Session, step, fail)
            talk.answers = talk.say(macros(b"C", j="mx") + client() + message())
            monkeypatch.undo()
            return talk

        return start

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            ("accept", ACCEPTED),
            ("discard", Reply(Outlook.DISCARD)),
            ("reject", Reply(Outlook.REPLYCODE, "550 5.7.0 internal DKIM error")),
            ("tempfail", Reply(Outlook.REPLYCODE, "451 4.7.0 internal DKIM error")),
        ],
    )
    def test_the_message_gets_the_operators_action(self, broken, action, expected):
        talk = broken(f"{SIGNING}On-InternalError {action}\n", "try_end_of_header")
        assert talk.answers[1] == expected
        (line,) = errors(talk)
        assert line.job_id == "Q1"
        assert line.text.startswith("internal error: RuntimeError: a bug (")
        assert "test_conversation.py" in line.text
        assert "Traceback" in line.fields["traceback"]
        # The next message on the same connection is not affected.
        assert result(FIELDS, changes(talk.say(message()))).status == "pass"

    @pytest.mark.parametrize("conf", ["On-InternalError quarantine", "CaptureUnknownErrors yes"])
    @pytest.mark.parametrize(
        "step", ["connect", "envelope_sender", "try_end_of_header", "body", "end_of_message"]
    )
    def test_or_is_held(self, broken, conf, step):
        talk = broken(f"{SIGNING}{conf}\n", step)
        assert talk.answers[-2:] == [Quarantine(b"internal DKIM error"), ACCEPTED]
        assert not any(isinstance(answer, InsertField) for answer in talk.answers)

    @pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), MemoryError()])
    def test_whatever_is_raised_is_contained(self, broken, exc):
        talk = broken(SIGNING, "end_of_message", exc=exc)
        assert talk.answers[-1].smtp == "451 4.7.0 internal DKIM error"

    def test_one_at_connect_lasts_for_the_connection(self, broken):
        talk = broken(SIGNING, "connect")
        assert talk.answers[0].smtp == "451 4.7.0 internal DKIM error"
        assert talk.say(message())[-1].smtp == "451 4.7.0 internal DKIM error"
        assert len(errors(talk)) == 1
        assert talk.say(client()) == [CONTINUES]
        assert changes(talk.say(message()))


SLOW = """
from dkimcore.testing import EphemeralKey

GATE = None

class SlowKey:
    def __init__(self, key):
        self._key = key
        self.algorithm = key.algorithm
        self.public_key = key.public_key

    def sign_digest(self, digest):
        if GATE is not None:
            GATE()
        return self._key.sign_digest(digest)

def open_key(uri, context):
    return SlowKey(EphemeralKey.ed25519())
"""
TABLES = "KeyTable csl:k=example.com:s1:slow:x\nSigningTable csl:example.com=k\n"


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A key backend of somebody else's, whose keys wait in `GATE`."""
    package = tmp_path / "packages"
    (package / "slowkey-1.dist-info").mkdir(parents=True)
    (package / "slowkey-1.dist-info" / "METADATA").write_text("Name: slowkey\nVersion: 1\n")
    (package / "slowkey-1.dist-info" / "entry_points.txt").write_text(
        "[dkimcore.keys]\nslow = slowkey:open_key\n"
    )
    (package / "slowkey.py").write_text(SLOW)
    monkeypatch.syspath_prepend(package)
    import slowkey

    return slowkey


class TestWaiting:
    def test_octets_that_came_meanwhile_are_read_afterwards(self, site, slow):
        talk = Talk(site.engine(TABLES))
        talk.greet()
        conversation = talk.conversation
        head, end, _ = message().partition(pack(b"E"))
        talk.send(head)
        out = conversation.receive(end + message(job="Q2") + pack(b"Q"))
        assert (out, conversation.need) == (b"", Need.SIGNAL)
        assert conversation.progress() == pack(b"p")
        out = go_on(conversation)
        assert out.count(b"DKIM-Signature") == 1
        rest = b""
        while conversation.need in WAITING:
            rest += go_on(conversation)
        assert (out + rest).count(b"DKIM-Signature") == 2
        assert talk.over
        assert conversation.progress() == b""

    def test_a_bug_behind_a_slow_key_is_contained_as_well(self, site, slow, monkeypatch):
        talk = Talk(site.engine(TABLES))
        talk.greet()
        assert changes(talk.say(message()))
        monkeypatch.setattr(slow, "GATE", sys.exit)
        assert talk.say(message())[-1].smtp == "451 4.7.5 resource unavailable"

    def test_a_conversation_may_be_closed_twice(self, talk):
        talk.conversation.close()
        talk.conversation.close()
        assert talk.over
