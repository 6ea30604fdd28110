"""Every exception of dkimcore.

What a stranger sends (a message, a DNS answer) never raises: it becomes a
`SignatureResult`.  What we, or an operator, did wrong becomes one of these::

    DkimError                       temporary = False
    ├── MessageError                not a message that can be signed
    ├── ConfigError                 an operator must change something
    │   ├── TableError              signing table or key table
    │   ├── SettingsError           a setting's value
    │   └── KeyUriError             malformed, unknown scheme, missing extra
    ├── KeyBackendError             a key could not be opened or used; names its URI
    │   ├── KeyNotFound
    │   ├── KeyDenied
    │   ├── KeyUnusable             wrong type, too short, self-check failed
    │   └── KeyUnavailable          temporary = True
    └── StateError                  the caller broke the order of calls

`DkimError.temporary` is all that a mail server needs to choose between a
4xx and a 5xx reply.  No message of any of these holds key material.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ConfigError",
    "DkimError",
    "KeyBackendError",
    "KeyDenied",
    "KeyNotFound",
    "KeyUnavailable",
    "KeyUnusable",
    "KeyUriError",
    "MessageError",
    "SettingsError",
    "StateError",
    "TableError",
]


class DkimError(Exception):
    """Root of the tree; `temporary` tells whether trying again may help."""

    temporary: ClassVar[bool] = False


class MessageError(DkimError):
    """The message cannot be signed honestly; the text says what to change."""


class ConfigError(DkimError):
    """An operator must change something.

    Args:
        problem: The cause and the cure.
        file: The file at fault, where there is one.
        line: Its line, counted from 1.
    """

    def __init__(self, problem: str, *, file: str | None = None, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.file = file
        self.line = line

    def __str__(self) -> str:
        if self.file is None:
            return self.problem
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.problem}"


class TableError(ConfigError):
    """A row of the signing table or the key table is wrong or missing."""


class SettingsError(ConfigError):
    """A setting has a value it cannot have."""


class KeyUriError(ConfigError):
    """A key URI is malformed, has an unknown scheme, or needs a missing extra."""


class KeyBackendError(DkimError):
    """A key store refused or failed.

    Args:
        problem: The cause and the cure, free of secrets.
        uri: The key URI that was asked for; it names a key and holds no secret.
        request_id: By what name the backend's provider knows the request that failed.
    """

    def __init__(self, problem: str, *, uri: str, request_id: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.uri = uri
        self.request_id = request_id

    def __reduce__(self) -> tuple[Callable[..., KeyBackendError], tuple[str], dict[str, object]]:
        # A pool of processes breaks on an exception that does not come back from pickle.
        return partial(type(self), uri=self.uri), (self.problem,), dict(self.__dict__)

    def __str__(self) -> str:
        request = "" if self.request_id is None else f" (request {self.request_id})"
        return f"{self.uri}: {self.problem}{request}"


class KeyNotFound(KeyBackendError):
    """There is no key under this URI."""


class KeyDenied(KeyBackendError):
    """The key exists and may not be used: permissions, a policy, a passphrase."""


class KeyUnusable(KeyBackendError):
    """The key is of the wrong type, too short, or failed its self-check."""


class KeyUnavailable(KeyBackendError):
    """The backend did not answer in time; the same call may succeed later.

    Args:
        problem: As of `KeyBackendError`.
        uri: As of `KeyBackendError`.
        request_id: As of `KeyBackendError`.
        retry_after: Seconds after which the backend wants to be asked again.
    """

    temporary: ClassVar[bool] = True

    def __init__(
        self,
        problem: str,
        *,
        uri: str,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, uri=uri, request_id=request_id)
        self.retry_after = retry_after


class StateError(DkimError):
    """The caller broke the documented order of calls; a bug in the caller."""
