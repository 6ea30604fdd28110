"""Ways to use the public API which a type checker must accept; checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

import dkimcore
import dkimcore.aio
from dkimcore import (
    Algorithm,
    Auid,
    Cause,
    DomainName,
    HeaderField,
    KeyContext,
    KeyRecord,
    KeyStore,
    PublicKey,
    Selector,
    Signature,
    SignatureResult,
    Signer,
    SigningKey,
    SigningProfile,
    Status,
    TxtAnswer,
    TxtResolver,
    TxtStatus,
    VerifyPolicy,
    VerifyResults,
)
from dkimcore.keys.uri import KeyUri


def verify_needs_nothing_but_the_message(octets: bytes, path: Path) -> None:
    assert_type(dkimcore.verify(octets), VerifyResults)
    with path.open("rb") as file:
        dkimcore.verify(file)

    def chunks() -> Iterator[bytes]:
        yield octets

    dkimcore.verify(chunks(), policy=VerifyPolicy(), now=0)


def results_are_typed(result: SignatureResult) -> None:
    assert_type(result.status, Status)
    assert_type(result.cause, Cause | None)
    assert_type(result.signature, Signature | None)
    assert_type(result.key_record, KeyRecord | None)
    if result.signature is not None:
        assert_type(result.signature.domain, DomainName)
        assert_type(result.signature.selector, Selector)


def results_are_a_sequence(octets: bytes) -> None:
    for result in dkimcore.verify(octets):
        assert_type(result, SignatureResult)


def signing_gives_fields(octets: bytes) -> bytes:
    with KeyStore() as keys:
        signer = Signer(
            domain=DomainName.parse("example.com"),
            selector=Selector.parse("s1"),
            key=keys.get("file:/etc/dkim/s1.pem"),
            auid=Auid.parse("@mail.example.com"),
            profile=SigningProfile(),
        )
        fields = dkimcore.sign(octets, [signer])
    assert_type(fields[0], HeaderField)
    return fields[0].raw + b"\r\n" + octets


async def asyncio_has_the_same(octets: bytes, signer: Signer) -> None:
    assert_type(await dkimcore.aio.verify(octets), VerifyResults)
    fields = await dkimcore.aio.sign(octets, [signer])
    assert_type(fields[0], HeaderField)

    async def chunks() -> AsyncIterator[bytes]:
        yield octets

    await dkimcore.aio.verify(chunks())


class Resolver:
    """A resolver is any object with the method."""

    def lookup_txt(self, name: str) -> TxtAnswer:
        return TxtAnswer(status=TxtStatus.NO_RECORD)


class Key:
    """A key is any object with these; it inherits nothing from us."""

    def __init__(self, public_key: PublicKey) -> None:
        self.public_key = public_key
        self.algorithm = Algorithm.RSA_SHA256

    def sign_digest(self, digest: bytes) -> bytes:
        return digest


def open_key(uri: KeyUri, context: KeyContext) -> SigningKey:
    raise dkimcore.KeyNotFound("there is no such key", uri=str(uri))


RESOLVER: TxtResolver = Resolver()
KEY: type[SigningKey] = Key
