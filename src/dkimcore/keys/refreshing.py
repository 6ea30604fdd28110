"""Fetched keys are fetched again now and then: while that goes on, their backend may be down.

A definite answer is obeyed: a key that was deleted, or may not be read any more, signs no more.
No answer changes nothing for as long as `StoreSettings.stale` says.  Another key under the old
name is not taken: receivers have the old one's public half.
"""

from __future__ import annotations

import random
import time
from logging import ERROR, INFO, WARNING
from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError, KeyBackendError, KeyUnavailable
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.selfcheck import check_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.keys import KeyContext
    from dkimcore.keys.fetched import FetchedKey
    from dkimcore.keys.sections import StoreSettings
    from dkimcore.keys.stored import StoredKey

__all__ = ["Refresher"]

_SPREAD = 0.1
_RETRY_SECONDS = 30.0  # while its backend does not answer, a key is asked for so often


class Refresher:
    """Keeps one fetched key fresh.

    Args:
        stored: The key as it was given out.
        key: What was fetched.
        context: The store's.
        contain: Makes our errors of the backend's.
        forget: Lets the store open the key anew the next time.
        clock: The time in seconds.
    """

    def __init__(
        self,
        stored: StoredKey,
        key: FetchedKey,
        *,
        context: KeyContext,
        contain: Callable[[Exception], KeyBackendError],
        forget: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stored = stored
        self._key = key
        self._context = context
        self._contain = contain
        self._forget = forget
        self._clock = clock
        self._confirmed = clock()
        self._told_age = 0.0
        self._has_changed = False
        self._is_over = False

    @property
    def age(self) -> float:
        """Seconds since the backend confirmed the key."""
        return self._clock() - self._confirmed

    @property
    def _settings(self) -> StoreSettings:
        return self._context.sections.store

    def begin(self) -> None:
        """Fetch it again in a while; also in a process that was forked since."""
        seconds = self._settings.refresh
        self._later(seconds * random.uniform(1 - _SPREAD, 1 + _SPREAD))  # noqa: S311

    def end(self) -> None:
        """Fetch it no more."""
        self._is_over = True

    def _later(self, seconds: float) -> None:
        self._context.resources.housekeeping.after(seconds, self.refresh)

    def refresh(self) -> None:
        """Fetch it again, and again later."""
        if self._is_over:
            return
        fresh, error = self._fetch()
        if self._is_over:  # while it was fetched
            return
        if error is None:
            self._confirmed = self._clock()
            self._told_age = 0.0
            if fresh is not None:
                self._take(fresh)
            self.begin()
        elif error.temporary:
            self._bridge(error)
        else:
            self._withdraw(error)

    def _fetch(self) -> tuple[FetchedKey | None, KeyBackendError | None]:
        try:
            return self._key.refetch(), None
        except ConfigError as exc:
            # What an operator wrote says nothing about the key: a file may be half replaced.
            return None, KeyUnavailable(self._contain(exc).problem, uri=self._stored.uri)
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is contained
            return None, self._contain(exc)

    def _take(self, fresh: FetchedKey) -> None:
        if fresh.public_key != self._key.public_key:
            if not self._has_changed:
                self._has_changed = True
                self._tell(
                    ERROR,
                    "key-changed",
                    "another key is kept under this name now; the old one goes on signing until "
                    "the configuration is loaded again: give the new key a new selector",
                )
            return
        try:
            check_key(fresh, uri=self._stored.uri)
        except KeyBackendError as exc:
            text = f"what is kept under this name now is damaged ({exc.problem}); what was fetched "
            self._tell(ERROR, "key-changed", text + "before goes on signing: write it anew")
            return
        self._key = fresh
        self._stored.replace(fresh)
        self._tell(INFO, "key-refreshed", "the same key in another form was fetched")

    def _bridge(self, error: KeyBackendError) -> None:
        """Go on with what we have, for a while."""
        if self.age > self._settings.stale:
            self._withdraw(error)
            return
        if self.age >= 2 * self._told_age:  # a thousand keys would say it every half minute
            self._told_age = self.age
            text = f"it cannot be fetched again ({error.problem}); it goes on signing, as it has "
            text += f"for {self.age:.0f} s, for at most {self._settings.stale:.0f} s"
            self._tell(WARNING, "key-stale", text)
        self._later(min(_RETRY_SECONDS, self._settings.refresh))

    def _withdraw(self, error: KeyBackendError) -> None:
        self._is_over = True
        self._stored.withdraw(error)
        self._forget()
        self._tell(ERROR, "key-withdrawn", f"it signs no more: {error.problem}")

    def _tell(self, level: int, event: str, text: str) -> None:
        self._context.observer.event(
            KeyEvent(level=level, event=event, text=text, uri=self._stored.uri)
        )
