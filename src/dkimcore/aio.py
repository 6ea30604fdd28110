"""`sign` and `verify` for asyncio: key queries run side by side while the body streams."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from dkimcore.keys.stored import RemoteStoredKey
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.protocol.message import Header, MessageReader
from dkimcore.protocol.policy import Limits, VerifyPolicy
from dkimcore.protocol.sign import SignatureFields, Signing
from dkimcore.protocol.verify import Verification
from dkimcore.resolvers import broken_promise
from dkimcore.source import async_chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from dkimcore.keys import SigningKey
    from dkimcore.protocol.result import VerifyResults
    from dkimcore.resolvers import AsyncTxtResolver
    from dkimcore.signer import Signer
    from dkimcore.source import AsyncMessageSource

__all__ = ["sign", "verify"]

_DEFAULT_POLICY = VerifyPolicy()
_DEFAULT_LIMITS = Limits()


async def verify(
    message: AsyncMessageSource,
    *,
    resolver: AsyncTxtResolver | None = None,
    policy: VerifyPolicy | None = None,
    now: int | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109 - bounds the key queries alone, not the message
) -> VerifyResults:
    """Verify a message's DKIM signatures (RFC 6376 section 6).

    As `dkimcore.verify`, with all key queries under way at once while the body is read.

    Args:
        message: The message in wire form, also as chunks that are awaited.
        resolver: Whom to ask for key records; the system's resolver if None.
        policy: Which signatures to accept.
        now: The time of reception, in seconds since 1970; the current time if None.
        timeout: Seconds that all key queries together may take.

    Returns:
        One result per signature, from the top; empty for an unsigned message.

    Raises:
        TypeError: The message is text instead of octets.
        Exception: Whatever the message's source raises, as it is.
    """
    policy = policy or _DEFAULT_POLICY
    source = async_chunks(message)
    header, too_large, rest = await _read_header(source, policy.limits)
    verification = Verification(
        header,
        now=int(time.time()) if now is None else now,
        policy=policy,
        header_too_large=too_large,
    )
    if verification.queries:
        resolver = resolver or _system_resolver()
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for name in verification.queries:
                group.create_task(_ask(verification, resolver, name, timeout))
            if verification.wants_body:
                await _read_body(verification, rest, source)
    except BaseExceptionGroup as failures:
        failure = failures.exceptions[0]
    if failure is not None:
        raise failure  # by the caller's own source, who expects it as it was, with its cause
    return verification.finish()


async def sign(
    message: AsyncMessageSource,
    signers: Sequence[Signer],
    *,
    now: int | None = None,
) -> SignatureFields:
    """Sign a message (RFC 6376 section 5).

    As `dkimcore.sign`; keys are used side by side.  One that is kept elsewhere takes no thread
    while it is waited for, the others are called in threads.

    Args:
        message: The message in its final form, also as chunks that are awaited.
        signers: Who signs; one field is made for each.
        now: The time of signing, in seconds since 1970; the current time if None.

    Returns:
        One DKIM-Signature field per signer, in their order.

    Raises:
        MessageError: The message cannot be signed honestly; the text says what to change.
        KeyBackendError: A key could not be used; no field is returned then.
        TypeError: The message is text instead of octets.
    """
    source = async_chunks(message)
    header, too_large, rest = await _read_header(source, _DEFAULT_LIMITS)
    signing = Signing(
        header,
        [signer.request() for signer in signers],
        now=int(time.time()) if now is None else now,
        header_too_large=too_large,
    )
    signing.feed(rest)
    async for chunk in source:
        signing.feed(chunk)
        await asyncio.sleep(0)
    tasks = signing.finish()
    data = await asyncio.gather(
        *(
            _signature(signer.key, task.header_hash)
            for signer, task in zip(signers, tasks, strict=True)
        )
    )
    return SignatureFields(task.complete(octets) for task, octets in zip(tasks, data, strict=True))


async def _signature(key: SigningKey, digest: bytes) -> bytes:
    if not isinstance(key, RemoteStoredKey):
        return await asyncio.to_thread(key.sign_digest, digest)
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    pending = key.start(digest)

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    pending.when_done(tell)
    await done.wait()
    return pending.result()


async def _read_header(source: AsyncIterator[bytes], limits: Limits) -> tuple[Header, bool, bytes]:
    reader = MessageReader(max_header_octets=limits.header_octets)
    async for chunk in source:
        rest = reader.feed(chunk)
        if reader.header is not None:
            return reader.header, reader.too_large, rest
    return reader.finish(), reader.too_large, b""


async def _read_body(verification: Verification, rest: bytes, source: AsyncIterator[bytes]) -> None:
    verification.feed(rest)
    await asyncio.sleep(0)  # lets the queries start before the body is worked on
    async for chunk in source:
        if not verification.wants_body:
            break
        verification.feed(chunk)
        await asyncio.sleep(0)


async def _ask(
    verification: Verification, resolver: AsyncTxtResolver | None, name: str, seconds: float
) -> None:
    assert resolver is not None  # noqa: S101 - for the type checker; set when there are queries
    try:
        async with asyncio.timeout(seconds):
            answer = await resolver.lookup_txt(name)
    except TimeoutError:
        answer = TxtAnswer(TxtStatus.FAILED, detail=f"no answer within {seconds:g} seconds")
    except Exception as exc:  # noqa: BLE001 - a resolver that breaks its promise fails closed
        answer = broken_promise(exc)
    verification.answer(name, answer)


def _system_resolver() -> AsyncTxtResolver:
    # As in `blocking`: dnspython is imported when the first query is asked.
    from dkimcore.resolvers.system import async_system_resolver

    return async_system_resolver()
