"""What may leave a key backend: `KeyBackendError`, and no secret in it.

A library behind a backend raises what it likes, and may quote the token that was refused
or the key that did not parse.  Here its exceptions become ours, once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.errors import (
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
)
from dkimcore.keys.events import GuardedObserver
from dkimcore.keys.resources import Resources
from dkimcore.keys.tracebacks import chain, drop_frames, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore.keys import KeyContext

__all__ = ["Containment"]

_OURS = (KeyNotFound, KeyDenied, KeyUnusable, KeyUnavailable)
# The errors of requests and urllib3 derive from OSError too.
_FOREIGN: tuple[tuple[type[Exception], type[KeyBackendError]], ...] = (
    (FileNotFoundError, KeyNotFound),
    (PermissionError, KeyDenied),
    (OSError, KeyUnavailable),
)
_MAX_TEXT = 300
_WITHHELD = "its text is withheld, for a secret stands in it"
# Tokens are renewed for ever; one that is so many logins old is good for nothing.
_CONCEALED = 64


class Containment:
    """Turns what a backend raises into a `KeyBackendError` without secrets.

    Remembers which secrets were handed out, so as to find them again in an exception.

    Args:
        context: What the caller of the store gave.
    """

    __slots__ = ("_concealed", "_handed_out", "context")

    def __init__(self, context: KeyContext) -> None:
        self._handed_out: set[str] = set()
        self._concealed: deque[str] = deque(maxlen=_CONCEALED)
        ask = context.secret

        def secret(name: str) -> str | None:
            value = ask(name)
            if value and _bare(value):
                self._handed_out.update((_bare(value), _bare(repr(value)[1:-1])))
            return value

        self.context = replace(
            context,
            secret=secret,
            conceal=self._conceal,
            withhold=self.withhold,
            observer=GuardedObserver(context.observer, withhold=self.withhold),
            resources=Resources(),
        )

    def _conceal(self, text: str) -> None:
        if _bare(text) and _bare(text) not in self._concealed:
            self._concealed.append(_bare(text))

    def holds_secret(self, exc: BaseException) -> bool:
        """Whether a secret or a PEM private key shows in an exception or its chain."""
        return any(map(self._shows_in, _texts(exc)))

    def withhold(self, text: str) -> str:
        """Return a text, or what stands for it where a secret or a private key shows."""
        return _WITHHELD if self._shows_in(text) else text

    def _shows_in(self, text: str) -> bool:
        bare = _bare(text)
        return "PRIVATE KEY-----" in bare or any(
            secret in bare for secret in (*self._handed_out, *self._concealed)
        )

    def contain(self, exc: Exception, *, uri: str) -> KeyBackendError:
        """Return what to raise instead of an exception of a backend.

        Args:
            exc: What the backend raised.
            uri: The key it was asked for.

        Returns:
            `exc` itself if it is one of ours, else one of ours with `exc` as its cause.
            Where a secret shows, text and cause are left away.  The frames of the backend,
            whose variables may hold one, are left away always.
        """
        place = place_of(exc)
        drop_frames(exc)
        problem = f"the key backend failed with {type(exc).__name__}"
        if self.holds_secret(exc):
            kind = next((ours for ours in _OURS if isinstance(exc, ours)), _kind(exc))
            return kind(f"{problem}; {_WITHHELD}", uri=uri)
        if isinstance(exc, KeyBackendError):
            return exc
        text = " ".join(_text(str, exc).split())[:_MAX_TEXT]
        error = _kind(exc)(f"{problem}: {text}" if text else problem, uri=uri)
        error.__cause__ = exc
        if place is not None:
            error.add_note(f"raised in {place}")
        return error


def _texts(exc: BaseException) -> Iterator[str]:
    """Yield all that is printable about an exception, its chain and its parts."""
    for each in chain(exc):
        yield _text(str, each)
        yield _text(repr, each)
        yield from getattr(each, "__notes__", ())


def _bare(text: str) -> str:
    """Leave out backslashes: how many `repr` puts in depends on what stands around."""
    return text.replace("\\", "")


def _text(convert: Callable[[object], str], exc: BaseException) -> str:
    try:
        return convert(exc)
    except Exception:  # noqa: BLE001 - an exception that cannot be printed cannot tell
        return ""


def _kind(exc: Exception) -> type[KeyBackendError]:
    return next((kind for foreign, kind in _FOREIGN if isinstance(exc, foreign)), KeyBackendError)
