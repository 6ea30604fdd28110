"""The soak in short: one verdict for each message, nothing kept; and the check of its checks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.soak.gauges import Process
from benchmarks.soak.letters import letters
from benchmarks.soak.site import Site
from benchmarks.soak.soak import Look, Plan, Soak, soak
from benchmarks.soak.tables import sections
from benchmarks.soak.traffic import Tally, Traffic, WrongAnswer
from tests.protocol import material
from tests.servers.milterwire import FilterActions, Negotiated, Steps

# A worker still fills its pools after so few messages: a leak of 100 octets a message is for the
# long run to find, one of 3 kB is found here.
SHORT = Plan(messages=3000, stretch=500, warm_up=1000)
GROWTH = 0.2


@pytest.fixture(scope="module")
def site():
    with Site(dns=False) as running:
        yield running


def test_memory_and_descriptors_stay_and_each_message_has_one_verdict(site):
    run = soak(site, SHORT, print)
    assert run.complaints == []
    assert run.tally.sent == 3000 == run.tally.verdicts + run.tally.given_up
    assert len({str(look.descriptors()) for look in run.looks}) == 1
    assert {role: run.growth(role) < GROWTH for role in run.roles} == {
        "exporter": True,
        "supervisor": True,
        "worker": True,
    }
    assert {"pass", "fail", "sign 1 MB", "huge header", "connection lost"} <= set(run.tally.kinds)
    answered = _counted(site, "messages")
    assert sum(answered.values()) == run.tally.verdicts
    assert sum(_counted(site, "messages_abandoned").values()) >= run.tally.given_up * 0.9
    assert not _counted(site, "internal_errors")


def _counted(site, name):
    """The filter's own counters of a name that are not 0."""
    start = f"dkimcore_milter_{name}_total"
    lines = (line.rpartition(" ") for line in site.scrape().splitlines())
    return {
        text: float(value)
        for text, _, value in lines
        if text.partition("{")[0] == start and float(value)
    }


def test_a_reload_leaves_nothing_behind(site):
    run = soak(site, Plan(messages=1200, reloads=4, warm_up=400), print)
    assert run.complaints == []
    assert run.tally.sent == run.tally.verdicts + run.tally.given_up
    assert len({str(look.descriptors()) for look in run.looks}) == 1
    assert run.growth("supervisor") < GROWTH
    workers = [{one.pid for one in look.processes if one.role == "worker"} for look in run.looks]
    assert len(set.union(*workers)) == 8  # each look but the last is after another reload


# The check of its checks --------------------------------------------------------------------


def finished(*resident, descriptors=9, plan=None):
    """A soak whose worker held so much memory, in KiB, after each 10 000 messages."""
    looks = [
        Look(
            messages=10_000 * number,
            processes=[
                Process(role="worker", pid=1, resident=kib, proportional=kib, descriptors=count)
            ],
        )
        for number, (kib, count) in enumerate(
            zip(resident, [9] * (len(resident) - 1) + [descriptors], strict=True), 1
        )
    ]
    count = 10_000 * len(resident)
    plan = plan or Plan(messages=count)
    return Soak(plan=plan, looks=looks, tally=Tally(sent=count, verdicts=count))


def test_what_grows_early_is_no_fault():
    assert finished(30_000, 40_000, 40_000, 41_000, 40_500).faults() == []


def test_what_grows_on_is_one():
    assert finished(30_000, 40_000, 41_000, 43_000, 44_000).faults() == [
        "worker: memory grew by 7.4%"
    ]


def test_a_descriptor_more_is_one():
    (fault,) = finished(*[40_000] * 5, descriptors=10).faults()
    assert fault == "descriptors change: {'worker': [10]}, {'worker': [9]}"


def test_a_message_without_a_verdict_is_one():
    run = finished(*[40_000] * 5)
    run.tally.verdicts -= 1
    assert run.faults() == ["50000 messages sent, 49999 verdicts"]
    (section, _) = sections([run])
    assert [target.reached for target in section.targets] == [True, True, False, True]


def test_a_wrong_verdict_ends_the_run(site):
    traffic = Traffic(site.address, site.key, lanes=1)
    for side, these in traffic._letters.items():
        traffic._letters[side] = [replace(one, verdicts=frozenset({b"d"})) for one in these]
    with pytest.raises(WrongAnswer, match="the verdict is"):
        traffic.run(20)
    traffic.close()


def test_letters_are_what_they_say():
    made = letters(Negotiated(6, FilterActions.ALL, Steps.NR_HDR, ()), material.rsa())
    assert 950 <= sum(one.share for one in made) <= 1050
    assert all(one.answers > 2 for one in made if not one.end)
