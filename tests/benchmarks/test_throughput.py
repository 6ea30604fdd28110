"""Two filters are compared fairly, and what is shown is what was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.throughput import processes
from benchmarks.throughput.bare import BareSigning, Pure
from benchmarks.throughput.contest import Figures, Outcome, percentile
from benchmarks.throughput.generator import Run
from benchmarks.throughput.mail import Mail
from benchmarks.throughput.pictures import pictures
from benchmarks.throughput.plot import Line, Panel, Point, draw
from benchmarks.throughput.scenario import KB, OPENDKIM, OURS, RSA, Cell, full, normal, quick
from benchmarks.throughput.tables import sections, targets

ROOT = Path(__file__).resolve().parents[2]

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
    assert found.cpu_share(less_generator=False).median == pytest.approx(
        (1 / 600) / (0.001 + 0.5 / 300)
    )
    assert found.cpu_share(less_generator=True).median == pytest.approx((1 / 600) / 0.001)


def test_a_machine_that_was_busy_while_rsa_had_its_turn_makes_nobody_fast():
    found = outcome([300], [100], [310])
    (_, part, _) = targets([found])
    assert found.share(less_generator=False).median > 0.9
    assert part.figure == "4: 0.97"
    slow = outcome([300], [100], [310])
    for run in slow.figures[OURS].runs:
        run.cpu = 2.0
    (_, part, _) = targets([slow])
    assert (part.figure, part.reached) == ("4: 0.39", False)


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
