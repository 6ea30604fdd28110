"""What happens to keys is told, without secrets, and whoever hears it can do no harm."""

from __future__ import annotations

import logging

import pytest

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.events import GuardedObserver, KeyEvent, LoggingObserver, survive
from tests.keys.remotes import Heard

EVENT = KeyEvent(level=logging.WARNING, event="key-stale", text="it is old", uri="acme:k")


def withhold(text):
    return "withheld" if "CANARY" in text else text


def test_events_are_logged_with_what_programs_want_to_know(caplog):
    LoggingObserver().event(EVENT)
    LoggingObserver().event(
        KeyEvent(level=logging.INFO, event="login", text="logged in", endpoint="acme:eu")
    )
    LoggingObserver().event(KeyEvent(level=logging.ERROR, event="x", text="100% of it"))
    first, *_ = caplog.records
    assert (first.name, first.levelname) == ("dkimcore.keys", "WARNING")
    assert (first.key_event, first.key_uri, first.key_endpoint) == ("key-stale", "acme:k", None)
    assert [record.getMessage() for record in caplog.records] == [
        "acme:k: it is old",
        "100% of it",
    ]


def test_round_trips_are_logged_for_whoever_looks_for_them(caplog):
    observer = LoggingObserver()
    error = KeyUnavailable("down", uri="acme:k")
    observer.round_trip("acme:eu", seconds=0.0123, signatures=3, error=None)
    observer.retried("acme:eu")
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, "dkimcore.keys")
    observer.round_trip("acme:eu", seconds=0.0123, signatures=3, error=None)
    observer.round_trip("acme:eu", seconds=0.5, signatures=1, error=error)
    assert [record.getMessage() for record in caplog.records] == [
        "acme:eu: 3 signatures in 12.3 ms: done",
        "acme:eu: 1 signatures in 500.0 ms: failed: down",
    ]


def test_what_is_harmless_passes_as_it_is():
    heard = Heard()
    guarded = GuardedObserver(heard, withhold=withhold)
    guarded.event(EVENT)
    guarded.round_trip("acme:eu", seconds=0.1, signatures=2, error=None)
    guarded.retried("acme:eu")
    assert heard.events == [EVENT]
    assert heard.events[0] is EVENT
    assert heard.trips == [("acme:eu", 2, None)]
    assert heard.retries == ["acme:eu"]


def test_a_secret_in_an_event_is_withheld():
    heard = Heard()
    GuardedObserver(heard, withhold=withhold).event(
        KeyEvent(
            level=logging.INFO,
            event="login",
            text="logged in with s3-CANARY",
            fields={"token": "s3-CANARY", "ttl": 300, "name": None},
        )
    )
    (event,) = heard.events
    assert event.text == "withheld"
    assert event.fields == {"token": "withheld", "ttl": 300, "name": None}


class Broken:
    def event(self, event):
        raise RuntimeError("CANARY")

    def retried(self, endpoint):
        raise RuntimeError("CANARY")

    def round_trip(self, endpoint, *, seconds, signatures, error):
        raise RuntimeError("CANARY")


def test_an_observer_that_raises_is_named_and_does_no_harm(caplog):
    guarded = GuardedObserver(Broken(), withhold=withhold)
    guarded.event(EVENT)
    guarded.round_trip("acme:eu", seconds=0.1, signatures=2, error=None)
    guarded.retried("acme:eu")
    assert len(caplog.records) == 3
    assert all("RuntimeError" in record.getMessage() for record in caplog.records)
    assert "in round_trip" in caplog.text
    assert "CANARY" not in caplog.text


def test_what_must_not_raise_and_does_not():
    calls = []
    survive(lambda: calls.append(1))
    assert calls == [1]


def test_what_ends_a_program_is_not_kept_from_it():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survive(interrupted)
