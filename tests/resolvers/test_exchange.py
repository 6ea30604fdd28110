"""The conversation with name servers, without any: what is asked, when it ends."""

from __future__ import annotations

import dns.exception
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.protocol.keyrecord import TxtStatus
from dkimcore.resolvers.exchange import exchange, failed
from dkimcore.resolvers.nameservers import NameServers
from tests.resolvers.hostile import answered, records

SERVERS = NameServers(addresses=(("192.0.2.1", 53), ("192.0.2.2", 5353)))


def converse(outcomes, *, servers=SERVERS, seconds=5.0, name="a.example."):
    """Plays the name servers; returns the attempts and the answer."""
    conversation = exchange(name, servers, seconds=seconds)
    attempts = []
    try:
        attempts.append(next(conversation))
        for outcome in outcomes:
            given = outcome(attempts[-1].query) if callable(outcome) else outcome
            attempts.append(conversation.send(given))
    except StopIteration as end:
        return attempts, end.value.answer
    raise AssertionError(f"no end after {attempts}")


def reply(make):
    return lambda query: dns.message.from_wire(make(query.to_wire()))


FOUND = reply(lambda query: answered(query, records(query, b"v=DKIM1; p=")))
SERVFAIL = reply(lambda query: answered(query, rcode=dns.rcode.SERVFAIL))


def test_a_silent_server_is_asked_again_one_with_an_error_is_not():
    attempts, answer = converse([dns.exception.Timeout(), SERVFAIL, FOUND])
    assert [attempt.server[0][-1] for attempt in attempts] == ["1", "2", "1"]
    assert answer.records == (b"v=DKIM1; p=",)
    assert len({attempt.query.id for attempt in attempts}) > 1


def test_one_attempt_takes_part_of_the_time():
    attempts, _ = converse([FOUND])
    assert attempts[0].seconds == pytest.approx(2.0)


def test_it_ends_when_all_have_failed():
    attempts, answer = converse([SERVFAIL, ConnectionRefusedError(111, "Connection refused")])
    assert len(attempts) == 2
    assert answer.status is TxtStatus.FAILED
    assert answer.detail == "192.0.2.1 port 53: SERVFAIL; 192.0.2.2 port 5353: Connection refused"


def test_a_message_that_is_no_answer_is_an_error():
    update = dns.message.from_wire(b"\0\1\xa8\0" + bytes(8))  # an UPDATE
    _, answer = converse([update, dns.message.from_wire(b"\0\1\x80\0" + bytes(8))])
    assert answer.status is TxtStatus.FAILED


def test_without_servers_or_time_nothing_is_asked():
    attempts, answer = converse([], servers=NameServers(problem="none there"))
    assert (attempts, answer.detail) == ([], "none there")
    attempts, answer = converse([], seconds=0.0)
    assert (attempts, answer.status) == ([], TxtStatus.FAILED)
    attempts, answer = converse([], name="a" * 64)
    assert (attempts, answer.status) == ([], TxtStatus.NO_RECORD)


def test_truncated_over_tcp_too_is_an_error():
    truncated = dns.message.Truncated(message=dns.message.Message())
    attempts, answer = converse([truncated, truncated, FOUND])
    assert [attempt.over_tcp for attempt in attempts] == [False, True, False]
    assert answer.status is TxtStatus.FOUND


def test_tcp_may_be_used_at_once():
    """OpenDKIM's DNSConnect."""
    conversation = exchange("a.example.", SERVERS, seconds=5.0, over_tcp=True)
    assert next(conversation).over_tcp


def test_details_are_short_and_printable():
    detail = failed("a\x1b[31m\n" * 1000).answer.detail
    assert (len(detail), detail.isprintable()) == (400, True)


@given(st.binary(max_size=400), st.integers(0, 80))
def test_any_octets_that_parse_are_an_answer(octets, keep):
    def mutated(query):
        wire = answered(query.to_wire(), records(query.to_wire(), b"v=DKIM1; p="))[:keep] + octets
        try:
            return dns.message.from_wire(wire)
        except Exception as error:  # noqa: BLE001 - what the resolvers do
            return error

    _, answer = converse([mutated] * 6)
    assert answer.status in TxtStatus
