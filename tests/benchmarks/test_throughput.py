"""The load generator sends what an MTA sends, lets no wrong answer pass, and compares fairly."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.throughput import processes
from benchmarks.throughput.answers import Failed, Witness, read_answer
from benchmarks.throughput.bare import BareSigning, Pure
from benchmarks.throughput.contest import Figures, Outcome, percentile
from benchmarks.throughput.generator import Lane, Load, Run, drive
from benchmarks.throughput.mail import Mail, changes
from benchmarks.throughput.packets import CHUNK, CONTINUE, Flight, lock_step, pipelined
from benchmarks.throughput.pictures import pictures
from benchmarks.throughput.plot import Line, Panel, Point, draw
from benchmarks.throughput.scenario import KB, OPENDKIM, OURS, RSA, Cell, full, normal, quick
from benchmarks.throughput.tables import sections, targets
from tests.servers.milterclient import deliver
from tests.servers.milterwire import AddField, FilterActions, InsertField, Negotiated, Steps, pack
from tests.servers.scriptedfilter import Script, ScriptedFilter

ROOT = Path(__file__).resolve().parents[2]
BODY = b"x" * 998 + b"\r\n"
MESSAGE = b"From: a@example.com\r\nTo: b@example.org,\r\n c@example.org\r\n\r\n" + BODY * 70
WITNESS = Witness(name=b"DKIM-Signature", text=b"v=1")
SIGNED = pack(b"i", b"\0\0\0\0DKIM-Signature\0v=1; b=x\0")
NO_ANSWERS = Steps.NR_MAIL | Steps.NR_RCPT | Steps.NR_HDR | Steps.NR_BODY


ALL_STEPS = Steps(0)


def agreed(steps=ALL_STEPS):
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


# Figures -----------------------------------------------------------------------------------


def run_of(messages, latency, seconds=1.0):
    return Run(
        messages=messages,
        elapsed=seconds,
        cpu=messages * 0.001,
        own_cpu=0.5,
        latencies=[latency] * messages,
        total=messages,
    )


def outcome(ours, theirs, bare=(), **cell):
    cell = Cell(**({"operation": "sign", "octets": 2 * KB, "connections": 4} | cell))
    figures = {
        name: Figures(runs=[run_of(messages, 1 / messages) for messages in turns])
        for name, turns in ((OURS, ours), (OPENDKIM, theirs))
    }
    pure = [Pure(rate=rate, cpu=1 / rate) for rate in bare]
    return Outcome(cell=cell, figures=figures, bare=pure)


def test_only_neighbouring_turns_are_compared():
    """A machine that gets slower by half must not change who is faster."""
    found = outcome([300, 150, 330], [100, 50, 100])
    assert (found.ratio.median, found.ratio.low) == (3.0, 3.0)
    assert found.ratio.high == pytest.approx(3.3)
    assert found.waiting.median == pytest.approx(1 / 3)
    assert found.figures[OURS].cpu == pytest.approx(1.0)


def test_what_the_generator_uses_is_nobody_s_fault(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    found = outcome([300], [100], [600])
    assert found.share(less_generator=False).median == pytest.approx(0.5)
    assert found.share(less_generator=True).median == pytest.approx(300 / (600 * 0.75))
    assert found.cpu_share.median == pytest.approx((1 / 600) / (0.001 + 0.5 / 300))


def test_percentiles():
    figures = [float(number) for number in range(1, 101)]
    assert (percentile(figures, 0.5), percentile(figures, 0.99)) == (51.0, 100.0)
    assert percentile([7.0], 0.99) == 7.0


def test_a_promise_holds_for_every_number_of_connections():
    good, bad = outcome([300], [100], connections=1), outcome([200], [100], connections=64)
    (one,) = targets([good])
    (both,) = targets([good, bad])
    assert (one.reached, both.reached) == (True, False)
    assert both.figure == "1: 3.00, 64: 2.00"


def test_the_part_of_rsa_alone_and_the_latency_over_tcp_are_judged():
    found = [
        outcome([300], [10], [400]),
        outcome([300], [100], where="inet", style="lock-step"),
    ]
    assert [(one.goal, one.reached) for one in targets(found)] == [
        ("at least 3 times", True),
        ("at least 0.7", True),
        ("at least 0.7", True),
        ("at most 0.2", False),
    ]


def test_each_kind_of_cell_has_a_table_of_its_own():
    made = sections(
        [outcome([300], [100], [400]), outcome([300], [100], operation="verify", style="lock-step")]
    )
    assert [section.title for section in made] == [
        "Signing, RSA-2048, unix socket, pipelined",
        "Verifying, RSA-2048, unix socket, lock-step",
        "Signing, and RSA-2048 alone",
    ]
    for section in made:
        assert {len(row) for row in section.rows} == {len(section.columns)}
        json.dumps(section.data)


@pytest.mark.parametrize("cells", [quick(), normal(), full()], ids=["quick", "normal", "full"])
def test_no_cell_is_measured_twice_and_both_operations_are(cells):
    assert len(set(cells)) == len(cells)
    assert {cell.operation for cell in cells} == {"sign", "verify"}
    assert {cell.style for cell in cells} == {"lock-step", "pipelined"}
    assert {cell.where for cell in cells} == {"unix", "inet"}


def test_the_time_of_a_process_and_of_its_children_is_known():
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        end = time.monotonic() + 20
        while len(processes.family(process.pid)) < 2 and time.monotonic() < end:
            time.sleep(0.01)  # nothing tells when a stranger's child has started
        assert len(processes.family(process.pid)) == 2
        assert processes.cpu_seconds(process.pid) > 0
        used = processes.memory(process.pid)
        assert used.peak >= used.proportional > 0
        process.communicate(b"\n")


def test_rsa_alone_keeps_all_cores_busy():
    with BareSigning(Mail(RSA).pair.pem) as bare:
        pure = bare.sign(0.05)
    assert pure.rate > 0
    assert 0 < pure.cpu < 1


# Pictures ----------------------------------------------------------------------------------


def texts(picture):
    root = ElementTree.fromstring(picture)
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_picture_is_well_formed_and_says_what_it_shows():
    points = [Point(x=x, y=100.0 * x, low=90.0 * x, high=110.0 * x) for x in (1, 2, 4, 16, 64)]
    line = Line(name="a < b & c", colour="a", points=points)
    picture = draw('R&D "now"', [Panel(title="2 kB", lines=[line])] * 3)
    found = texts(picture)
    assert {'R&D "now"', "connections", "messages per second", "a < b & c"} <= set(found)
    assert found.count("connections") == 3
    assert [text for text in found if text in ("1", "2", "4", "16", "64")][:5] == [
        *("1", "2", "4", "16", "64")
    ]
    assert "prefers-color-scheme: dark" in picture


def test_steps_between_1_4_and_16_connections_are_equally_wide():
    line = Line(name="a", colour="a", points=[Point(x=x, y=1, low=1, high=1) for x in (1, 4, 16)])
    root = ElementTree.fromstring(draw("t", [Panel(title="p", lines=[line])]))
    places = [float(one.get("cx")) for one in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)


def test_one_point_and_slow_filters_can_be_drawn():
    line = Line(name="a", colour="b", points=[Point(x=1, y=0.2, low=0.1, high=0.3)])
    assert "0.2" in texts(draw("t", [Panel(title="p", lines=[line])]))


def test_pictures_are_made_of_what_was_measured():
    made = pictures(
        [
            outcome([300], [100], [400]),
            outcome([30], [10], style="lock-step"),
            outcome([3], [1], where="inet"),
        ]
    )
    assert list(made) == ["throughput_signing.svg"]
    assert {"2 kB", "RSA alone, all cores", f"{OURS}, lock-step", f"{OPENDKIM}, pipelined"} <= set(
        texts(made["throughput_signing.svg"])
    )


# The command -------------------------------------------------------------------------------


@pytest.mark.server("opendkim")
def test_the_command_compares_real_filters(tmp_path):
    """Both sign and verify, over both kinds of sockets; the figures are nobody's concern here."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.throughput", "--quick"),
            *(
                "--only",
                "2 kB",
                "--turns",
                "1",
                "--seconds",
                "0.02",
                "--json",
                str(tmp_path / "figures"),
            ),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures").read_text("utf-8"))
    assert {one["name"] for one in figures["targets"] if "connections at once" in one["name"]}
    measured = [cell for section in figures["sections"].values() for cell in section]
    assert len(measured) == sum(cell.octets == 2 * KB for cell in quick())
    assert all(cell[name]["rates"][0] > 0 for cell in measured for name in (OURS, OPENDKIM))
    assert "Targets" in done.stdout


def test_an_unknown_cell_is_said_to_be_unknown():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput", "--only", "no such cell"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) in [(64, ""), (69, "")]  # 69: without opendkim
    assert len(done.stderr.splitlines()) == 1


def test_a_field_that_is_appended_counts_as_well():
    octets = pack(b"h", b"DKIM-Signature\0v=1\0") + CONTINUE
    answer = read_answer(octets, Flight(octets=b"", expected=b"", decides=True), WITNESS)
    assert answer is not None
    assert changes(answer) == [AddField(b"DKIM-Signature", b"v=1")]
