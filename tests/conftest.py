"""What all tests share: real servers, and the marks that ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers import requires_server
from tests.servers.nsd import NsdServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips or fails a test whose ``server`` mark names a program that is absent."""
    for mark in item.iter_markers("server"):
        requires_server(mark.args[0])


@pytest.fixture
def nsd_server() -> Iterator[Callable[..., NsdServer]]:
    """Starts name servers on loopback; each is stopped when the test ends.

    Called with ``zone={owner: [octets, ...]}`` and, if wanted, ``cnames={owner: target}``.
    """
    requires_server("nsd")
    started: list[NsdServer] = []

    def start(
        *, zone: Mapping[str, Sequence[bytes]], cnames: Mapping[str, str] | None = None
    ) -> NsdServer:
        server = NsdServer(zone=zone, cnames=cnames).__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()
