"""The login of a section: one token for all its keys, and a new one when it ends or is refused.

However many threads are refused at once, one of them logs in and the others wait for it.  A
login that is refused is not tried again for a while, so that it does not use up a secret_id or
lock an account.  Renewing in the background is left to `renewal`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from logging import ERROR, INFO, WARNING
from typing import TYPE_CHECKING

from hvac.api.auth_methods import Token

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnavailable
from dkimcore.keys.memory import without_frames
from dkimcore.keys.vault.credentials import stamps
from dkimcore.keys.vault.flight import Flight
from dkimcore.keys.vault.grant import Grant, LoginRefused, lease_of
from dkimcore.keys.vault.renewal import Renewal

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.keys.schedule import Schedule
    from dkimcore.keys.secret import Secret
    from dkimcore.keys.vault.channel import Channel, Document
    from dkimcore.keys.vault.credentials import Stamp
    from dkimcore.keys.vault.grant import Tell
    from dkimcore.keys.vault.logins import Login, Outcome

__all__ = ["Tokens"]

_REFUSED_SECONDS = 15.0  # that a refused login is remembered, unless its files change
_PROVEN_SECONDS = 1.0  # that a token which was seen to live is not looked up again
_BLIND_SECONDS = 60.0  # between logins for refusals, where a token may not look itself up
_WATCH_SECONDS = 1.0  # between two looks whether a token file was replaced
_CLOSED = "its KeyStore is closed"
_REVOKING = 2.0  # seconds for giving a token back when we end; servers write it to their disks


class Tokens:
    """Has a token whenever there can be one.  Safe to share between threads.

    Args:
        login: How to log in.
        channel: Where.
        schedule: For renewals.
        patience: Seconds for a login or renewal in the background.
        renews: Whether tokens are renewed.
        tell: Hears what happens.
        conceal: Takes each token, so that it is found where it must not show.
    """

    def __init__(
        self,
        login: Login,
        *,
        channel: Channel,
        schedule: Schedule,
        patience: float,
        renews: bool,
        tell: Tell,
        conceal: Callable[[str], None],
    ) -> None:
        self._login = login
        self._channel = channel
        self._tell = tell
        self._conceal = conceal
        self._lock = threading.Lock()
        self._grant: Grant | None = None
        self._flight: Flight | None = None
        self._refusal: tuple[float, tuple[Stamp, ...], LoginRefused] | None = None
        self._watched = 0.0
        self._is_closed = False
        self._renewal = (
            Renewal(self, channel=channel, schedule=schedule, patience=patience, tell=tell)
            if renews
            else None
        )

    def current(self, *, deadline: float, uri: str) -> Grant:
        """Return a token that should be good, logging in if there is none.

        Args:
            deadline: Until when, on the clock of `time.monotonic`.
            uri: What errors name.

        Raises:
            LoginRefused: There is none, and will be none until something changes.
            KeyBackendError: The login cannot be done now.
        """
        grant, now = self._grant, time.monotonic()
        if grant is None or grant.is_over(now):
            return self._fly(grant, self._log_in, deadline=deadline, uri=uri)
        if self._is_replaced(grant, now):
            # What stands there now may be half written; the old token is as good as before.
            with contextlib.suppress(KeyBackendError):
                return self._fly(grant, self._log_in, deadline=deadline, uri=uri)
        return grant

    def after_refusal(self, grant: Grant, *, deadline: float, uri: str) -> Grant:
        """Return what to ask with again after the server refused a token.

        Args:
            grant: The token.
            deadline: Until when, on the clock of `time.monotonic`.
            uri: What errors name.

        Returns:
            Another token, or the same if it lives: then a policy is to blame.

        Raises:
            LoginRefused: There is no other, and will be none until something changes.
            KeyBackendError: The login cannot be done now.
        """

        def reconsider(deadline: float, uri: str) -> Grant:
            return self._reconsider(grant, deadline, uri)

        return self._fly(grant, reconsider, deadline=deadline, uri=uri)

    def log_in_again(self, grant: Grant, *, deadline: float, uri: str) -> None:
        """Log in before a token ends.

        Args:
            grant: The token; nothing is done if another one is in use.
            deadline: Until when, on the clock of `time.monotonic`.
            uri: What errors name.

        Raises:
            KeyBackendError: As `current`.
        """
        if self.is_ours and self.is_in_use(grant):
            self._fly(grant, self._log_in, deadline=deadline, uri=uri)

    @property
    def is_ours(self) -> bool:
        """Whether tokens are obtained by a login, and not found."""
        return self._login.is_ours

    def is_in_use(self, grant: Grant) -> bool:
        """Whether a token is the one that is in use."""
        now = self._grant
        return now is not None and now.token is grant.token

    def renew(self, grant: Grant) -> None:
        """Take what is known of a token now, if it is still in use."""
        with self._lock:
            if self.is_in_use(grant):
                self._grant = grant

    def close(self) -> None:
        """Give back a token that we asked for; one that was found is its owner's.

        A login that is under way is waited for, for whoever makes it gives its token back.
        """
        with self._lock:
            grant, self._grant = self._grant, None
            flight = self._flight
            self._is_closed = True
        deadline = time.monotonic() + _REVOKING
        if grant is not None and not grant.is_batch:
            self._give_back(grant.token, deadline)
        if flight is not None:
            flight.done.wait(max(0.0, deadline - time.monotonic()))

    def _give_back(self, token: Secret, deadline: float) -> None:
        """Let a token end that nobody will use."""
        if not self._login.is_ours:
            return
        adapter = self._channel.adapter(token=token, deadline=deadline, uri="vault:")
        try:
            Token(adapter).revoke_self()
        except KeyDenied:
            pass  # it has ended, or may not do that
        except KeyBackendError as exc:
            text = f"a token was not given back, and ends by itself: {exc.problem}"
            self._tell(WARNING, "token-kept", text, {})

    def _fly(
        self,
        stale: Grant | None,
        work: Callable[[float, str], Grant],
        *,
        deadline: float,
        uri: str,
    ) -> Grant:
        """Let one thread work on another token than a stale one, and all have it."""
        with self._lock:
            if self._is_closed:
                raise KeyUnavailable(_CLOSED, uri=uri)
            grant = self._grant
            if grant is not None and (stale is None or grant.token is not stale.token):
                return grant
            flight = self._flight
            leads = flight is None
            if flight is None:
                flight = self._flight = Flight()
        if leads:
            self._pilot(flight, work, deadline, uri)
        elif not flight.done.wait(max(0.0, deadline - time.monotonic())):
            problem = f"a login at {self._channel.address} takes too long"
            raise KeyUnavailable(problem, uri=uri)
        return flight.result(self._channel.address, uri=uri)

    def _pilot(
        self, flight: Flight, work: Callable[[float, str], Grant], deadline: float, uri: str
    ) -> None:
        try:
            flight.grant = work(deadline, uri)
        except KeyBackendError as exc:
            flight.error = without_frames(exc)
        finally:
            self._land(flight, uri)
        if flight.grant is not None and self._renewal is not None:
            self._renewal.plan(flight.grant)

    def _land(self, flight: Flight, uri: str) -> None:
        """Let all have what a login brought; after the end, nobody."""
        with self._lock:
            grant, is_late = flight.grant, self._is_closed
            if grant is not None and not is_late:
                self._grant = grant
            if is_late:
                flight.grant, flight.error = None, KeyUnavailable(_CLOSED, uri=uri)
            self._flight = None
        try:
            if is_late and grant is not None and not grant.is_batch:
                self._give_back(grant.token, time.monotonic() + _REVOKING)
        finally:
            flight.done.set()

    def _is_replaced(self, grant: Grant, now: float) -> bool:
        """Whether somebody put another token where we found this one."""
        if self._login.is_ours or now - self._watched < _WATCH_SECONDS:
            return False
        self._watched = now
        return stamps(self._login.files) != grant.stamp

    def _reconsider(self, grant: Grant, deadline: float, uri: str) -> Grant:
        now = time.monotonic()
        if now - grant.proven < _PROVEN_SECONDS and stamps(self._login.files) == grant.stamp:
            return grant
        if self._login.is_ours:
            if grant.can_look:
                if self._look(grant.token, deadline, uri) is not None:
                    return replace(grant, proven=now)
            elif now - grant.since < _BLIND_SECONDS:
                return grant
            return self._log_in(deadline, uri)
        found = self._log_in(deadline, uri)
        # The object stands for the token: the same one means that there is no other.
        return replace(found, token=grant.token) if found.token == grant.token else found

    def _log_in(self, deadline: float, uri: str) -> Grant:
        stamp = stamps(self._login.files)
        self._respect_refusal(stamp, uri)
        try:
            outcome = self._login.obtain(self._channel, deadline=deadline, uri=uri)
            grant, known = self._judged(outcome, stamp, deadline, uri)
        except KeyUnavailable:
            raise
        except KeyBackendError as exc:
            refusal = LoginRefused(f"no login by {self._login.name}: {exc.problem}", uri=uri)
            self._refusal = time.monotonic() + _REFUSED_SECONDS, stamp, refusal
        else:
            self._refusal = None
            if self._grant is None or self._grant.token != grant.token:
                self._tell_login(grant, known)
            return grant
        self._tell(ERROR, "login-refused", refusal.problem, {"auth": self._login.name})
        raise refusal

    def _respect_refusal(self, stamp: tuple[Stamp, ...], uri: str) -> None:
        if self._refusal is None:
            return
        until, refused, error = self._refusal
        left = until - time.monotonic()
        if left > 0 and refused == stamp:
            raise LoginRefused(f"{error.problem}; not tried again for {left:.0f} s", uri=uri)

    def _judged(
        self, outcome: Outcome, stamp: tuple[Stamp, ...], deadline: float, uri: str
    ) -> tuple[Grant, Document]:
        """Ask what a new token is worth; one that is not to be used is given back."""
        try:
            return self._described(outcome, stamp, deadline, uri)
        except KeyBackendError:
            if not outcome.is_batch:
                self._give_back(outcome.token, deadline)
            raise

    def _described(
        self, outcome: Outcome, stamp: tuple[Stamp, ...], deadline: float, uri: str
    ) -> tuple[Grant, Document]:
        """Ask what a new token is worth."""
        self._conceal(outcome.token.reveal())
        now = time.monotonic()
        lease, renewable, is_batch = outcome.lease, outcome.renewable, outcome.is_batch
        known = self._look_at_new(outcome.token, deadline, uri)
        if known is not None:
            if known.get("num_uses"):
                raise KeyDenied(
                    "the token may be used a limited number of times, and mail has no number; "
                    "set token_num_uses=0",
                    uri=uri,
                )
            # Whole seconds, rounded down: what a login says of its token is more exact.
            if known.get("expire_time") is None:
                lease = None
            elif lease is None and isinstance(known.get("ttl"), int):
                lease = lease_of(known.get("ttl")) or 0.0  # less than a second
            renewable = known.get("renewable") is True
            is_batch = known.get("type") == "batch"
        elif self._could_look(outcome.token):
            raise KeyDenied(
                "the token has ended, or may not look itself up any more; see whether the agent "
                "that renews it runs, or write another",
                uri=uri,
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

    def _could_look(self, token: Secret) -> bool:
        """Whether a token that was found is the one in use, and lived when it was looked up."""
        grant = self._grant
        return (
            not self._login.is_ours
            and grant is not None
            and grant.can_look
            and grant.token == token
        )

    def _look_at_new(self, token: Secret, deadline: float, uri: str) -> Document | None:
        """Look a new token up; one that we asked for is good without that, and would be lost."""
        try:
            return self._look(token, deadline, uri)
        except KeyUnavailable:
            if not self._login.is_ours:
                raise
            return None

    def _look(self, token: Secret, deadline: float, uri: str) -> Document | None:
        """Look a token up; None: it has ended, or may not do that (no default policy)."""
        adapter = self._channel.adapter(token=token, deadline=deadline, uri=uri)
        try:
            document = Token(adapter).lookup_self()
        except KeyDenied:
            return None
        data = document.get("data")
        return data if isinstance(data, dict) else {}

    def _tell_login(self, grant: Grant, known: Document) -> None:
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
