"""How to ask for TXT records: the interfaces every resolver keeps.

A resolver is total: failure is an answer, never an exception.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus

__all__ = [
    "AsyncTimedTxtResolver",
    "AsyncTxtResolver",
    "DeadlineTxtResolver",
    "PeekTxtResolver",
    "TimedAnswer",
    "TimedTxtResolver",
    "TxtResolver",
    "broken_promise",
]


class TxtResolver(Protocol):
    """Answers key queries, blocking."""

    def lookup_txt(self, name: str) -> TxtAnswer:
        """Ask for the TXT records at an absolute name, A-labels with a final dot."""
        ...


class AsyncTxtResolver(Protocol):
    """Answers key queries for asyncio."""

    async def lookup_txt(self, name: str) -> TxtAnswer:
        """Ask for the TXT records at an absolute name, A-labels with a final dot."""
        ...


@runtime_checkable
class DeadlineTxtResolver(Protocol):
    """A blocking resolver that gives up earlier when told to.

    What has a budget for a whole message asks ``isinstance(resolver, DeadlineTxtResolver)``
    and then passes what is left of it.  asyncio needs no such thing: it cancels.

    Attributes:
        takes_timeout: True; tells such a resolver from others when a program runs.
    """

    takes_timeout: bool

    def lookup_txt(self, name: str, *, timeout: float | None = None) -> TxtAnswer:
        """Ask for the TXT records at a name, for at most this many seconds."""
        ...


@runtime_checkable
class PeekTxtResolver(Protocol):
    """A blocking resolver that can tell what it need not ask anybody for."""

    def peek_txt(self, name: str) -> TxtAnswer | None:
        """Give the answer for a name if it is at hand; None means to ask `lookup_txt`."""
        ...


class TimedAnswer(NamedTuple):
    """An answer and how long it may be kept.

    Attributes:
        answer: The answer.
        ttl: Seconds; 0 when it must not be kept.
    """

    answer: TxtAnswer
    ttl: float


class TimedTxtResolver(Protocol):
    """A blocking resolver whose answers can be cached."""

    def lookup_txt_with_ttl(self, name: str, *, timeout: float | None = None) -> TimedAnswer:
        """Ask for the TXT records at a name, for at most this many seconds."""
        ...


class AsyncTimedTxtResolver(Protocol):
    """A resolver for asyncio whose answers can be cached."""

    async def lookup_txt_with_ttl(self, name: str) -> TimedAnswer:
        """Ask for the TXT records at a name."""
        ...


def broken_promise(exc: Exception) -> TxtAnswer:
    """Return the answer to give in place of what a resolver raised against its contract.

    The query counts as failed, which is ``temperror`` (RFC 6376 section 6.1.2 step 2), and the
    detail names the exception, so that the resolver can be mended.
    """
    return TxtAnswer(TxtStatus.FAILED, detail=f"the resolver raised {type(exc).__name__}: {exc}")
