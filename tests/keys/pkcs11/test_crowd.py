"""Processes that open keys of one SoftHSM at once, as the workers of a milter do."""

from __future__ import annotations

import pytest

from dkimcore.keys.store import KeyStore
from dkimcore.keys.turns import TURNS
from tests.forked import child_doing, succeeded
from tests.servers import requires_server
from tests.servers.softhsm import SoftHsm

pytestmark = pytest.mark.server("softhsm")


def test_workers_that_open_keys_at_once_leave_softhsm_its_token(monkeypatch):
    """Without turns one reads the token's file while another writes it, and the label is gone."""
    requires_server("softhsm")
    with SoftHsm() as hsm:
        for name, value in hsm.environment.items():
            monkeypatch.setenv(name, value)
        uri = hsm.add_ed25519().uri
        TURNS.share()

        def work():
            for _ in range(30):
                with KeyStore() as store:
                    store.get(uri).sign_digest(bytes(32))

        children = [child_doing(work) for _ in range(3)]
        assert list(map(succeeded, children)) == [True] * 3
