"""Invariants 4 to 7: what is signed passes, nothing else does, whoever carries it."""

import asyncio
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dkimcore
import dkimcore.aio
from dkimcore.errors import MessageError
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from tests.properties import hostile, invariants, signing, strategies
from tests.properties.choices import OctetChoices
from tests.protocol import material

rfc = pytest.mark.rfc


@rfc("6376", "5")
@rfc("6376", "6")
@given(strategies.honest_messages, strategies.orders)
def test_what_is_signed_passes(message, order):
    """Invariant 4: every algorithm, canonicalization and selection of fields."""
    signing.sign(message, order)


@rfc("6376", "6.1.3")
@given(
    strategies.honest_messages,
    strategies.orders,
    st.lists(strategies.changes, min_size=1, max_size=6),
)
def test_a_change_shows(message, order, changes):
    """Invariant 5: unless canonicalization hides it from the naive model, too."""
    signed = signing.sign(message, order)
    for change in changes:
        invariants.a_changed_message_passes_only_if_canonicalization_hides_the_change(
            signed, change(signed.octets)
        )


@rfc("6376", "6.1.3")
@pytest.mark.parametrize("canonicalization", list(invariants.Canonicalization))
def test_each_single_octet_counts(canonicalization):
    """Invariant 5 for one message, at every place of it."""
    profile = material.SigningProfile(
        header_canonicalization=canonicalization, body_canonicalization=canonicalization
    )
    signed = invariants.SignedMessage(
        b"From: a@example.com\r\nSubject:  a b\r\n c\r\n\r\na  b\r\n\r\nc \r\n",
        material.ed25519(),
        domain=material.DOMAIN,
        selector=material.SELECTOR,
        profile=profile,
    )
    octets = signed.octets
    for place in range(len(octets)):
        before, octet, after = octets[:place], octets[place], octets[place + 1 :]
        for changed in (
            before + after,
            before + bytes([octet ^ 1]) + after,
            before + bytes([octet ^ 0x20]) + after,
            before + b" " + octets[place:],
            before + b"x" + octets[place:],
            before + b"\r\n" + octets[place:],
        ):
            invariants.a_changed_message_passes_only_if_canonicalization_hides_the_change(
                signed, changed
            )


@rfc("6376", "8.8")
@rfc("6376", "8.9")
@given(strategies.messages, st.lists(strategies.answers, min_size=5, max_size=5), strategies.cuts)
def test_what_nobody_signed_never_raises_and_never_passes(message, answers, cuts):
    """Invariants 1 and 6: whatever the DNS says, in any order, in any chunks."""
    order = iter(answers)
    invariants.nothing_raises_and_nothing_passes(message, lambda _: next(order), cuts)


class Answers:
    """Gives the same answer to every query, to both front ends."""

    def __init__(self, answer: TxtAnswer) -> None:
        self.answer = answer

    def lookup_txt(self, name: str) -> TxtAnswer:
        return self.answer


class AsyncAnswers(Answers):
    async def lookup_txt(self, name: str) -> TxtAnswer:
        await asyncio.sleep(0)
        return self.answer


def both(message, answer, cuts):
    """What both front ends make of a message that comes in chunks."""
    chunks = invariants.pieces(message, cuts)
    blocking = dkimcore.verify(iter(chunks), resolver=Answers(answer), now=material.NOW)
    asynchronous = asyncio.run(
        dkimcore.aio.verify(iter(chunks), resolver=AsyncAnswers(answer), now=material.NOW)
    )
    return blocking, asynchronous


@given(strategies.messages, strategies.answers, strategies.cuts)
def test_blocking_and_asyncio_agree_on_hostile_mail(message, answer, cuts):
    """Invariant 7."""
    blocking, asynchronous = both(message, answer, cuts)
    assert blocking == asynchronous
    assert blocking == dkimcore.verify(message, resolver=Answers(answer), now=material.NOW)
    assert not blocking.passed


@given(strategies.honest_messages, strategies.orders, strategies.cuts)
def test_blocking_and_asyncio_agree_on_signed_mail(message, order, cuts):
    """Invariant 7: on the fields that they make, too."""
    signer = dkimcore.Signer(
        domain=order.domain,
        selector=order.selector,
        key=order.key,
        auid=order.auid,
        profile=order.profile,
    )
    chunks = invariants.pieces(message, cuts)
    try:
        fields = dkimcore.sign(iter(chunks), [signer, signer], now=material.NOW)
    except MessageError:
        with pytest.raises(MessageError):
            asyncio.run(dkimcore.aio.sign(iter(chunks), [signer], now=material.NOW))
        return
    again = asyncio.run(dkimcore.aio.sign(iter(chunks), [signer, signer], now=material.NOW))
    assert fields == again
    signed = fields[0].raw + b"\r\n" + message
    answer = TxtAnswer(TxtStatus.FOUND, (order.key.record(),))
    blocking, asynchronous = both(signed, answer, cuts)
    assert blocking == asynchronous
    assert blocking.passed or order.profile.body_length


@pytest.mark.parametrize("seeds", [400])
def test_the_hostile_grammar_is_hostile(seeds):
    """Some of it parses and some does not, or the properties would show nothing."""
    parsed = 0
    for seed in range(seeds):
        data = b"".join(
            hashlib.sha256(bytes([seed % 256, seed >> 8, n])).digest() for n in range(20)
        )
        try:
            invariants.Signature.parse(hostile.signature_value(OctetChoices(data)))
        except invariants.Unusable:
            continue
        parsed += 1
    assert seeds / 10 < parsed < seeds * 9 / 10
