"""A token that is in use, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied

if TYPE_CHECKING:
    from dkimcore.keys.secret import Secret
    from dkimcore.keys.vault.credentials import Stamp

__all__ = ["Grant", "LoginRefused", "Tell", "lease_of"]

Tell = Callable[[int, str, str, Mapping[str, str | int | float | None]], None]
"""Hears what happens: level, event, text, fields."""

_LONGEST_LEASE = 3_155_760_000  # a hundred years, in seconds; a token may as well live for ever
_ROUNDED = 1.5  # seconds by which two answers about one end may differ: they are whole seconds
_MARGIN = 0.1  # of the lease, and a second at most: what the way to the server may take


class LoginRefused(KeyDenied):
    """Nobody lets us in: this says nothing about the key that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A token that is in use.

    Attributes:
        token: The token; the object stays the same while it is renewed.
        since: When it was obtained, on the clock of `time.monotonic`, as all times here.
        lease: Seconds that it lives from when it was last renewed; None: for ever, or unknown.
        full: The lease that it had at first.
        renewed: When it was obtained or last renewed.
        renewable: Whether it can be renewed.
        can_look: Whether it may look itself up, so that a refusal can be told from its end.
        proven: When it was last known to live.
        is_batch: Whether it is a batch token, which can be neither renewed nor revoked.
        stamp: What its files were when it was obtained.
    """

    token: Secret
    since: float
    renewed: float
    proven: float
    lease: float | None = None
    full: float | None = None
    renewable: bool = False
    can_look: bool = False
    is_batch: bool = False
    stamp: tuple[Stamp, ...] = ()

    @property
    def end(self) -> float | None:
        """When it is not to be used any more."""
        if self.lease is None:
            return None
        return self.renewed + self.lease - min(1.0, self.lease * _MARGIN)

    def is_over(self, now: float) -> bool:
        """Whether it has ended by itself."""
        end = self.end
        return end is not None and now >= end

    def confirmed(self, seen: Grant) -> Grant:
        """Return what is known of the token after it was found or looked up again.

        Its lease stays the same one, unless somebody renewed the token or cut it: else each look
        would be news to whoever plans for its end.

        Args:
            seen: What was seen of the same token.
        """
        kept = replace(seen, token=self.token, since=self.since, full=self.full)
        if self.lease is None or seen.lease is None or self.is_over(seen.proven):
            return kept
        if abs(seen.renewed + seen.lease - self.renewed - self.lease) > _ROUNDED:
            return kept
        return replace(kept, lease=self.lease, renewed=self.renewed)


def lease_of(value: object) -> float | None:
    """Return for how many seconds a server says that something lives; None: it does not say.

    Args:
        value: What stands in its answer, which may be any number.
    """
    if not isinstance(value, int) or value <= 0:
        return None
    return float(min(value, _LONGEST_LEASE))
