"""Reads the metrics of a filter, as Prometheus does."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing

from prometheus_client.parser import text_string_to_metric_families

from tests.servers.milterconnection import open_socket

__all__ = ["Metrics", "fetch", "healthz", "scrape", "wait_until"]

PREFIX = "dkimcore_milter_"


class Metrics(dict):
    """Samples by name, and by name and labels: ``found["reloads_total", "success"]``."""

    def __missing__(self, key):
        raise KeyError(f"{key!r}; there are {sorted(self, key=str)}")


class _Connection(http.client.HTTPConnection):
    def __init__(self, address):
        super().__init__("localhost", timeout=30)
        self._address = address

    def connect(self):
        self.sock = open_socket(self._address)
        self.sock.settimeout(self.timeout)


def fetch(address, path, method="GET"):
    """Sends a request.

    Args:
        address: Where the metrics are served, as in DkimcoreMetrics.
        path: What to ask for.
        method: How.

    Returns:
        The status, the content type and the body.
    """
    with closing(_Connection(address)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()


def scrape(address):
    """Returns all metrics."""
    status, content_type, text = fetch(address, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain")
    found = Metrics()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            labels = tuple(sample.labels.values())
            found[(name, *labels) if labels else name] = sample.value
    return found


def healthz(address):
    """Returns the status and what is said."""
    status, content_type, text = fetch(address, "/healthz")
    assert content_type == "application/json"
    return status, json.loads(text)


def wait_until(true, *, timeout=30.0):
    """Waits for something that nothing tells of; returns what it gives."""
    end = time.monotonic() + timeout
    while True:
        try:
            found = true()
        except (TimeoutError, OSError, http.client.HTTPException):
            found = None
        if found:
            return found
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)
