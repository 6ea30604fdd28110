"""Tokens that we asked for and use no more are given back: a server keeps each for a month.

One that was found is its owner's, and a batch token cannot be given back.
"""

from __future__ import annotations

import threading
import time
from logging import WARNING
from typing import TYPE_CHECKING

from hvac.api.auth_methods import Token

from dkimcore.errors import KeyBackendError, KeyDenied

if TYPE_CHECKING:
    from dkimcore.keys.schedule import Schedule
    from dkimcore.keys.vault.channel import Channel
    from dkimcore.keys.vault.grant import Grant, Tell
    from dkimcore.keys.vault.logins import Outcome

__all__ = ["REVOKING_SECONDS", "Returns"]

REVOKING_SECONDS = 2.0
"""For giving a token back; servers write it to their disks."""


class Returns:
    """Gives tokens back.  Safe to share between threads.

    Args:
        channel: Where.
        schedule: For what is given back later.
        linger: Seconds in which calls that are under way have ended.
        is_ours: Whether tokens are obtained by a login, and not found.
        tell: Hears what happens.
    """

    def __init__(
        self,
        *,
        channel: Channel,
        schedule: Schedule,
        linger: float,
        is_ours: bool,
        tell: Tell,
    ) -> None:
        self._channel = channel
        self._schedule = schedule
        self._linger = linger
        self._is_ours = is_ours
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: list[Grant] = []

    def now(self, token: Grant | Outcome, *, deadline: float) -> None:
        """Let a token end that nobody will use.

        Args:
            token: It.
            deadline: Until when, on the clock of `time.monotonic`.
        """
        if not self._is_ours or token.is_batch:
            return
        adapter = self._channel.adapter(token=token.token, deadline=deadline, uri="vault:")
        try:
            Token(adapter).revoke_self()
        except KeyDenied:
            pass  # it has ended, or may not do that
        except KeyBackendError as exc:
            text = f"a token was not given back, and ends by itself: {exc.problem}"
            self._tell(WARNING, "token-kept", text, {})

    def later(self, grant: Grant) -> None:
        """Let a token end that another one replaced, after the calls that are under way with it.

        Args:
            grant: It.
        """
        if not self._is_ours or grant.is_batch or grant.is_over(time.monotonic()):
            return
        with self._lock:
            self._waiting.append(grant)
        self._schedule.after(self._linger, lambda: self._due(grant))

    def _due(self, grant: Grant) -> None:
        self.now(grant, deadline=time.monotonic() + REVOKING_SECONDS)
        with self._lock:
            self._waiting = [each for each in self._waiting if each is not grant]

    def close(self, *, deadline: float) -> None:
        """Give back what still waits.

        Args:
            deadline: Until when, on the clock of `time.monotonic`.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for grant in waiting:
            self.now(grant, deadline=deadline)
