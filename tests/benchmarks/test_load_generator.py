"""The load generator sends what an MTA sends, and lets no wrong answer pass."""

from __future__ import annotations

import math

import pytest

from benchmarks.throughput.answers import Failed, Witness, read_answer
from benchmarks.throughput.generator import Lane, Load, drive
from benchmarks.throughput.mail import changes
from benchmarks.throughput.packets import CHUNK, CONTINUE, Flight, lock_step, pipelined
from tests.servers.milterclient import deliver
from tests.servers.milterwire import AddField, FilterActions, InsertField, Negotiated, Steps, pack
from tests.servers.scriptedfilter import Script, ScriptedFilter

BODY = b"x" * 998 + b"\r\n"
MESSAGE = b"From: a@example.com\r\nTo: b@example.org,\r\n c@example.org\r\n\r\n" + BODY * 70
WITNESS = Witness(name=b"DKIM-Signature", text=b"v=1")
SIGNED = pack(b"i", b"\0\0\0\0DKIM-Signature\0v=1; b=x\0")
NO_ANSWERS = Steps.NR_MAIL | Steps.NR_RCPT | Steps.NR_HDR | Steps.NR_BODY
NO_STEPS = Steps(0)


def agreed(steps=NO_STEPS):
    return Negotiated(6, FilterActions.ADDHDRS, steps, ())


def load(filter_agreed, make=lock_step, seconds=0.0):
    return Load(scripts=[make(filter_agreed, MESSAGE)], witness=WITNESS, seconds=seconds)


def play(script, make):
    with ScriptedFilter() as server:
        server.script = script
        lane = Lane(server.address, "192.0.2.9")
        try:
            return drive([lane], load(lane.agreed, make), lambda: 0.0), server.received
        finally:
            lane.close()


# What is sent ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lock_step, pipelined])
@pytest.mark.parametrize(
    "steps", [Steps(0), Steps.NODATA | Steps.NOHELO, NO_ANSWERS, Steps.HDR_LEADSPC]
)
def test_a_filter_gets_what_postfix_would_send(steps, make):
    """`tests.servers.milterclient` is compared with a real Postfix elsewhere."""
    _, received = play(Script(steps=steps, changes=[SIGNED]), make)
    with ScriptedFilter() as server:
        server.script = Script(steps=steps)
        deliver(server.address, MESSAGE)
    ours, theirs = (
        [part for part in one if part[0] in b"LNBE"] for one in (received, server.received)
    )
    assert ours[: len(theirs)] == theirs
    # Each message begins with the ABORT of the one before; the client's ends with it.
    order = b"".join(letter + data[:1] * (letter == b"D") for letter, data in received)
    one = order.partition(b"A")[2].partition(b"A")[0]
    whole = b"".join(letter + data[:1] * (letter == b"D") for letter, data in server.received)
    assert one == whole[whole.index(b"DM") : whole.rindex(b"A")]


def test_in_lock_step_one_answer_at_most_is_awaited_at_a_time():
    flights = lock_step(agreed(), MESSAGE)
    assert {flight.expected for flight in flights[:-1]} == {CONTINUE}
    assert [flight.decides for flight in flights].count(True) == 1
    assert flights[-1].decides
    # MAIL, RCPT, DATA, two fields, the header's end, two pieces of the body, the end.
    assert len(flights) == 3 + 2 + 1 + math.ceil(len(BODY * 70) / CHUNK) + 1


def test_what_is_not_answered_is_sent_with_the_next_command_that_is():
    flights = lock_step(agreed(NO_ANSWERS), MESSAGE)
    assert [flight.expected for flight in flights] == [CONTINUE, CONTINUE, b""]
    letters = [b"M" in flight.octets for flight in flights]
    assert letters[0]


def test_smtpd_flushes_what_it_has_when_it_hands_the_connection_over():
    """Macros of a DATA that the filter does without: the 40 ms trap of TCP."""
    flights = lock_step(agreed(Steps.NODATA), MESSAGE)
    assert flights[2] == Flight(octets=pack(b"D", b"Ti\x004XyZ3k1Qzbz1\0"), expected=b"")


