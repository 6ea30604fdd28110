"""The RFCs' own examples, through both front ends, whole and octet by octet."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import dkimcore
import dkimcore.aio
from dkimcore.protocol import canonical
from dkimcore.protocol.authres import claimed_authserv_id, forged_positions
from dkimcore.protocol.canonical import Canonicalization, canonicalize_field
from dkimcore.protocol.message import Header, MessageReader
from tests.cases.judging import AsyncZoneResolver, ZoneResolver

pytestmark = pytest.mark.usefixtures("implementation")

FOLDER = Path(__file__).parent / "vectors"
VECTORS = sorted(path.parent for path in FOLDER.glob("*/message.eml"))


class Vector:
    """One folder, read."""

    def __init__(self, folder: Path) -> None:
        self.message = (folder / "message.eml").read_bytes()
        self.expected = json.loads((folder / "expected.json").read_text("utf-8"))
        names = json.loads((folder / "dns.json").read_text("utf-8"))
        self.zone = {name: tuple(map(str.encode, records)) for name, records in names.items()}
        self.now = int(self.expected["now"])

    def check(self, results: dkimcore.VerifyResults) -> None:
        """Assert that the results are the expected ones."""
        assert [
            {
                "status": str(result.status),
                "domain": _ascii(result.signature.domain),
                "selector": _ascii(result.signature.selector),
                "algorithm": str(result.signature.algorithm),
                "cause": result.cause and result.cause.phrase,
            }
            for result in results
            if result.signature is not None
        ] == self.expected["results"]


def _ascii(name: dkimcore.DomainName | dkimcore.Selector) -> str:
    return name.ascii


def _parameters() -> list[object]:
    parameters = []
    for folder in VECTORS:
        rfc, _, section = folder.name.removeprefix("rfc").partition("-")
        section = section.partition("-")[0]
        section = section.upper()[0] + "." + section[1:] if section[0] == "a" else section
        mark = pytest.mark.rfc(rfc, section)
        parameters.append(pytest.param(Vector(folder), id=folder.name, marks=mark))
    return parameters


@pytest.fixture(params=_parameters())
def vector(request: pytest.FixtureRequest) -> Vector:
    return request.param


def test_every_rfc_is_there() -> None:
    assert {folder.name.partition("-")[0] for folder in VECTORS} == {
        "rfc6376",
        "rfc8463",
        "rfc8616",
    }


def test_blocking_whole(vector: Vector) -> None:
    resolver = ZoneResolver(vector.zone)
    vector.check(dkimcore.verify(vector.message, resolver=resolver, now=vector.now))
    file = io.BytesIO(vector.message)
    vector.check(dkimcore.verify(file, resolver=resolver, now=vector.now))


def test_blocking_octet_by_octet(vector: Vector) -> None:
    octets = (vector.message[n : n + 1] for n in range(len(vector.message)))
    vector.check(dkimcore.verify(octets, resolver=ZoneResolver(vector.zone), now=vector.now))


def test_asyncio_whole(vector: Vector) -> None:
    resolver = AsyncZoneResolver(vector.zone)
    vector.check(
        asyncio.run(dkimcore.aio.verify(vector.message, resolver=resolver, now=vector.now))
    )


def test_asyncio_octet_by_octet(vector: Vector) -> None:
    async def octets() -> AsyncIterator[bytes]:
        for n in range(len(vector.message)):
            yield vector.message[n : n + 1]

    resolver = AsyncZoneResolver(vector.zone)
    vector.check(asyncio.run(dkimcore.aio.verify(octets(), resolver=resolver, now=vector.now)))


@pytest.mark.parametrize(
    "folder", [path for path in VECTORS if "3.4.5" in path.name], ids=lambda path: path.name
)
@pytest.mark.rfc("6376", "3.4.5")
def test_canonical_text_is_what_the_rfc_prints(folder: Path) -> None:
    vector = Vector(folder)
    expected = vector.expected["canonical"]
    reader = MessageReader(max_header_octets=65_536)
    body = reader.feed(vector.message)
    assert reader.header is not None
    way = Canonicalization(expected["header"])
    # The DKIM-Signature above and the From below were added: the RFC's two are between.
    printed = [field.encode().removesuffix(b"\r\n") for field in expected["fields"]]
    assert list(reader.header.canonical(way)[1:3]) == printed
    assert [canonicalize_field(reader.header[n].raw, way) for n in (1, 2)] == printed
    text: list[bytes] = []
    canonicalizer = canonical.BodyCanonicalizer(Canonicalization(expected["body"]), text.append)
    canonicalizer.feed(body)
    canonicalizer.finish()
    assert b"".join(text) == expected["text"].encode()


AUTHRES = json.loads((FOLDER / "rfc8601-b" / "fields.json").read_text("utf-8"))


@pytest.mark.parametrize("example", AUTHRES, ids=lambda example: example["section"])
@pytest.mark.rfc("8601", "B")
def test_authentication_results_of_appendix_b_are_recognised(example: dict[str, str]) -> None:
    assert claimed_authserv_id(example["value"].encode()) == example["authserv_id"]
    field = b"Authentication-Results:" + example["value"].encode()
    header = Header(b"From: joe@example.com\r\n" + field)
    assert forged_positions(header, example["authserv_id"].upper()) == (1,)
    assert forged_positions(header, "mx.example.edu") == ()
