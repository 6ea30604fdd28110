"""Fixtures: where keys live that are not files.

One server serves all tests of a session, so a test makes mounts, keys and roles of its own and
never stops it.  A test that stops, seals or fills one starts its own: `SealedOpenBao`,
`OpenBaoServer`, `MinistackServer`, `SoftHsm`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers import requires_server
from tests.servers.ministack import MinistackServer
from tests.servers.openbao import OpenBaoServer
from tests.servers.softhsm import SoftHsm

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ministack", "openbao", "softhsm"]


@pytest.fixture(scope="session")
def openbao() -> Iterator[OpenBaoServer]:
    """An OpenBao in dev mode, which all tests of the session share."""
    requires_server("openbao")
    with OpenBaoServer() as server:
        yield server


@pytest.fixture(scope="session")
def ministack() -> Iterator[MinistackServer]:
    """A KMS, which all tests of the session share."""
    requires_server("ministack")
    with MinistackServer() as server:
        yield server


@pytest.fixture(scope="session")
def softhsm() -> Iterator[SoftHsm]:
    """A token, which all tests of the session share; this process and its children find it.

    The module reads ``SOFTHSM2_CONF`` once in a process, which is why there is one for all.
    """
    requires_server("softhsm")
    with SoftHsm() as hsm, pytest.MonkeyPatch.context() as patch:
        for name, value in hsm.environment.items():
            patch.setenv(name, value)
        yield hsm
