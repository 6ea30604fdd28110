"""A login that is made once, and whoever needs a token waits for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyUnavailable

if TYPE_CHECKING:
    from dkimcore.keys.vault.grant import Grant

__all__ = ["Flight"]


@dataclass(slots=True)
class Flight:
    """One login.

    Attributes:
        deadline: Until when it may take, on the clock of `time.monotonic`.
        done: Whether what it brought is known.
        grant: The token.
        error: Why there is none.
    """

    deadline: float
    done: threading.Event = field(default_factory=threading.Event)
    grant: Grant | None = None
    error: KeyBackendError | None = None

    def result(self, address: str, *, uri: str) -> Grant:
        """Return the token, when it is `done`.

        Args:
            address: Where the login was made.
            uri: What errors name.

        Raises:
            KeyBackendError: There is none.
        """
        if self.grant is not None:
            return self.grant
        problem = f"a login at {address} was interrupted"
        raise _renamed(self.error or KeyUnavailable(problem, uri=uri), uri)


def _renamed(error: KeyBackendError, uri: str) -> KeyBackendError:
    """Return an error of another key as one of this key."""
    if isinstance(error, KeyUnavailable):
        return KeyUnavailable(
            error.problem, uri=uri, request_id=error.request_id, retry_after=error.retry_after
        )
    return type(error)(error.problem, uri=uri, request_id=error.request_id)
