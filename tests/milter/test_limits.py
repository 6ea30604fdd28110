"""Each limit on what a message may cost: it holds, is counted, and the log says so."""

import re

import pytest

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers.static import StaticResolver
from dkimcore.settings.model import Action
from dkimcore_milter.action import ACCEPT, CONTINUE, Verdict
from dkimcore_milter.conversation import Conversation
from dkimcore_milter.meter import Meter
from dkimcore_milter.metrics import Count
from dkimcore_milter.need import Need
from dkimcore_milter.service import Service
from tests.milter.mad import load
from tests.milter.sessions import INSIDE, MACROS, OUTSIDE, SIMPLE, Mta, site
from tests.milter.talks import TALKS
from tests.milter.test_verifying import MANY, RECORD, mail, signatures, words

PADDING = [(b"X-Padding", b" x")] * 20


def hit(mta):
    """The limits that were reached, and how often."""
    counts = {limit: mta.meter.value(limit) for limit in Count if limit.family == "limits_hit"}
    return {limit: value for limit, value in counts.items() if value}


def said(outcome, limit):
    """The line about a limit, which names the message."""
    (line,) = [line for line in outcome.log if line.event == "limit-reached"]
    assert line.fields == {"limit": limit.labels[0]}
    assert line.job_id == MACROS["i"]
    return line.text


@pytest.mark.parametrize("peer", [INSIDE, OUTSIDE])
@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (Action.TEMPFAIL, Verdict.TEMPFAIL),
        (Action.REJECT, Verdict.REJECT),
        (Action.ACCEPT, Verdict.ACCEPT),
    ],
)
def test_header_fields(tmp_path, peer, action, verdict):
    mta = Mta(site(tmp_path, limits={"header_fields": 24}, actions={"security": action}), peer=peer)
    assert mta.send([*SIMPLE, *PADDING]).reply == ACCEPT
    assert hit(mta) == {}
    outcome = mta.send([*SIMPLE, *PADDING, PADDING[0]])
    assert (outcome.reply.verdict, outcome.step) == (verdict, "header")
    assert outcome.values("DKIM-Signature") == []
    assert hit(mta) == {Count.LIMIT_HEADER_FIELDS: 1}
    assert said(outcome, Count.LIMIT_HEADER_FIELDS) == "limit reached: header fields, 24 allowed"
    assert mta.send().reply == ACCEPT  # the next message is judged anew


def test_header_octets(tmp_path):
    mta = Mta(site(tmp_path, verifying={"maximum_header_octets": 500}))
    outcome = mta.send([*SIMPLE, *PADDING * 3])
    assert outcome.reply.verdict is Verdict.TEMPFAIL
    assert hit(mta) == {Count.LIMIT_HEADER_OCTETS: 1}
    (line,) = [line for line in outcome.log if line.event == "header-too-large"]
    assert line.job_id == MACROS["i"]


# Each field has 13 octets with its colon and its CRLF.
@pytest.mark.parametrize("size", [1, 2, 7, 21])
@pytest.mark.parametrize("octets", [259, 260, 261, 100_000])
@pytest.mark.parametrize("count", [19, 20, 21, 22])
def test_fields_at_once_or_one_by_one(tmp_path, size, octets, count):
    """However many fields come at once, the same limit is reached and the same is kept."""
    settings = site(
        tmp_path, limits={"header_fields": 20}, verifying={"maximum_header_octets": octets}
    )
    known = []
    for at_once in (False, True):
        mta = Mta(settings)
        mta.session.envelope_sender(b"<>")
        fields = [(b"X-Field", b" %d" % number) for number in range(10, 10 + count)]
        replies = [
            mta.session.fields(fields[at : at + size])
            if at_once
            else [mta.session.field(*each) for each in fields[at : at + size]][-1]
            for at in range(0, count, size)
        ]
        known.append((replies, mta.session._fields, mta.session._octets, hit(mta)))
    assert known[0] == known[1]
    assert (known[0][-1] == {}) is (count <= 20 and 13 * count <= octets)


def test_what_is_over_a_limit_is_not_kept(tmp_path):
    """A million fields or recipients take no more memory than those that are allowed."""
    mta = Mta(site(tmp_path, limits={"header_fields": 24, "recipients": 100}))
    mta.session.envelope_sender(b"<>")
    for _ in range(1000):
        assert mta.session.envelope_recipient(b"<bob@example.net>") is CONTINUE
    assert len(mta.session._message.recipients) == 101
    for _ in range(1000):
        mta.session.field(b"X", b" y")
    assert mta.session._fields == []
    assert hit(mta) == {Count.LIMIT_HEADER_FIELDS: 1}


