"""The milter client says what Postfix says, and changes messages as Postfix does."""

import struct
from dataclasses import replace

import pytest

from tests.servers import servers_required
from tests.servers.milterclient import Delivery, MilterClient, MilterError, Outlook, deliver
from tests.servers.miltermessage import apply_changes, split_message
from tests.servers.milterwire import (
    AddField,
    ChangeField,
    FilterActions,
    InsertField,
    ReplaceBody,
    Steps,
    pack,
)
from tests.servers.postfix import Entrance, Postfix, postfix_unusable
from tests.servers.scriptedfilter import Script, ScriptedFilter

MESSAGE = (
    b"Received: from elsewhere by client.example; now\r\n"
    b"From: Alice <alice@example.com>\r\n"
    b"Subject:tight\r\n"
    b"Subject: \tfolded\r\n"
    b"\t twice \r\n"
    b"Subject:   third\r\n"
    b"X-Empty:\r\n"
    b"X-8bit: \xfc\r\n"
    b"Date: Sun, 22 Nov 2026 21:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"To: box@recipient.example\r\n"
    b"\r\n"
    b".A dot, and \xff\r\n"
    b"\r\n" + b"x" * 70000 + b"\r\n"
    b" \r\n"
    b"\r\n"
)
STEPS = b"CHMRTLNBE"


def strings(*parts: bytes) -> bytes:
    return b"".join(part + b"\0" for part in parts)


def change(letter: bytes, index: int, name: bytes, value: bytes) -> bytes:
    return pack(letter, struct.pack(">I", index) + strings(name, value))


CHANGES = {
    "insert": [change(b"i", 0, b"X-Zero", b" 0"), change(b"i", 1, b"X-One", b" 1")],
    "insert far down": [change(b"i", 3, b"X-Three", b"3"), change(b"i", 999, b"X-End", b" e")],
    "insert several": [change(b"i", 0, b"X-New", b" %d" % n) for n in range(3)],
    "append": [pack(b"h", strings(b"X-Added", b" two\n\tlines"))],
    "change": [change(b"m", 2, b"subject", b" changed"), change(b"m", 9, b"Subject", b" new")],
    "delete": [change(b"m", 3, b"Subject", b""), change(b"m", 1, b"SUBJECT", b"")],
    "delete the 0th, and one too many": [
        change(b"m", 0, b"Subject", b""),
        change(b"m", 7, b"Subject", b""),
    ],
    "delete Received": [change(b"m", 1, b"Received", b"")],
    "insert, then delete": [change(b"i", 1, b"Subject", b" n"), change(b"m", 1, b"Subject", b"")],
    "body": [pack(b"b", b"one\r\ntw"), pack(b"b", b"o\r\n")],
}


@pytest.fixture
def scripted():
    with ScriptedFilter() as running:
        yield running


@pytest.fixture(scope="module")
def relay():
    """A Postfix whose entrances lead to one scripted filter, with protocol 6 and 2."""
    reason = postfix_unusable()
    if reason is not None:
        (pytest.fail if servers_required() else pytest.skip)(reason)
    with ScriptedFilter() as filtering:
        milters = "inet:127.0.0.1:" + filtering.address.split(":")[1].partition("@")[0]
        entrances = {
            str(version): Entrance(milters=milters, protocol=version) for version in (6, 2)
        }
        with Postfix(entrances) as postfix:
            yield postfix, filtering


def names_and_values(octets):
    """The fields, without what differs between two Postfixes: their own Received."""
    fields, gap, body = split_message(octets)
    return [field for field in fields if b"by mx.recipient.example" not in field], gap, body


@pytest.mark.server("postfix")
@pytest.mark.parametrize("version", [6, 2])
@pytest.mark.parametrize("steps", [Steps(0), Steps.HDR_LEADSPC | Steps.NOHELO | Steps.NR_HDR])
def test_postfix_sends_the_same_packets(relay, scripted, version, steps):
    postfix, filtering = relay
    filtering.script = scripted.script = Script(steps=steps)
    filtering.received.clear()
    postfix.submit(str(version), MESSAGE)
    delivery = Delivery(
        host="[127.0.0.1]",
        sender=b"<envelope@sender.example>",
        recipients=(b"<box@recipient.example>",),
    )
    deliver(scripted.address, MESSAGE, delivery, version=version)
    both = [
        [(letter, data) for letter, data in one.received if letter in STEPS]
        for one in (filtering, scripted)
    ]
    letters = ["".join(letter.decode() for letter, _ in packets) for packets in both]
    assert letters[0] == letters[1]
    for theirs, ours in zip(*both, strict=True):
        if theirs[0] in b"RTLNBE":
            assert theirs == ours
        if theirs[0] == b"M":  # Postfix adds SIZE=
            assert theirs[1].startswith(ours[1])


