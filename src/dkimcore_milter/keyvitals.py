"""What a worker says now and then of keys that are kept elsewhere: see `vitals`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dkimcore.keys.endpoint import Endpoint
from dkimcore_milter.keymeter import backend_of_kind
from dkimcore_milter.metrics import Gauge

if TYPE_CHECKING:
    from dkimcore.keys.store import KeyStore
    from dkimcore_milter.meter import Meter

__all__ = ["show_keys"]

_OPEN = {gauge.labels[0]: gauge for gauge in Gauge if gauge.family == "key_breakers_open"}
_WAITING = {g.labels[0]: g for g in Gauge if g.family == "key_signatures_waiting"}


def show_keys(meter: Meter, store: KeyStore) -> None:
    """Let the gauges of this process show how its key endpoints are; to be called by its loop.

    Args:
        meter: Shows them.
        store: Its keys.
    """
    down: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for endpoint in store.context.resources.made(Endpoint):
        backend = backend_of_kind(endpoint.name.partition(":")[0])
        down[backend] += endpoint.is_down
        waiting[backend] += endpoint.waiting
    for backend, gauge in _OPEN.items():
        meter.set(gauge, down[backend])
        meter.set(_WAITING[backend], waiting[backend])
    meter.set(Gauge.KEY_CONFIRMATION_AGE, store.oldest_confirmation)
