"""Events of keys that are kept elsewhere, as lines of the log; round trips, as counts."""

from __future__ import annotations

import logging

import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable
from dkimcore.keys.events import KeyEvent
from dkimcore_milter.keyobserver import MilterKeyObserver
from dkimcore_milter.logline import Level
from dkimcore_milter.meter import Meter
from dkimcore_milter.metrics import Count, Timer, cells_of


def event(level=logging.INFO, **values):
    return KeyEvent(**{"level": level, "event": "login", "text": "done", **values})


def logged(event):
    lines = []
    MilterKeyObserver(lines.append).event(event)
    (line,) = lines
    return line


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (logging.INFO, Level.INFO),
        (logging.WARNING, Level.WARNING),
        (logging.ERROR, Level.ERR),
        (logging.CRITICAL, Level.ERR),
    ],
)
def test_levels_are_syslogs(level, expected):
    assert logged(event(level)).level is expected


def test_a_line_begins_with_what_it_is_about():
    assert str(logged(event(uri="far:one/k", endpoint="far:x"))) == "far:one/k: done"
    assert str(logged(event(endpoint="far:x"))) == "far:x: done"
    assert str(logged(event())) == "done"


def test_programs_get_fields():
    line = logged(event(uri="far:one/k", endpoint="far:x", fields={"ttl": 30}))
    assert (line.event, line.job_id) == ("login", None)
    assert line.fields == {"uri": "far:one/k", "endpoint": "far:x", "ttl": 30}


def test_what_a_backend_says_is_one_line_and_not_endless():
    line = logged(event(text="a\nb\x1b[0m" + "c" * 10_000))
    assert "\n" not in line.text
    assert "\x1b" not in line.text
    assert len(line.text) == 3600


def test_without_a_log_events_go_nowhere():
    MilterKeyObserver(None).event(event())


@pytest.mark.parametrize(
    ("endpoint", "backend"),
    [("vault:eu", "VAULT"), ("aws:default", "AWS_KMS"), ("pkcs11:hsm", "PKCS11"), ("x:y", "OTHER")],
)
def test_round_trips_are_counted_by_backend(endpoint, backend):
    meter, observer = Meter.alone(), MilterKeyObserver(None)
    observer.measure(meter)
    down = KeyUnavailable("down", uri="x:y")
    observer.round_trip(endpoint, seconds=0.01, signatures=64, error=None)
    observer.round_trip(endpoint, seconds=0.02, signatures=1, error=down)
    observer.round_trip(endpoint, seconds=0.02, signatures=1, error=KeyDenied("no", uri="x:y"))
    observer.retried(endpoint)
    observer.event(event(event="breaker-opened", endpoint=endpoint))
    counts = {
        **{
            f"KEY_ROUND_TRIPS_{backend}_{word}": 1 for word in ("SUCCESS", "UNAVAILABLE", "REFUSED")
        },
        f"KEY_ROUND_TRIP_SIGNATURES_{backend}": 66,
        f"KEY_RETRIES_{backend}": 1,
        f"KEY_BREAKER_OPENINGS_{backend}": 1,
    }
    assert {name: meter.value(Count[name]) for name in counts} == counts
    timer = Timer[f"KEY_ROUND_TRIP_{backend}"]
    assert sum(meter._row[cell] for cell in cells_of(timer)) == 3
    assert meter._row[timer.sum_cell] == pytest.approx(0.05)