@pytest.mark.server("postfix")
@pytest.mark.parametrize("leading_space", [Steps.HDR_LEADSPC, Steps(0)])
@pytest.mark.parametrize("name", CHANGES)
def test_postfix_changes_messages_in_the_same_way(relay, scripted, name, leading_space):
    postfix, filtering = relay
    filtering.script = scripted.script = Script(steps=leading_space, changes=CHANGES[name])
    receipt = postfix.submit("6", MESSAGE)
    arrived = postfix.arrival(receipt.queue_id)
    received = b"Received: from client.example by mx.recipient.example; now"
    outcome = deliver(scripted.address, MESSAGE, Delivery(received=received))
    assert names_and_values(outcome.message()) == names_and_values(arrived)
    # Where Postfix's own Received stands among them.
    own = [
        next(n for n, field in enumerate(split_message(one)[0]) if b"mx.recipient" in field)
        for one in (outcome.message(), arrived)
    ]
    assert own[0] == own[1]


def test_replies_end_the_message_where_they_come(scripted):
    refused = pack(b"y", b"550 5.7.0 no\0")
    for letter, step in ((b"C", "connect"), (b"M", "mail"), (b"N", "eoh"), (b"E", "eom")):
        scripted.script = Script(replies={letter: refused})
        outcome = deliver(scripted.address, MESSAGE)
        assert (outcome.step, outcome.reply.smtp) == (step, "550 5.7.0 no")
    for letter, outlook in ((b"r", "550 5.7.1"), (b"t", "451 4.7.1"), (b"d", "None")):
        scripted.script = Script(replies={b"N": pack(letter)})
        assert str(deliver(scripted.address, MESSAGE).reply.smtp).startswith(outlook)


def test_nothing_of_the_body_follows_skip(scripted):
    scripted.script = Script(steps=Steps.SKIP, replies={b"B": pack(b"s")})
    outcome = deliver(scripted.address, MESSAGE)
    assert [step for step, one in outcome.replies if one.outlook is Outlook.SKIP] == ["body"]
    assert sum(letter == b"B" for letter, _ in scripted.received) == 1


def test_what_was_not_agreed_is_an_error(scripted):
    scripted.script = Script(replies={b"B": pack(b"s")})
    with pytest.raises(MilterError, match="SKIP was not agreed"):
        deliver(scripted.address, MESSAGE)
    scripted.script = Script(replies={b"N": pack(b"h", strings(b"A", b"b"))})
    with pytest.raises(MilterError, match="before the end of the message"):
        deliver(scripted.address, MESSAGE)
    scripted.script = Script(replies={b"N": pack(b"!")})
    with pytest.raises(MilterError, match="unknown answer"):
        deliver(scripted.address, MESSAGE)
    with MilterClient(scripted.address) as client, pytest.raises(MilterError, match="wants"):
        client.negotiate(actions=FilterActions.ADDHDRS)


def test_progress_is_no_answer(scripted):
    scripted.script = Script(changes=[pack(b"p"), pack(b"p")])
    outcome = deliver(scripted.address, MESSAGE)
    assert (outcome.progress, outcome.reply.outlook) == (2, Outlook.ACCEPT)


def test_macros_go_with_their_steps(scripted):
    delivery = Delivery(macros={"{daemon_name}": "submission", "{auth_type}": "PLAIN"})
    deliver(scripted.address, MESSAGE, delivery)
    macros = {data[:1]: data[1:] for letter, data in scripted.received if letter == b"D"}
    assert b"{daemon_name}\0submission\0" in macros[b"C"]
    assert b"{auth_type}" not in macros[b"C"]
    assert b"{auth_type}\0PLAIN\0" in macros[b"M"]
    assert b"i\0" not in macros[b"M"]  # Postfix has no queue id yet
    assert macros[b"E"].startswith(b"i\0")


@pytest.mark.parametrize("address", [None, "/run/x", "2001:db8::1", "192.0.2.1"])
def test_every_kind_of_client_is_told(scripted, address):
    deliver(scripted.address, MESSAGE, replace(Delivery(), address=address))
    (connect,) = [data for letter, data in scripted.received if letter == b"C"]
    family = connect[len(b"client.example.org\0") :][:1]
    assert family == {None: b"U", "/run/x": b"L", "2001:db8::1": b"6"}.get(address, b"4")


def test_changes_apply_in_their_order():
    changed = apply_changes(
        b"A: 1\r\nB: 2\r\n\r\nbody",
        [InsertField(1, b"C", b"3"), ChangeField(1, b"a", b""), AddField(b"D", b"4\n\t5")],
        leading_space=False,
    )
    assert changed == b"C: 3\r\nB: 2\r\nD: 4\r\n\t5\r\n\r\nbody"
    assert apply_changes(b"A: 1\r\n", [ReplaceBody(b"x")], leading_space=True) == b"A: 1\r\nx"
