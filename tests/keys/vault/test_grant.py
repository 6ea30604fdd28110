"""A token's lease is what a server says, which may be anything."""

from __future__ import annotations

import pytest

from dkimcore.keys.secret import Secret
from dkimcore.keys.vault.grant import Grant, lease_of


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


class TestConfirmed:
    """A token was looked up again: whole seconds, rounded down, are left of it."""

    @staticmethod
    def grant(now, lease, **keys):
        return Grant(token=Secret("t"), since=now, renewed=now, proven=now, lease=lease, **keys)

    @pytest.mark.parametrize("left", [3500.0, 3499.0, 3500.9])
    def test_it_ends_when_it_was_to_end(self, left):
        before = self.grant(1000.0, 3600.0)
        after = before.confirmed(self.grant(1100.0, left, stamp=((1, 2, 3),)))
        assert (after.lease, after.renewed, after.since) == (3600.0, 1000.0, 1000.0)
        assert after.token is before.token
        assert (after.proven, after.stamp) == (1100.0, ((1, 2, 3),))

    @pytest.mark.parametrize("left", [3600.0, 60.0, None])
    def test_somebody_else_renewed_it_or_cut_it(self, left):
        before = self.grant(1000.0, 3600.0, full=3600.0)
        after = before.confirmed(self.grant(1100.0, left))
        assert (after.lease, after.renewed) == (left, 1100.0)
        assert (after.token is before.token, after.since, after.full) == (True, 1000.0, 3600.0)

    def test_one_that_was_to_be_over_and_lives(self):
        before = self.grant(1000.0, 2.0)
        after = before.confirmed(self.grant(1002.0, 1.0))
        assert not after.is_over(1002.0)

    def test_one_without_end(self):
        assert self.grant(1000.0, None).confirmed(self.grant(1100.0, None)).lease is None
