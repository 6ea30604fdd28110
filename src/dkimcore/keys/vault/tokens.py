"""The login of a section: one token for all its keys, and a new one when it ends or is refused.

However many threads are refused at once, there is one login, and they wait for it.  A login that
is refused is not tried again for a while, so that it does not use up a secret_id or lock an
account.  What a token is worth is left to `appraisal`, renewing to `renewal`, giving back to
`returns`.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import replace
from logging import ERROR, WARNING
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyUnavailable
from dkimcore.keys.memory import without_frames
from dkimcore.keys.opening import Openers
from dkimcore.keys.tracebacks import place_of
from dkimcore.keys.vault.appraisal import ANY_KEY, Appraisal
from dkimcore.keys.vault.credentials import stamps
from dkimcore.keys.vault.flight import Flight
from dkimcore.keys.vault.grant import Grant, LoginRefused
from dkimcore.keys.vault.renewal import Renewal
from dkimcore.keys.vault.returns import REVOKING_SECONDS, Returns

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.keys.schedule import Schedule
    from dkimcore.keys.vault.channel import Channel
    from dkimcore.keys.vault.credentials import Stamp
    from dkimcore.keys.vault.grant import Tell
    from dkimcore.keys.vault.logins import Login

__all__ = ["Tokens"]

_REFUSED_SECONDS = 15.0  # that a refused login is remembered, unless its files change
_PROVEN_SECONDS = 1.0  # that a token which was seen to live is not looked up again
_BLIND_SECONDS = 60.0  # between logins for refusals, where a token may not look itself up
_LONGEST_BLIND_SECONDS = 3600.0  # the same, where one login after another was refused so too
_WATCH_SECONDS = 1.0  # between two looks whether a token file was replaced
_DOUBT_SECONDS = 60.0  # between two looks at what may be no token
_CLOSED = "its KeyStore is closed"


class Tokens:
    """Has a token whenever there can be one.  Safe to share between threads.

    Args:
        login: How to log in.
        channel: Where.
        schedule: For renewals, and for what is given back.
        patience: Seconds that a login or renewal may take, whoever waits for it.
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
        self._patience = patience
        self._tell = tell
        self._lock = threading.Lock()
        self._grant: Grant | None = None
        self._flight: Flight | None = None
        # A thread that outlives the message that needs a login first, and does not end with it:
        # whoever forks right after that would have a child that cannot use OpenSSL (`opening`).
        self._pilots = Openers(1)
        self._refusal: tuple[float, tuple[Stamp, ...], LoginRefused] | None = None
        self._watched = 0.0
        self._doubt: tuple[Stamp, ...] | None = None  # where what may be no token was found
        self._doubted_until = math.inf
        self._blind_seconds = _BLIND_SECONDS
        self._blind_login = -math.inf
        self._is_closed = False
        self._returns = Returns(
            channel=channel, schedule=schedule, linger=patience, is_ours=login.is_ours, tell=tell
        )
        self._appraisal = Appraisal(
            login, channel=channel, returns=self._returns, tell=tell, conceal=conceal
        )
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
        used = self._latest(grant)
        if used is not None and self._is_beyond_doubt(used):
            return used

        def reconsider(deadline: float) -> Grant:
            return self._reconsider(grant, deadline)

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
        return self._latest(grant) is not None

    def _latest(self, grant: Grant) -> Grant | None:
        """Return what is known of a token by now, if it is in use."""
        now = self._grant
        return now if now is not None and now.token is grant.token else None

    def renew(self, grant: Grant) -> None:
        """Take what is known of a token now, if it is still in use."""
        with self._lock:
            used = self._latest(grant)
            if used is not None:
                self._grant = replace(grant, stamp=used.stamp)

    def close(self) -> None:
        """Give back the tokens that we asked for; one that was found is its owner's.

        A login that is under way is waited for, for whoever makes it gives its token back.
        """
        with self._lock:
            grant, self._grant = self._grant, None
            flight = self._flight
            self._is_closed = True
        deadline = time.monotonic() + REVOKING_SECONDS
        if grant is not None:
            self._returns.now(grant, deadline=deadline)
        self._returns.close(deadline=deadline)
        if flight is not None:
            flight.done.wait(max(0.0, deadline - time.monotonic()))

    def _fly(
        self,
        stale: Grant | None,
        work: Callable[[float], Grant],
        *,
        deadline: float,
        uri: str,
    ) -> Grant:
        """Have another token than a stale one, which is worked on once for all who want it."""
        with self._lock:
            if self._is_closed:
                raise KeyUnavailable(_CLOSED, uri=uri)
            grant = self._grant
            if grant is not None and (stale is None or grant.token is not stale.token):
                return grant
            flight = self._flight
            is_new = flight is None
            if flight is None:
                # Whoever comes first may have little time left, and others have more.
                until = max(deadline, time.monotonic() + self._patience)
                flight = self._flight = Flight(deadline=until)
        if is_new and not self._pilots.begin(lambda: self._pilot(flight, work)):
            self._pilot(flight, work)  # the system has no thread for it
        if not flight.done.wait(max(0.0, deadline - time.monotonic())):
            problem = f"a login at {self._channel.address} takes too long"
            raise KeyUnavailable(problem, uri=uri)
        return flight.result(self._channel.address, uri=uri)

    def _pilot(self, flight: Flight, work: Callable[[float], Grant]) -> None:
        try:
            flight.grant = work(flight.deadline)
        except KeyBackendError as exc:
            flight.error = without_frames(exc)
        except Exception as exc:  # noqa: BLE001 - nobody calls this thread; and no text, for tokens
            problem = f"a login at {self._channel.address} failed with {type(exc).__name__}"
            flight.error = KeyUnavailable(f"{problem} ({place_of(exc)})", uri=ANY_KEY)
        finally:
            self._land(flight)

    def _land(self, flight: Flight) -> None:
        """Let all have what a login brought; after the end, nobody."""
        with self._lock:
            grant, old, is_late = flight.grant, self._grant, self._is_closed
            if grant is not None and not is_late:
                self._grant = grant
                if old is not None and old.token != grant.token:
                    self._returns.later(old)
            if is_late:
                flight.grant, flight.error = None, KeyUnavailable(_CLOSED, uri=ANY_KEY)
            self._flight = None
        try:
            if grant is not None and is_late:
                self._returns.now(grant, deadline=time.monotonic() + REVOKING_SECONDS)
            elif grant is not None and self._renewal is not None:
                self._renewal.plan(grant)
        finally:
            flight.done.set()

    def _is_replaced(self, grant: Grant, now: float) -> bool:
        """Whether somebody put another token where we found this one."""
        if self._login.is_ours or now - self._watched < _WATCH_SECONDS:
            return False
        self._watched = now
        return now >= self._doubted_until or stamps(self._login.files) != grant.stamp

    def _is_beyond_doubt(self, grant: Grant) -> bool:
        """Whether nothing better is to be had for a token that was refused, for now."""
        now = time.monotonic()
        if now - grant.proven < _PROVEN_SECONDS and stamps(self._login.files) == grant.stamp:
            return True
        is_blind = self._login.is_ours and not grant.can_look
        return is_blind and now - grant.since < self._blind_seconds

    def _reconsider(self, grant: Grant, deadline: float) -> Grant:
        """Look whether a token lives that was refused, and get another one if it does not."""
        if not self._login.is_ours:
            return self._log_in(deadline)
        if grant.can_look:
            if self._appraisal.lives(grant, deadline=deadline):
                return replace(self._latest(grant) or grant, proven=time.monotonic())
            return self._log_in(deadline)
        fresh, now = self._log_in(deadline), time.monotonic()
        # One after another is refused: it is a policy, and each login costs the server a token.
        is_again = now - self._blind_login < 2 * _LONGEST_BLIND_SECONDS
        longer = min(2 * self._blind_seconds, _LONGEST_BLIND_SECONDS)
        self._blind_seconds = longer if is_again else _BLIND_SECONDS
        self._blind_login = now
        return fresh

    def _log_in(self, deadline: float) -> Grant:
        stamp, used = stamps(self._login.files), self._grant
        self._respect_refusal(stamp)
        try:
            outcome = self._login.obtain(self._channel, deadline=deadline, uri=ANY_KEY)
            grant, known = self._appraisal.judge(outcome, stamp=stamp, used=used, deadline=deadline)
            if used is not None and self._is_better(used, grant, deadline):
                return self._kept(used, stamp)
        except KeyUnavailable:
            raise
        except KeyBackendError as exc:
            refusal = LoginRefused(f"no login by {self._login.name}: {exc.problem}", uri=ANY_KEY)
            self._refusal = time.monotonic() + _REFUSED_SECONDS, stamp, refusal
        else:
            self._refusal = self._doubt = None
            self._doubted_until = math.inf
            if used is not None and used.token == grant.token:
                # The object stands for the token: the same one means that there is no other.
                return (self._latest(used) or used).confirmed(grant)
            self._appraisal.tell_login(grant, known)
            return grant
        self._tell(ERROR, "login-refused", refusal.problem, {"auth": self._login.name})
        raise refusal

    def _respect_refusal(self, stamp: tuple[Stamp, ...]) -> None:
        if self._refusal is None:
            return
        until, refused, error = self._refusal
        left = until - time.monotonic()
        if left > 0 and refused == stamp:
            raise LoginRefused(f"{error.problem}; not tried again for {left:.0f} s", uri=ANY_KEY)

    def _is_better(self, used: Grant, found: Grant, deadline: float) -> bool:
        """Whether the token in use lives, and what was found in its place may be none."""
        return (
            not self._login.is_ours
            and used.can_look
            and not used.is_over(time.monotonic())
            and not found.can_look
            and self._appraisal.lives(used, deadline=deadline)
        )

    def _kept(self, used: Grant, stamp: tuple[Stamp, ...]) -> Grant:
        """Stay with the token in use; what was found is looked at again when that is refused."""
        now = time.monotonic()
        self._doubted_until = now + _DOUBT_SECONDS  # another node may know it by then
        if self._doubt != stamp:
            self._doubt = stamp
            text = (
                "another token was found, which may not look itself up, or is none: the one "
                "before it lives, and is used until it ends; see whether the new one was written "
                "in full, and give it the policy default"
            )
            self._tell(WARNING, "token-doubted", text, {"auth": self._login.name})
        return replace(self._latest(used) or used, proven=now, stamp=stamp)
