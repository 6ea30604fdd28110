"""dkimcore against the case set: both front ends, whole; a part of it octet by octet."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

import dkimcore
import dkimcore.aio

from .catalogue import all_cases
from .judging import AsyncZoneResolver, ZoneResolver, complaints, policy_of
from .model import Case

# Octet by octet is slow in Python: every case that is small, up to this many octets.
_SMALL = 4000
# RFC 6376 section 8.8: a hostile message must not keep a verifier busy.  The slowest takes about
# 1 s here; a quadratic step in any of them takes minutes.
_SECONDS = 20.0


def _parameters(cases: tuple[Case, ...]) -> list[object]:
    return [
        pytest.param(
            case,
            id=f"{case.statement}-{case.name}",
            marks=pytest.mark.rfc(*case.section.split(" ", 1)),
        )
        for case in cases
    ]


def test_the_set_is_large_and_covers_the_statements() -> None:
    cases = all_cases()
    assert len(cases) >= 320
    assert sum(case.must for case in cases) >= 300
    covered = {case.statement for case in cases}
    # Signers' duties (115 to 130) are tests/cases/test_signer_cases.py's; the numbers left out
    # beside them say something of an interface, of local policy or of interpretation only.
    interface = {49, 67, 69, 76, 106, 108, 110, 111, 114, 131, 135, *range(115, 131)}
    assert set(range(1, 137)) - covered <= interface


@pytest.mark.parametrize("case", _parameters(all_cases()))
def test_both_front_ends_say_the_right_words(case: Case) -> None:
    message, policy = case.make(), policy_of(case)
    began = time.monotonic()
    blocking = dkimcore.verify(
        message, resolver=ZoneResolver(case.zone), policy=policy, now=case.now
    )
    assert time.monotonic() - began < _SECONDS
    assert complaints(case, blocking, blocking.status) == [], case.why
    awaited = asyncio.run(
        dkimcore.aio.verify(
            message, resolver=AsyncZoneResolver(case.zone), policy=policy, now=case.now
        )
    )
    assert [(r.status, r.cause) for r in awaited] == [(r.status, r.cause) for r in blocking]


@pytest.mark.parametrize(
    "case", _parameters(tuple(case for case in all_cases() if not case.heavy)[::7])
)
def test_octet_by_octet_says_the_same(case: Case) -> None:
    message, policy = case.make(), policy_of(case)
    if len(message) > _SMALL:
        message = message[:_SMALL]
    whole = dkimcore.verify(message, resolver=ZoneResolver(case.zone), policy=policy, now=case.now)
    octets = [message[n : n + 1] for n in range(len(message))]
    single = dkimcore.verify(octets, resolver=ZoneResolver(case.zone), policy=policy, now=case.now)
    awaited = asyncio.run(
        dkimcore.aio.verify(
            _one_by_one(octets),
            resolver=AsyncZoneResolver(case.zone),
            policy=policy,
            now=case.now,
        )
    )
    for results in (single, awaited):
        assert [(r.status, r.cause) for r in results] == [(r.status, r.cause) for r in whole]


async def _one_by_one(octets: list[bytes]) -> AsyncIterator[bytes]:
    for octet in octets:
        yield octet
