"""The metrics' names, units and labels, and how the board becomes what Prometheus reads."""

from __future__ import annotations

import re

import pytest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from dkimcore.settings.model import Action
from dkimcore_milter.collector import BoardCollector, health
from dkimcore_milter.meter import SUPERVISOR, Board
from dkimcore_milter.metrics import FAMILIES, PREFIX, Count, Gauge, Timer

MEMBERS = [*Count, *Gauge, *Timer]


def scrape(board, accept="", **options):
    encode, _ = choose_encoder(accept)
    return encode(BoardCollector(board, **options)).decode()


def samples(board, **options):
    """All samples: (name, labels) to value."""
    return {
        (sample.name.removeprefix(PREFIX), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(scrape(board, **options))
        for sample in family.samples
    }


def test_each_family_has_members_of_one_kind_with_its_labels():
    for name, family in FAMILIES.items():
        members = [member for member in MEMBERS if member.family == name]
        assert len({type(member) for member in members}) == 1, name
        labels = () if family.per_worker else family.labels
        assert {len(member.labels) for member in members} == {len(labels)}, name
        assert len({member.labels for member in members}) == len(members), name
    assert {member.family for member in MEMBERS} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_names_and_units_follow_the_conventions(name):
    # https://prometheus.io/docs/practices/naming/
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert not re.search(r"(_total|_count|_sum|_bucket|_info|_ms|_millis|_kb)$", name)
    kinds = {type(member) for member in MEMBERS if member.family == name}
    if kinds == {Timer}:
        assert name.endswith("_seconds")
    help_text = FAMILIES[name].help
    assert help_text[0].isupper()
    assert help_text.endswith(".")


def test_an_untouched_board_shows_all_counts_as_nothing():
    found = samples(Board(3))
    for count in Count:
        labels = zip(FAMILIES[count.family].labels, count.labels, strict=True)
        assert found[(f"{count.family}_total", *sorted(labels))] == 0
    assert ("worker_resident_memory_bytes", ("worker", "1")) not in found


def test_sums_are_over_all_rows_and_workers_have_their_own_lines():
    board = Board(4)
    for row in (1, 2):
        meter = board.meter(row)
        meter.count(Count.MESSAGES_SIGN_ACCEPT, row)
        meter.set(Gauge.RESIDENT_MEMORY, row * 1000.0)
        meter.set(Gauge.MESSAGES, 2)
        meter.observe(Timer.SIGN, 0.0002)
    found = samples(board)
    assert found["messages_total", ("mode", "sign"), ("verdict", "accept")] == 3
    assert found["messages_in_flight",] == 4
    assert found["worker_resident_memory_bytes", ("worker", "1")] == 1000
    assert found["worker_resident_memory_bytes", ("worker", "2")] == 2000
    below = found["message_seconds_bucket", ("le", "0.0001"), ("mode", "sign")]
    above = found["message_seconds_bucket", ("le", "0.00025"), ("mode", "sign")]
    assert (below, above) == (0, 2)
    assert found["message_seconds_count", ("mode", "sign")] == 2
    assert found["message_seconds_sum", ("mode", "sign")] == pytest.approx(0.0004)
    assert found["message_seconds_bucket", ("le", "+Inf"), ("mode", "verify")] == 0


def test_openmetrics_is_spoken_too():
    board = Board(2)
    board.meter(1).count(Count.RELOADS_BAD)
    text = scrape(board, "application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(text)}
    assert len(families) == len(FAMILIES) + 1  # build_info
    values = {
        sample.labels["result"]: sample.value for sample in families[f"{PREFIX}reloads"].samples
    }
    assert values == {"success": 0, "failure": 1}


def test_every_verdict_of_the_settings_has_its_count():
    verdicts = {count.labels[1] for count in Count if count.family == "messages"}
    assert verdicts == {str(action) for action in Action}


def test_health_is_whether_a_worker_accepts():
    board = Board(3)
    supervisor, worker = board.meter(SUPERVISOR), board.meter(1)
    supervisor.set(Gauge.LAST_RELOAD_SUCCESS, 1)
    none = {"status": "unavailable", "accepting": 0, "last_reload": "success"}
    assert health(board, now=1000.0) == none
    worker.set(Gauge.ACCEPTING, 1)
    assert health(board, now=1000.0) == none  # its loop has not turned yet
    worker.set(Gauge.HEARTBEAT, 1000.0)
    one = {"status": "ok", "accepting": 1, "last_reload": "success"}
    assert health(board, now=1029.0) == one
    assert health(board, now=1031.0) == none  # it hangs
    supervisor.set(Gauge.LAST_RELOAD_SUCCESS, 0)  # the old configuration goes on
    assert health(board, now=1000.0) == one | {"last_reload": "failure"}
    board.clear_gauges(1)
    assert health(board, now=1000.0)["status"] == "unavailable"


def test_how_long_a_worker_is_silent():
    board = Board(3)
    board.meter(2).set(Gauge.HEARTBEAT, 100.0)
    found = samples(board, clock=lambda: 112.5)
    assert found["worker_silent_seconds", ("worker", "2")] == 12.5
    assert ("worker_silent_seconds", ("worker", "1")) not in found
