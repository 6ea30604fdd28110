"""Keys that sign elsewhere, as tests want them: blocked, slow, failing, or wrong."""

from __future__ import annotations

import itertools
import threading
import time

from dkimcore.keys.endpoint import Endpoint
from dkimcore.keys.limits import EndpointLimits
from dkimcore.keys.remote import RemoteKeyBase
from dkimcore.keys.resources import Resources
from dkimcore.testing import EphemeralKey

__all__ = ["Gate", "Heard", "Service", "endpoints", "eventually", "threads_named"]

_NUMBERS = itertools.count()

GOOD = EphemeralKey.ed25519(bytes(32))


class Service(RemoteKeyBase):
    """Signs as `key` does, unless `behave` does otherwise: it may wait, raise, or answer."""

    def __init__(self, endpoint, *, key=GOOD, batch=1, uri="acme:k", behave=None):
        super().__init__(
            uri, algorithm=key.algorithm, public_key=key.public_key, endpoint=endpoint, batch=batch
        )
        self.key, self.behave = key, behave
        self.calls, self.timeouts = [], []

    def _sign(self, digests, *, timeout):
        self.calls.append(list(digests))
        self.timeouts.append(timeout)
        answer = self.behave(digests) if self.behave else None
        return [self.key.sign_digest(digest) for digest in digests] if answer is None else answer

    def line(self):
        """Where its signatures are asked for; what it raises is not contained."""
        return self.endpoint.line(self, uri=self.uri, contain=lambda exc: exc)


class Gate:
    """Holds up every call until it is opened."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self.open = self._open.set

    def __call__(self, digests):
        self.entered.release()
        assert self._open.wait(60)

    def await_calls(self, number=1):
        for _ in range(number):
            assert self.entered.acquire(timeout=30)


class Heard:
    """An observer that remembers."""

    def __init__(self):
        self.events, self.trips, self.retries = [], [], []

    def event(self, event):
        self.events.append(event)

    def round_trip(self, endpoint, *, seconds, signatures, error):
        self.trips.append((endpoint, signatures, error))

    def retried(self, endpoint):
        self.retries.append(endpoint)

    def names(self):
        return [event.event for event in self.events]


def eventually(holds, seconds=30):
    """Wait until something holds that nobody tells of, such as that a thread has ended."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.005)


def threads_named(prefix):
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def endpoints(observer):
    """Yields what makes key endpoints; then closes them, and waits for their threads to end."""
    made = []

    def make(**limits):
        resources, name = Resources(), f"acme:{next(_NUMBERS)}"
        limits = EndpointLimits(**limits)
        endpoint = resources.get(
            "endpoint",
            lambda: Endpoint(name, limits=limits, observer=observer, resources=resources),
        )
        made.append((name, resources))
        return endpoint

    yield make
    for name, resources in made:
        assert resources.close() == []
        eventually(lambda name=name: not threads_named(f"{name}-"))
