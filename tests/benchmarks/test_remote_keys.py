"""Keys kept elsewhere are measured at the distance that is said, and judged by that."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import many_keys
from benchmarks.remote_keys import milter, scenario
from benchmarks.remote_keys.apart import Asked, Relay
from benchmarks.remote_keys.callers import NoSignature, Turn, keep_in_flight, sign_locally
from benchmarks.remote_keys.contest import Outcome
from benchmarks.remote_keys.milter import LOCAL, REMOTE, MilterOutcome
from benchmarks.remote_keys.pictures import pictures
from benchmarks.remote_keys.scenario import (
    ALGORITHMS,
    BACKENDS,
    ED25519,
    FETCHED,
    IN_FLIGHT,
    LATENCIES,
    REAL,
    RSA,
    STAND_IN,
    Cell,
    Place,
)
from benchmarks.remote_keys.sites import Sites
from benchmarks.remote_keys.standinkeys import digests
from benchmarks.remote_keys.tables import milter_section, sections, summary, targets
from benchmarks.throughput.generator import Run
from tests.servers.nsd import HOST

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sites():
    with Sites([]) as opened:
        yield opened


def place(**changes):
    made = {"server": STAND_IN, "backend": "vault-transit", "algorithm": ED25519, "latency": 0.0}
    return Place(**(made | changes))


# The stand-in and the relay ----------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("backend", [*BACKENDS, *FETCHED])
def test_our_clients_take_the_stand_in_for_a_server(sites, backend, algorithm):
    key = sites.key(place(backend=backend, algorithm=algorithm))
    assert key.algorithm == algorithm
    assert key.public_key.encode() == sites.pairs[algorithm].key.public_key.encode()
    known, unknown = digests()[0], bytes(32)
    for digest in (known, unknown, unknown):
        assert key.public_key.verifies(key.sign_digest(digest), digest, key.algorithm)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_answer_comes_when_its_port_says(sites, backend):
    far = place(backend=backend, latency=0.05)
    turn = keep_in_flight(sites.key(far), 4, seconds=0.3, server_cpu=lambda: sites.cpu(far))
    assert min(turn.latencies) >= 0.05
    assert turn.signatures == len(turn.latencies) > 1
    assert turn.cpu > 0
    assert turn.server_cpu > 0


def test_requests_and_signatures_are_counted(sites):
    near = place()
    key = sites.key(near)
    before = sites.stand_in.asked()
    keep_in_flight(key, 16, seconds=0.1, server_cpu=lambda: 0.0)
    asked = sites.stand_in.asked().since(before)
    assert asked.signatures > asked.requests > 0


def test_a_server_that_works_takes_longer_for_many():
    with Sites([], works=True) as busy:
        key = busy.key(place(algorithm=RSA))
        begun = time.perf_counter()
        outcomes = key.backend_key.sign_digests(digests()[:40], timeout=2.0)
        assert time.perf_counter() - begun >= 0.04
    assert {len(outcome) for outcome in outcomes} == {256}


def test_a_signature_that_does_not_come_ends_the_run():
    with Sites([]) as stopped:
        key = stopped.key(place())
        stopped.stand_in.close()
        with pytest.raises(NoSignature):
            keep_in_flight(key, 2, seconds=0.1, server_cpu=lambda: 0.0)


def test_a_relay_keeps_answers_back(sites):
    behind = sites.stand_in.port(0.0)
    with Relay([(behind, 0.0), (behind, 0.05)]) as relay:
        taken = {latency: ask(relay.port(behind, latency)) for latency in (0.0, 0.05)}
    assert taken[0.05] >= 0.05


def ask(port):
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/v1/counts")
        connection.getresponse().read()
        begun = time.perf_counter()
        connection.request("GET", "/v1/counts")
        assert "requests" in json.loads(connection.getresponse().read())["data"]
        return time.perf_counter() - begun
    finally:
        connection.close()


def test_a_relay_without_a_server_behind_it_drops_connections(sites):
    with Relay([(1, 0.0)]) as relay, pytest.raises((http.client.HTTPException, OSError)):
        ask(relay.port(1, 0.0))


def test_local_signing_is_timed(sites):
    turn = sign_locally(sites.local(ED25519), seconds=0.05)
    assert turn.signatures == len(turn.latencies) > 1
    assert turn.rate > 0


# What is measured --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [scenario.quick, scenario.full])
def test_no_cell_is_measured_twice_and_what_was_promised_is(make):
    cells = make(tuple(REAL.values()))
    assert len(set(cells)) == len(cells)
    assert {cell.place.backend for cell in cells} == {*BACKENDS, *REAL, *FETCHED}
    for backend in BACKENDS:
        promised = place(backend=backend, latency=0.01)
        assert Cell(place=promised, in_flight=128) in cells
    assert not {cell.place.server for cell in make(())} & set(REAL.values())


# Figures -----------------------------------------------------------------------------------


def turn_of(rate, waiting=0.02):
    return Turn(
        signatures=rate, elapsed=1.0, cpu=rate * 1e-4, server_cpu=0.1, latencies=[waiting] * rate
    )


def outcome(rates, local, waiting=0.02, in_flight=128, **where):
    return Outcome(
        cell=Cell(place=place(**({"latency": 0.01} | where)), in_flight=in_flight),
        turns=[turn_of(rate, waiting) for rate in rates],
        local=[turn_of(rate, 1e-4) for rate in local],
        asked=[Asked(requests=10, signatures=80) for _ in rates],
    )


def test_only_neighbouring_turns_are_compared():
    """A machine that gets slower by half must not change the ratio."""
    found = outcome([3000, 1500, 3300], [6000, 3000, 6000])
    assert (found.ratio.median, found.ratio.low) == (0.5, 0.5)
    assert found.ratio.high == pytest.approx(0.55)
    assert found.cpu == pytest.approx(1e-4)
    assert found.batch == 8.0


@pytest.mark.parametrize(
    ("found", "reached"),
    [
        (outcome([2000], [9000], 0.049), [True, True]),
        (outcome([1999], [9000], 0.050), [False, False]),
        (outcome([300], [9000], 0.400, backend="awskms"), [True]),
        (outcome([299], [9000], 0.400, backend="awskms"), [False]),
        (outcome([10], [9000], in_flight=64), []),
        (outcome([10], [9000], latency=0.05), []),
        (outcome([10], [9000], server="OpenBao"), []),
    ],
)
def test_the_stand_in_at_10_ms_with_128_in_flight_is_judged(found, reached):
    assert [target.reached for target in targets([found])] == reached


def every_outcome():
    cells = scenario.full(tuple(REAL.values()))
    return [
        Outcome(cell=cell, turns=[turn_of(100)], local=[turn_of(200)], asked=[Asked(**NOTHING)])
        for cell in cells
    ]


NOTHING = {"requests": 0, "signatures": 0}


def test_each_server_has_a_table_of_its_own():
    made = sections(every_outcome())
    assert [section.title for section in made] == [
        "Local signing",
        "vault-transit, stand-in",
        "awskms, stand-in",
        "vault-transit, OpenBao",
        "awskms, ministack",
        "pkcs11, SoftHSM",
    ]
    for section in made:
        assert {len(row) for row in section.rows} == {len(section.columns)}
        json.dumps(section.data)
    assert len(made[1].rows) == len(ALGORITHMS) * len(LATENCIES)
    assert len(made[0].rows) == len(ALGORITHMS) * (1 + len(FETCHED))


def test_the_milter_is_judged_with_ed25519_and_64_connections():
    def run_of(rate):
        return Run(messages=rate, elapsed=1.0, cpu=0.5, latencies=[0.02] * rate, total=rate)

    made = [
        MilterOutcome(cell=cell, runs={LOCAL: [run_of(300)], REMOTE: [run_of(rate)]})
        for cell, rate in zip(milter.quick(), (150, 149), strict=True)
    ]
    section = milter_section(made)
    assert [target.reached for target in section.targets] == [True, False]
    assert {len(row) for row in section.rows} == {len(section.columns)}
    assert len(set(milter.full())) == len(milter.full())


def test_those_who_choose_get_a_row_for_each_backend_and_algorithm():
    lines = summary(every_outcome(), []).splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("|")]
    assert {len(row) for row in rows} == {6}
    assert len(rows) == 2 + len(ALGORITHMS) * (len(REAL) + len(FETCHED))


def test_pictures_are_made_of_what_was_measured():
    made = pictures(every_outcome())
    assert list(made) == ["remote_keys_rate.svg", "remote_keys_waiting.svg"]
    for picture in made.values():
        root = ElementTree.fromstring(picture)
        texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
        assert texts.count("messages in flight") == 10
        assert {f"{latency * 1000:g} ms" for latency in LATENCIES} <= set(texts)
        assert {str(count) for count in IN_FLIGHT} <= set(texts)
    assert pictures([outcome([100], [200])]) == {}


# Many keys ---------------------------------------------------------------------------------


def window(slowest, *, reload):
    return many_keys.Window(reload=reload, latencies=[0.001, slowest], gap=0.01, greeting=0.001)


@pytest.mark.parametrize(
    ("start", "slowest", "reached"), [(2.9, 0.029, [True, True]), (3.0, 0.031, [False, False])]
)
def test_a_reload_is_judged_by_what_it_adds_to_the_slowest_message(start, slowest, reached):
    found = [window(0.010, reload=False), window(slowest, reload=True)] * 2
    made = many_keys.sections(1000, [start], [0.4], found)
    assert [target.reached for section in made for target in section.targets] == reached
    for section in made:
        assert {len(row) for row in section.rows} == {len(section.columns)}
        json.dumps(section.data)


# The commands ------------------------------------------------------------------------------


def run(*arguments, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "--json", str(tmp_path / "figures.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Targets" in done.stdout
    return json.loads((tmp_path / "figures.json").read_text())["sections"]


@pytest.mark.server("openbao")
@pytest.mark.server("ministack")
@pytest.mark.server("softhsm")
def test_the_command_measures_real_servers(tmp_path):
    """The figures are nobody's concern here."""
    arguments = ("benchmarks.remote_keys", "--quick", "--seconds", "0.1")
    figures = run(*arguments, tmp_path=tmp_path)
    assert len(figures) == 8
    assert len(figures["vault-transit, stand-in"]) == len(figures["awskms, stand-in"]) == 4
    assert all(each["rates"][0] > 0 for each in figures["pkcs11, SoftHSM"])


def test_the_command_reloads_a_milter_with_several_keys(tmp_path):
    arguments = ("benchmarks.many_keys", "--quick", "--count", "3", "--keys", str(tmp_path))
    figures = run(*arguments, tmp_path=tmp_path)
    windows = figures["3 RSA-2048 keys: reload"]
    assert [one["reload"] for one in windows] == [False, True, True, False]
    assert all(len(one["latencies"]) > 100 for one in windows)
