"""Waiting for what happens in the background: for events, and for what becomes true."""

from __future__ import annotations

import threading
import time

from dkimcore.keys.events import LoggingObserver

__all__ = ["Recorder", "eventually"]

PATIENCE = 20.0  # seconds


class Recorder:
    """Hears events, and lets a test wait for one."""

    def __init__(self):
        self._changed = threading.Condition()
        self._log = LoggingObserver()
        self.events = []
        self.trips = []

    def event(self, event):
        self._log.event(event)
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def round_trip(self, endpoint, *, seconds, signatures, error):
        self._log.round_trip(endpoint, seconds=seconds, signatures=signatures, error=error)
        self.trips.append((signatures, error))

    def retried(self, endpoint):
        pass

    def named(self, name):
        return [event for event in tuple(self.events) if event.event == name]

    def wait_for(self, name, count=1):
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.named(name)) >= count, PATIENCE)
        assert done, f"no {name}: {[event.event for event in self.events]}"
        return self.named(name)[count - 1]


def eventually(condition):
    """Asks until the answer is yes."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.02)