def test_pipelined_is_the_same_octets_at_once():
    for steps in (Steps(0), NO_ANSWERS, Steps.NODATA):
        parts = lock_step(agreed(steps), MESSAGE)
        (whole,) = pipelined(agreed(steps), MESSAGE)
        assert whole.octets == b"".join(part.octets for part in parts)
        assert whole.expected == b"".join(part.expected for part in parts)


# What is answered --------------------------------------------------------------------------

FLIGHT = Flight(octets=b"", expected=CONTINUE * 3, decides=True)


def test_a_whole_answer_is_taken_and_a_part_is_waited_for():
    whole = CONTINUE * 3 + SIGNED + CONTINUE
    for end in range(len(whole)):
        assert read_answer(whole[:end], FLIGHT, WITNESS) is None
    answer = read_answer(whole, FLIGHT, WITNESS)
    assert answer == SIGNED + CONTINUE
    assert changes(answer) == [InsertField(0, b"DKIM-Signature", b"v=1; b=x")]


def test_skip_goes_on_and_progress_is_no_answer():
    octets = CONTINUE * 2 + pack(b"p") + pack(b"s") + pack(b"p") + SIGNED + CONTINUE
    answer = read_answer(octets, FLIGHT, WITNESS)
    assert answer is not None
    assert changes(answer) == [InsertField(0, b"DKIM-Signature", b"v=1; b=x")]


@pytest.mark.parametrize(
    "octets",
    [
        CONTINUE * 3 + CONTINUE,  # nothing was done to the message
        CONTINUE * 3 + pack(b"h", b"X-Other\0v=1\0") + CONTINUE,
        CONTINUE * 3 + SIGNED + pack(b"t"),
        CONTINUE * 3 + SIGNED + pack(b"r"),
        CONTINUE * 3 + SIGNED + pack(b"y", b"451 4.7.1 later\0"),
        CONTINUE * 3 + SIGNED + CONTINUE + CONTINUE,  # one answer too many
        CONTINUE * 2 + SIGNED + CONTINUE,  # one too few
        pack(b"t"),
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_any_other_answer_is_a_failure(octets):
    with pytest.raises(Failed):
        read_answer(octets, FLIGHT, WITNESS)


def test_a_field_that_is_appended_counts_as_well():
    octets = pack(b"h", b"DKIM-Signature\0v=1\0") + CONTINUE
    answer = read_answer(octets, Flight(octets=b"", expected=b"", decides=True), WITNESS)
    assert answer is not None
    assert changes(answer) == [AddField(b"DKIM-Signature", b"v=1")]


@pytest.mark.parametrize("make", [lock_step, pipelined])
@pytest.mark.parametrize(
    "script",
    [
        Script(),  # lets everything through unsigned
        Script(replies={b"M": pack(b"t")}, changes=[SIGNED]),
        Script(replies={b"E": pack(b"t")}, changes=[SIGNED]),
        Script(replies={b"N": pack(b"y", b"550 5.7.1 no\0")}, changes=[SIGNED]),
    ],
)
def test_a_refused_or_unsigned_message_ends_the_run(script, make):
    with pytest.raises(Failed):
        play(script, make)


@pytest.mark.parametrize("make", [lock_step, pipelined])
def test_a_run_counts_what_was_answered(make):
    run, received = play(Script(changes=[SIGNED]), make)
    assert run.messages >= 1
    assert run.total == [letter for letter, _ in received].count(b"E")
    assert len(run.latencies) == run.messages
    assert run.samples[0] == (0, SIGNED + pack(b"a"))
    assert run.elapsed > 0


def test_in_lock_step_the_rest_of_a_body_is_spared_after_skip():
    run, received = play(Script(replies={b"B": pack(b"s")}, changes=[SIGNED]), lock_step)
    letters = [letter for letter, _ in received]
    assert letters.count(b"B") == run.total == letters.count(b"E")


def test_a_connection_that_nobody_takes_is_a_failure(tmp_path):
    with pytest.raises(Failed, match="no connection"):
        Lane(f"unix:{tmp_path}/nobody", "192.0.2.9")
