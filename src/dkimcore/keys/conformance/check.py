"""What all checks of a contract share: named steps, faults, and an eye on secrets."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.errors import DkimError, KeyBackendError
from dkimcore.keys.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dkimcore.keys import KeyBackend, KeyContext, SigningKey
    from dkimcore.keys.events import KeyEvent, KeyObserver
    from dkimcore.keys.uri import KeyUri

__all__ = ["BackendFault", "Check"]

CANARY = "canary-b71e5f0d-not-a-real-secret"


class BackendFault(AssertionError):
    """A key backend does not keep the contract; the text says which part, and how."""


class Check:
    """One backend under test, and what was seen of its secrets.

    Args:
        scheme: What faults name.
        open_key: The backend.
        context: What it needs; connections and logins are made for the check alone.
    """

    def __init__(self, scheme: str, open_key: KeyBackend, context: KeyContext) -> None:
        self.scheme = scheme
        self.open_key = open_key
        self.secrets = {CANARY}
        self.seen: list[str] = []
        self.context = replace(
            context,
            secret=self._recording(context.secret),
            conceal=self._concealing(context.conceal),
            observer=_Listening(context.observer, self.seen),
            resources=Resources(),
        )

    def _recording(self, ask: Callable[[str], str | None]) -> Callable[[str], str | None]:
        def secret(name: str) -> str | None:
            value = ask(name)
            if value:
                self.secrets.add(value)
            return value

        return secret

    def _concealing(self, conceal: Callable[[str], None]) -> Callable[[str], None]:
        def hear(text: str) -> None:
            if text:
                self.secrets.add(text)
            conceal(text)

        return hear

    def run(self, steps: Iterable[tuple[str, Callable[[], None]]]) -> tuple[str, ...]:
        """Take steps in order.

        Returns:
            Their names.

        Raises:
            BackendFault: The first one that failed.
        """
        names = []
        try:
            for name, step in steps:
                try:
                    step()
                except BackendFault as exc:
                    raise BackendFault(f"{self.scheme}: {name}: {exc}") from self.quotable(
                        exc.__cause__
                    )
                names.append(name)
        finally:
            self.context.resources.close()
        return tuple(names)

    def open(self, uri: KeyUri) -> SigningKey:
        """Open a key.

        Raises:
            BackendFault: It cannot be opened.
        """
        try:
            return self.open_key(uri, self.context)
        except Exception as exc:
            raise self.fault("the key could not be opened", exc) from exc

    def refused(
        self,
        what: str,
        attempt: Callable[[], object],
        *,
        otherwise: str,
        kind: type[DkimError] = KeyBackendError,
    ) -> None:
        """Do something that has to be refused.

        Args:
            what: What is asked for.
            attempt: Asks for it.
            otherwise: What the matter is if it is granted.
            kind: How it has to be refused.

        Raises:
            BackendFault: It is not, or otherwise.
        """
        try:
            attempt()
        except kind as exc:
            self.saw(exc)
        except Exception as exc:
            problem = f"{what} raises {type(exc).__name__} and not {kind.__name__}"
            raise self.fault(problem, exc) from exc
        else:
            raise BackendFault(f"{what} {otherwise}")

    def no_secrets(self) -> None:
        """Look for secrets in all that was seen.

        Raises:
            BackendFault: There is one.
        """
        if any(map(self._leaks, self.seen)):
            raise BackendFault("a secret shows in an exception, an event or the key's repr")

    def saw(self, exc: BaseException) -> None:
        """Remember what an exception shows."""
        self.seen.append("".join(traceback.format_exception(exc)))

    def fault(self, problem: str, exc: Exception) -> BackendFault:
        """Make a fault that quotes an exception, unless a secret shows in that."""
        text = "a secret shows in its text" if self.quotable(exc) is None else str(exc)
        return BackendFault(f"{problem}: {type(exc).__name__}: {text}")

    def quotable(self, exc: BaseException | None) -> BaseException | None:
        """Return the exception if it may be shown."""
        if exc is None or self._leaks("".join(traceback.format_exception(exc))):
            return None
        return exc

    def _leaks(self, text: str) -> bool:
        return "PRIVATE KEY-----" in text or any(secret in text for secret in self.secrets)


class _Listening:
    """Remembers what events say."""

    def __init__(self, observer: KeyObserver, seen: list[str]) -> None:
        self._observer = observer
        self._seen = seen

    def event(self, event: KeyEvent) -> None:
        self._seen.append(f"{event!r} {event.text} {dict(event.fields)}")
        self._observer.event(event)

    def round_trip(
        self, endpoint: str, *, seconds: float, signatures: int, error: KeyBackendError | None
    ) -> None:
        self._observer.round_trip(endpoint, seconds=seconds, signatures=signatures, error=error)

    def retried(self, endpoint: str) -> None:
        self._observer.retried(endpoint)
