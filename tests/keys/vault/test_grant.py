"""A token's lease is what a server says, which may be anything."""

from __future__ import annotations

import pytest

from dkimcore.keys.vault.grant import lease_of


@pytest.mark.parametrize(
    ("said", "lease"),
    [(1, 1.0), (2_764_800, 2_764_800.0), (0, None), (-5, None), ("60", None), (None, None)],
)
def test_what_a_server_says(said, lease):
    assert lease_of(said) == lease


@pytest.mark.parametrize("said", [10**10, 10**400])
def test_what_no_clock_can_wait_for(said):
    assert lease_of(said) == 3_155_760_000.0


@pytest.mark.parametrize("said", [float("nan"), float("inf"), 1.5, [], {}])
def test_what_is_no_whole_number(said):
    assert lease_of(said) is None
