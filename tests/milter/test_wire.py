"""The protocol's octets: what we print, and what we refuse to read."""

from __future__ import annotations

import struct

import pytest

from dkimcore.protocol.message import HeaderField
from dkimcore_milter import wire
from dkimcore_milter.action import (
    ACCEPT,
    CONTINUE,
    SKIP,
    AddRecipient,
    DeleteField,
    DeleteRecipient,
    InsertField,
    Quarantine,
    Reply,
    Verdict,
)
from dkimcore_milter.inbox import Inbox
from dkimcore_milter.macros import MacroTable
from dkimcore_milter.peer import Peer
from dkimcore_milter.wire import ProtocolError
from tests.servers import milterwire
from tests.servers.milterwire import pack


@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        (CONTINUE, pack(b"c")),
        (ACCEPT, pack(b"a")),
        (SKIP, pack(b"s")),
        (Reply(Verdict.DISCARD), pack(b"d")),
        (Reply(Verdict.REJECT), pack(b"r")),
        (Reply(Verdict.TEMPFAIL), pack(b"t")),
        (Reply(Verdict.REJECT, "550", "5.7.0", "no"), pack(b"y", b"550 5.7.0 no\0")),
        (Reply(Verdict.TEMPFAIL, "451", "", "not now"), pack(b"y", b"451 not now\0")),
        (
            Reply(Verdict.REJECT, "550", "5.7.0", "100% of\r\nwhat\nwas caf\xe9"),
            pack(b"y", b"550 5.7.0 100%% of what was caf?\0"),  # MTAs make one % of two
        ),
    ],
)
def test_replies(reply, octets):
    assert wire.print_reply(reply) == octets


def test_a_long_reply_is_cut_as_libmilter_wants_it():
    octets = wire.print_reply(Reply(Verdict.REJECT, "550", "5.7.0", "x " * 1000))
    assert len(octets) < 980


FOLDED = HeaderField(b"X-Test: a\r\n\tb \xe9")


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        (InsertField(FOLDED), milterwire.InsertField(0, b"X-Test", b" a\n\tb \xe9")),
        (DeleteField(b"X-\xff", 2), milterwire.ChangeField(2, b"X-\xff", b"")),
        (Quarantine("why"), milterwire.Quarantine(b"why")),
        (AddRecipient(b"<\xfc@b>"), milterwire.AddRecipient(b"<\xfc@b>")),
        (DeleteRecipient(b"<a@b>"), milterwire.DeleteRecipient(b"<a@b>")),
    ],
)
def test_changes(change, meant):
    octets = wire.print_modification(change, leading_space=True)
    assert struct.unpack_from(">I", octets)[0] == len(octets) - 4
    assert milterwire.parse_answer(octets[4:5], octets[5:]) == meant


def test_an_mta_that_adds_the_blank_itself_gets_none():
    octets = wire.print_modification(InsertField(FOLDED), leading_space=False)
    assert octets.endswith(b"X-Test\0a\n\tb \xe9\0")


def test_a_negotiation_and_the_macros_it_asks_for():
    assert wire.negotiation(6, actions=1, steps=2) == pack(b"O", struct.pack(">III", 6, 1, 2))
    octets = wire.negotiation(6, actions=1, steps=2, symbols="i {x}")
    assert milterwire.parse_negotiation(octets[5:]).symbols == ((6, "i {x}"),)


@pytest.mark.parametrize(
    ("data", "peer"),
    [
        (b"h\0004\x00\x19192.0.2.1\0", Peer(host="h", address="192.0.2.1")),
        (b"h\0006\x00\x192001:DB8::1\0", Peer(host="h", address="2001:db8::1")),
        (b"h\0006\x00\x19IPv6:2001:db8::1\0", Peer(host="h", address="2001:db8::1")),
        (b"h\0006\x00\x19fe80::1%eth0\0", Peer(host="h", address="fe80::1")),
        (b"h\0L\x00\x00/run/x\0", Peer(host="h", address=None, local=True)),
        (b"h\0U", Peer(host="h", address=None)),
        (b"\0U", Peer(host=None, address=None)),
        (b"caf\xe9\0U", Peer(host="caf\udce9", address=None)),
    ],
)
def test_clients(data, peer):
    assert wire.parse_client(data) == peer


@pytest.mark.parametrize(
    "data", [b"", b"h", b"h\0", b"h\0004", b"h\0004\x00\x19nowhere\0", b"h\0x\x00\x191.2.3.4\0"]
)
def test_a_client_that_cannot_be_read_is_not_taken_for_this_host(data):
    with pytest.raises(ProtocolError):
        wire.parse_client(data)


@pytest.mark.parametrize("data", [b"", b"abc", b"a\0b"])
def test_strings_have_an_end(data):
    assert wire.strings(b"a\0\0") == [b"a", b""]
    with pytest.raises(ProtocolError):
        wire.strings(data)


def test_a_short_negotiation_is_refused():
    with pytest.raises(ProtocolError, match="a negotiation of 11 octets"):
        wire.parse_negotiation(b"x" * 11)


class TestMacros:
    def test_what_came_later_is_found_first(self):
        table = MacroTable()
        for stage in (b"C", b"M", b"N", b"E"):
            table.define(stage + b"i\0" + stage + b"\0" + stage + b"x\0" + stage + b"\0")
        assert table.value("i") == "E"
        assert table.value("Cx") == "C"

    def test_those_of_a_message_end_with_it(self):
        table = MacroTable()
        for stage in (b"C", b"H", b"M", b"R", b"T", b"N", b"E", b"L", b"B"):
            table.define(stage + stage + b"\0v\0")
        table.forget_message()
        assert [name for name in "CHMRTNELB" if table.value(name)] == ["C", "H"]

    def test_braces_of_one_letter_do_not_matter(self):
        table = MacroTable()
        table.define(b"C{i}\0Q1\0j\0mx\0{auth_type}\0PLAIN\0")
        assert [table.value(name) for name in ("i", "{i}", "{j}")] == ["Q1", "Q1", "mx"]
        assert table.value("{auth_type}") == "PLAIN"
        assert table.value("auth_type") is None

    def test_octets_stay_octets_and_odd_packets_define_nothing(self):
        table = MacroTable()
        for data in (b"", b"?i\0x\0", b"Mname", b"M"):
            table.define(data)
        assert table.value("name") is None
        table.define(b"M{x}\0caf\xe9\0without\0")
        assert table.value("{x}") == "caf\udce9"

    def test_thousands_of_them(self):
        table = MacroTable()
        table.define(b"M" + b"".join(b"m%d\0v%d\0" % (at, at) for at in range(50_000)))
        assert table.value("m49999") == "v49999"


class TestInbox:
    def test_a_packet_in_parts_of_one_octet(self):
        inbox, packet = Inbox(), pack(b"B", b"abc")
        inbox.keep(b"xx" + packet[:1], 2)
        joined = [inbox.join(packet[at : at + 1]) for at in range(1, len(packet))]
        assert joined == [b""] * (len(packet) - 2) + [packet]
        assert not inbox.rest

    @pytest.mark.parametrize("size", [0, wire.MAX_PACKET_OCTETS + 1, 0x7FFFFFFF, 0xFFFFFFFF])
    def test_a_length_that_none_may_have_is_refused_at_once(self, size):
        octets = struct.pack(">I", size)
        with pytest.raises(ProtocolError, match=f"a packet of {size} octets"):
            Inbox().keep(octets, 0)
        inbox = Inbox()
        inbox.keep(octets[:3], 0)
        with pytest.raises(ProtocolError, match=f"a packet of {size} octets"):
            inbox.join(octets[3:])
