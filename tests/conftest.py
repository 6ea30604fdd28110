"""What all tests share: real servers, and the marks that ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from dkimcore.protocol import canonical, hashing, message
from dkimcore.protocol.speedups import compiled
from tests.rfc_sections import SECTIONS
from tests.servers import requires_server, servers_required
from tests.servers.keyservers import ministack, openbao, softhsm
from tests.servers.nsd import NsdServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["ministack", "openbao", "softhsm"]  # fixtures

# A busy machine is no failure; what CI runs is the same each time, and what a person runs
# looks further each time.
settings.register_profile("person", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if servers_required() else "person")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses an ``rfc`` mark that names a section which does not exist."""
    for item in items:
        for mark in item.iter_markers("rfc"):
            document, section = mark.args
            if section not in SECTIONS.get(document, ()):
                raise pytest.UsageError(
                    f"{item.nodeid}: RFC {document} section {section} is not in "
                    "tests/data/rfc_sections.json"
                )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips or fails a test whose ``server`` mark names a program that is absent."""
    for mark in item.iter_markers("server"):
        requires_server(mark.args[0])


@pytest.fixture(params=["C", "Python"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with the accelerator, and again with the Python code that is its reference."""
    if request.param == "Python":
        for module in (canonical, hashing):
            monkeypatch.setattr(module, "BodyCanonicalizer", canonical.PythonBodyCanonicalizer)
        monkeypatch.setattr(canonical, "_relax_field", canonical.relax_field_in_python)
        monkeypatch.setattr(message, "_parse_fields", message.parse_fields_in_python)
        monkeypatch.setattr(message, "_split_fields", message.split_fields_in_python)
    elif compiled is None:
        pytest.skip("the accelerator was not built, or is turned off")


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
