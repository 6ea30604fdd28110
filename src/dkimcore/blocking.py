"""`sign` and `verify`, blocking: the loop that carries questions out and answers in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from dkimcore.keys.signing import sign_side_by_side
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.protocol.message import Header, MessageReader
from dkimcore.protocol.policy import Limits, VerifyPolicy
from dkimcore.protocol.sign import SignatureFields, Signing
from dkimcore.protocol.verify import Verification
from dkimcore.resolvers import broken_promise
from dkimcore.source import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dkimcore.protocol.result import VerifyResults
    from dkimcore.resolvers import DeadlineTxtResolver, TxtResolver
    from dkimcore.signer import Signer
    from dkimcore.source import MessageSource

__all__ = ["sign", "verify"]

_DEFAULT_POLICY = VerifyPolicy()
_DEFAULT_LIMITS = Limits()


def verify(
    message: MessageSource,
    *,
    resolver: TxtResolver | None = None,
    policy: VerifyPolicy | None = None,
    now: int | None = None,
    timeout: float = 10.0,
) -> VerifyResults:
    """Verify a message's DKIM signatures (RFC 6376 section 6).

    A file or chunks are read as they are needed: a message of any size is verified in
    constant memory, and a body that no signature depends on is not read.

    Args:
        message: The message in wire form, with CRLF line ends.
        resolver: Whom to ask for key records; the system's resolver if None.  What it raises
            is ``temperror``.
        policy: Which signatures to accept.
        now: The time of reception, in seconds since 1970; the current time if None.
        timeout: Seconds that all key queries together may take; what is not answered then
            is ``temperror``.

    Returns:
        One result per signature, from the top; empty, with status ``none``, for an unsigned
        message.  Nothing that the message or a key record holds raises.

    Raises:
        TypeError: The message is text instead of octets.
    """
    policy = policy or _DEFAULT_POLICY
    source = chunks(message)
    header, too_large, rest = _read_header(source, policy.limits)
    verification = Verification(
        header,
        now=int(time.time()) if now is None else now,
        policy=policy,
        header_too_large=too_large,
    )
    if verification.queries:
        ask(verification, resolver or _system_resolver(), timeout)
    if verification.wants_body:
        verification.feed(rest)
        for chunk in source:
            if not verification.wants_body:
                break
            verification.feed(chunk)
    return verification.finish()


def sign(
    message: MessageSource,
    signers: Sequence[Signer],
    *,
    now: int | None = None,
) -> SignatureFields:
    """Sign a message (RFC 6376 section 5).

    The message is not changed: what goes in front of it is the `octets` of what is returned.
    Several signers share one pass over the body.

    Args:
        message: The message in its final form, with CRLF line ends; see `to_crlf`.
        signers: Who signs; one field is made for each.
        now: The time of signing, in seconds since 1970; the current time if None.

    Returns:
        One DKIM-Signature field per signer, in their order.

    Raises:
        MessageError: The message cannot be signed honestly; the text says what to change.
        KeyBackendError: A key could not be used; no field is returned then.
        TypeError: The message is text instead of octets.
    """
    source = chunks(message)
    header, too_large, rest = _read_header(source, _DEFAULT_LIMITS)
    signing = Signing(
        header,
        [signer.request() for signer in signers],
        now=int(time.time()) if now is None else now,
        header_too_large=too_large,
    )
    signing.feed(rest)
    for chunk in source:
        signing.feed(chunk)
    tasks = signing.finish()
    data = sign_side_by_side(
        (signer.key, task.header_hash) for signer, task in zip(signers, tasks, strict=True)
    )
    return SignatureFields(task.complete(octets) for task, octets in zip(tasks, data, strict=True))


def _read_header(source: Iterator[bytes], limits: Limits) -> tuple[Header, bool, bytes]:
    """Read up to the empty line; return the header, whether it was cut off, and what follows."""
    reader = MessageReader(max_header_octets=limits.header_octets)
    for chunk in source:
        rest = reader.feed(chunk)
        if reader.header is not None:
            return reader.header, reader.too_large, rest
    return reader.finish(), reader.too_large, b""


def ask(verification: Verification, resolver: TxtResolver, timeout: float) -> bool:
    """Carry a verification's key queries to a resolver and the answers back.

    Args:
        verification: Whose queries.
        resolver: Whom to ask; what it raises is ``temperror``.
        timeout: Seconds that all queries together may take; what is not answered then is
            ``temperror``.

    Returns:
        Whether that was enough time.
    """
    deadline = time.monotonic() + timeout
    # A resolver that takes no timeout bounds its queries itself, and the last one may overrun.
    # (isinstance with that protocol would cost more than parsing the signature.)
    bounded = (
        cast("DeadlineTxtResolver", resolver) if getattr(resolver, "takes_timeout", False) else None
    )
    for name in verification.queries:
        left = deadline - time.monotonic()
        try:
            if left <= 0:
                detail = f"the key queries of this message took over {timeout:g} seconds"
                answer = TxtAnswer(TxtStatus.FAILED, detail=detail)
            elif bounded is not None:
                answer = bounded.lookup_txt(name, timeout=left)
            else:
                answer = resolver.lookup_txt(name)
        except Exception as exc:  # noqa: BLE001 - a resolver that breaks its promise fails closed
            answer = broken_promise(exc)
        verification.answer(name, answer)
    return time.monotonic() < deadline


def answer_at_hand(verification: Verification, resolver: TxtResolver) -> bool:
    """Answer a verification's key queries as far as that takes no waiting.

    Args:
        verification: Whose queries.
        resolver: What it has at hand is taken; it is not asked for anything else.

    Returns:
        Whether all queries were answered; if not, none was, and `ask` has to be called.
    """
    if not verification.queries:
        return True
    peek = getattr(resolver, "peek_txt", None)
    if peek is None:
        return False
    answers = []
    for name in verification.queries:
        answer = peek(name)
        if answer is None:
            return False
        answers.append(answer)
    for name, answer in zip(verification.queries, answers, strict=True):
        verification.answer(name, answer)
    return True


def _system_resolver() -> TxtResolver:
    # dnspython is imported when the first query is asked: who only signs never pays for it.
    from dkimcore.resolvers.system import system_resolver

    return system_resolver()
