"""Tokens are renewed when two thirds of their time are over, in the background.

Where the server grants less and less, for a token's greatest age (max_ttl) comes near, or does
not renew it at all, the next login is made before the token ends.  A token that was found in a
file is renewed too; the next one is its writer's business.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from logging import INFO, WARNING
from typing import TYPE_CHECKING

from hvac.api.auth_methods import Token

from dkimcore.errors import KeyBackendError, KeyUnavailable
from dkimcore.keys.vault.grant import lease_of

if TYPE_CHECKING:
    from dkimcore.keys.schedule import Schedule
    from dkimcore.keys.secret import Secret
    from dkimcore.keys.vault.channel import Channel
    from dkimcore.keys.vault.grant import Grant, Tell
    from dkimcore.keys.vault.tokens import Tokens

__all__ = ["Renewal"]

_WHEN = 2 / 3  # of the lease
_SPREAD = 0.1  # many processes that logged in at once do not renew at once
_LEAST = 2 / 3  # of the first lease: a renewal that grants less was cut by max_ttl
_RETRY = (0.5, 30.0)  # seconds between attempts while the server does not answer


class Renewal:
    """Keeps the token in use from ending.

    Args:
        tokens: Whose.
        channel: Where the server is.
        schedule: When.
        patience: Seconds for a call.
        tell: Hears what happens.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        channel: Channel,
        schedule: Schedule,
        patience: float,
        tell: Tell,
    ) -> None:
        self._tokens = tokens
        self._channel = channel
        self._schedule = schedule
        self._patience = patience
        self._tell = tell
        self._plan = 0  # what was planned before the last plan is not done
        self._planned: tuple[Secret, float | None, float] | None = None

    def plan(self, grant: Grant) -> None:
        """Renew a token in time; does nothing if that is planned.

        Args:
            grant: The token.
        """
        if grant.lease is None or not (grant.renewable or self._tokens.is_ours):
            return
        # A plan stays in memory until its day, and each refused request may come here.
        planned = grant.token, grant.lease, grant.renewed
        if planned == self._planned:
            return
        self._planned = planned
        wait = grant.lease * _WHEN * random.uniform(1 - _SPREAD, 1)  # noqa: S311
        self._schedule_act(grant, grant.renewed + wait)

    def _schedule_act(self, grant: Grant, when: float) -> None:
        plan = self._plan = self._plan + 1
        self._schedule.at(when, lambda: self._act(grant, plan))

    def _act(self, grant: Grant, plan: int) -> None:
        if plan != self._plan or not self._tokens.is_in_use(grant):
            return
        try:
            if not grant.renewable or not self._renew(grant):
                self._log_in(grant)
        except KeyBackendError as exc:
            self._failed(grant, exc)

    def _renew(self, grant: Grant) -> bool:
        """Renew a token; false: it is time to log in anew."""
        now = time.monotonic()
        adapter = self._channel.adapter(
            token=grant.token, deadline=now + self._patience, uri="vault:"
        )
        try:
            document = Token(adapter).renew_self()
        except KeyUnavailable:
            raise
        except KeyBackendError as exc:
            self._tell(WARNING, "renewal-failed", f"no renewal: {exc.problem}", {})
            return False
        auth = document.get("auth")
        lease = lease_of(auth.get("lease_duration")) if isinstance(auth, dict) else None
        if lease is None:
            return False
        renewed = replace(grant, lease=lease, renewed=now, proven=now)
        self._tokens.renew(renewed)
        if self._tokens.is_ours and lease < (grant.full or lease) * _LEAST:
            return False
        self._tell(
            INFO, "token-renewed", f"the token is good for {lease:.0f} s more", {"ttl": lease}
        )
        self.plan(renewed)
        return True

    def _log_in(self, grant: Grant) -> None:
        deadline = time.monotonic() + self._patience
        self._tokens.log_in_again(grant, deadline=deadline, uri="vault:")

    def _failed(self, grant: Grant, error: KeyBackendError) -> None:
        """Try again while there is time; after that, whoever needs the token logs in."""
        end = grant.end
        left = 0.0 if end is None else end - time.monotonic()
        self._tell(
            WARNING,
            "renewal-failed",
            f"the token, good for {max(left, 0.0):.0f} s more, was not renewed: {error.problem}",
            {},
        )
        least, most = _RETRY
        if left > least:
            self._schedule_act(grant, time.monotonic() + max(least, min(left / 2, most)))