def test_recipients(tmp_path):
    mta = Mta(site(tmp_path, limits={"recipients": 100}), peer=INSIDE)
    addresses = [b"<bob%d@example.net>" % number for number in range(101)]
    assert mta.send(recipients=addresses[:100]).reply == ACCEPT
    assert hit(mta) == {}
    outcome = mta.send(recipients=addresses)
    assert (outcome.reply.verdict, outcome.step) == (Verdict.TEMPFAIL, "eoh")
    assert hit(mta) == {Count.LIMIT_RECIPIENTS: 1}
    assert said(outcome, Count.LIMIT_RECIPIENTS) == "limit reached: recipients, 100 allowed"


def test_signatures(tmp_path):
    mta = Mta(site(tmp_path, verifying={"maximum_signatures": 2}), resolver=MANY)
    message = signatures(*((f"s{n}", "example.com") for n in range(3)))
    outcome = mta.pass_on(message)
    assert [word for word, _ in words(outcome)] == ["pass", "pass", "neutral"]
    assert outcome.lines("signatures-ignored") == ["ignoring 1 signature(s)"]
    assert hit(mta) == {Count.LIMIT_SIGNATURES: 1}


class Counting:
    """Counts the queries."""

    def __init__(self):
        self.names = []

    def lookup_txt(self, name):
        self.names.append(name)
        return MANY.lookup_txt(name)


def test_queries(tmp_path):
    resolver = Counting()
    mta = Mta(site(tmp_path, limits={"queries": 2}), resolver=resolver)
    outcome = mta.pass_on(signatures(*((f"s{n}", "example.com") for n in range(4))))
    assert [word for word, _ in words(outcome)] == ["pass", "pass", "policy", "policy"]
    assert resolver.names == ["s0._domainkey.example.com.", "s1._domainkey.example.com."]
    assert hit(mta) == {Count.LIMIT_QUERIES: 1}
    assert said(outcome, Count.LIMIT_QUERIES) == "limit reached: queries, 2 allowed"


def test_time_for_queries(tmp_path):
    mta = Mta(site(tmp_path, resolving={"message_timeout": 0}), resolver=Counting())
    outcome = mta.pass_on(mail())
    assert outcome.reply.code == "451"  # On-DNSError
    assert hit(mta) == {Count.LIMIT_MESSAGE_DNS_TIME: 1}
    assert said(outcome, Count.LIMIT_MESSAGE_DNS_TIME) == (
        "limit reached: time for key queries, 0 seconds allowed"
    )


def changed(pattern, value):
    return re.sub(pattern, value, mail(), count=1)


@pytest.mark.parametrize(
    ("message", "records", "limit", "words"),
    [
        pytest.param(
            changed(rb"s=s1;", b"s=s1; n=" + b"x" * 17_000 + b";"),
            [RECORD],
            Count.LIMIT_SIGNATURE_OCTETS,
            ("policy", "signature octets, 16384"),
            id="octets of a signature",
        ),
        pytest.param(
            changed(rb"\sh=", b" h=" + b"x:" * 200),
            [RECORD],
            Count.LIMIT_SIGNED_FIELDS,
            ("policy", "signed fields, 200"),
            id="names in h=",
        ),
        pytest.param(
            mail(),
            [RECORD] * 3,
            Count.LIMIT_KEY_RECORDS,
            ("permerror", "key records, 2"),
            id="key records at one name",
        ),
    ],
)
def test_limits_of_the_library(tmp_path, message, records, limit, words):
    answer = TxtAnswer(TxtStatus.FOUND, tuple(records))
    mta = Mta(site(tmp_path), resolver=StaticResolver({"s1._domainkey.example.com": answer}))
    outcome = mta.pass_on(message)
    assert outcome.results[0].split()[1] == f"dkim={words[0]}"
    assert hit(mta) == {limit: 1}
    assert said(outcome, limit) == f"limit reached: {words[1]} allowed"


def test_a_packet(tmp_path):
    """The connection ends before a packet is read that nobody may send."""
    engine = load(tmp_path, 0)
    lines = []
    meter = Meter.alone()
    service = Service(engine=engine, log=lines.append, meter=meter, inet=False)
    conversation = Conversation(service)
    conversation.receive(TALKS[0][0])
    conversation.receive((1 << 20).to_bytes(4, "big") + b"B")
    assert conversation.need is Need.OCTETS
    conversation = Conversation(service)
    conversation.receive(TALKS[0][0])
    assert conversation.receive((1 << 31).to_bytes(4, "big") + b"B") == b""
    assert conversation.need is Need.END
    assert meter.value(Count.LIMIT_PACKET_LENGTH) == 1
    assert lines[-1].text == "milter protocol error: a packet of 2147483648 octets"
