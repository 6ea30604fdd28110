"""What a token is worth: it is looked up when it was obtained, and when it was refused."""

from __future__ import annotations

import time
from logging import INFO
from typing import TYPE_CHECKING

from hvac.api.auth_methods import Token

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnavailable
from dkimcore.keys.vault.grant import Grant, lease_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.keys.secret import Secret
    from dkimcore.keys.vault.channel import Channel, Document
    from dkimcore.keys.vault.credentials import Stamp
    from dkimcore.keys.vault.grant import Tell
    from dkimcore.keys.vault.logins import Login, Outcome
    from dkimcore.keys.vault.returns import Returns

__all__ = ["ANY_KEY", "Appraisal"]

ANY_KEY = "vault:"
"""What errors name until they are told to somebody: a login is for all keys."""


class Appraisal:
    """Asks what tokens are worth.

    Args:
        login: How they are obtained.
        channel: Where.
        returns: Takes those that are not to be used.
        tell: Hears what happens.
        conceal: Takes each token, so that it is found where it must not show.
    """

    def __init__(
        self,
        login: Login,
        *,
        channel: Channel,
        returns: Returns,
        tell: Tell,
        conceal: Callable[[str], None],
    ) -> None:
        self._login = login
        self._channel = channel
        self._returns = returns
        self._tell = tell
        self._conceal = conceal

    def judge(
        self,
        outcome: Outcome,
        *,
        stamp: tuple[Stamp, ...],
        used: Grant | None,
        deadline: float,
    ) -> tuple[Grant, Document]:
        """Ask what a new token is worth; one that is not to be used is given back.

        Args:
            outcome: The token.
            stamp: What its files were when it was obtained.
            used: The token that is in use.
            deadline: Until when, on the clock of `time.monotonic`.

        Returns:
            What is known of it, and what the server says of it.

        Raises:
            KeyDenied: It has ended, or cannot be used for mail.
            KeyUnavailable: It cannot be looked up now.
        """
        try:
            return self._described(outcome, stamp, used, deadline)
        except KeyBackendError:
            self._returns.now(outcome, deadline=deadline)
            raise

    def _described(
        self, outcome: Outcome, stamp: tuple[Stamp, ...], used: Grant | None, deadline: float
    ) -> tuple[Grant, Document]:
        self._conceal(outcome.token.reveal())
        now = time.monotonic()
        lease, renewable, is_batch = outcome.lease, outcome.renewable, outcome.is_batch
        known = self._look_at_new(outcome.token, deadline)
        if known is not None:
            _refuse_if_counted(known)
            # Whole seconds, rounded down: what a login says of its token is more exact.
            if known.get("expire_time") is None:
                lease = None
            elif lease is None and isinstance(known.get("ttl"), int):
                lease = lease_of(known.get("ttl")) or 0.0  # less than a second
            renewable = known.get("renewable") is True
            is_batch = known.get("type") == "batch"
        elif self._could_look(outcome.token, used):
            raise KeyDenied(
                "the token has ended, or may not look itself up any more; see whether the agent "
                "that renews it runs, or write another",
                uri=ANY_KEY,
            )
        grant = Grant(
            token=outcome.token,
            since=now,
            renewed=now,
            proven=now,
            lease=lease,
            full=lease,
            renewable=renewable,
            can_look=known is not None,
            is_batch=is_batch,
            stamp=stamp,
        )
        return grant, known or {}

    def _could_look(self, token: Secret, used: Grant | None) -> bool:
        """Whether a token that was found is the one in use, and lived when it was looked up."""
        return (
            not self._login.is_ours and used is not None and used.can_look and used.token == token
        )

    def _look_at_new(self, token: Secret, deadline: float) -> Document | None:
        """Look a new token up; one that we asked for is good without that, and would be lost."""
        try:
            return self.look(token, deadline=deadline)
        except KeyUnavailable:
            if not self._login.is_ours:
                raise
            return None

    def look(self, token: Secret, *, deadline: float) -> Document | None:
        """Look a token up.

        Args:
            token: It.
            deadline: Until when, on the clock of `time.monotonic`.

        Returns:
            What the server says; None: it has ended, or may not do that (no default policy).

        Raises:
            KeyBackendError: The server refuses otherwise, or does not answer.
        """
        adapter = self._channel.adapter(token=token, deadline=deadline, uri=ANY_KEY)
        try:
            document = Token(adapter).lookup_self()
        except KeyDenied:
            return None
        data = document.get("data")
        return data if isinstance(data, dict) else {}

    def lives(self, grant: Grant, *, deadline: float) -> bool:
        """Whether the token in use, which may look itself up, lives.

        Args:
            grant: It.
            deadline: Until when, on the clock of `time.monotonic`.

        Raises:
            KeyUnavailable: The server says neither, which is no answer about any key.
        """
        try:
            return self.look(grant.token, deadline=deadline) is not None
        except KeyUnavailable:
            raise
        except KeyBackendError as exc:
            raise KeyUnavailable(exc.problem, uri=ANY_KEY) from None

    def tell_login(self, grant: Grant, known: Document) -> None:
        """Tell that another token is in use now.

        Args:
            grant: It.
            known: What the server says of it.
        """
        policies = known.get("policies")
        names = ",".join(map(str, policies)) if isinstance(policies, list) else ""
        lasts = "without end" if grant.lease is None else f"for {grant.lease:.0f} s"
        verb = "logged in" if self._login.is_ours else "found a token"
        if not grant.can_look:
            lasts = "of which nothing is known, for it could not be looked up"
        elif not grant.renewable and grant.lease is not None:
            lasts += ", not renewable"
        text = f"{verb} at {self._channel.address} by {self._login.name}, {lasts}"
        fields = {"auth": self._login.name, "policies": names[:200], "ttl": grant.lease}
        self._tell(INFO, "login", text, fields)


def _refuse_if_counted(known: Document) -> None:
    if known.get("num_uses"):
        raise KeyDenied(
            "the token may be used a limited number of times, and mail has no number; "
            "set token_num_uses=0",
            uri=ANY_KEY,
        )
