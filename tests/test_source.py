"""Messages as octets, files and chunks."""

import asyncio
import io

import pytest

from dkimcore.source import CHUNK, async_chunks, chunks

LONG = bytes(range(256)) * (CHUNK // 128) + b"end"


def collect(source):
    async def read():
        return [chunk async for chunk in async_chunks(source)]

    return asyncio.run(read())


async def awaited(*pieces):
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


@pytest.mark.parametrize("octets", [b"", b"x", LONG[:CHUNK], LONG], ids=len)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, lambda x: [x]])
def test_every_source_gives_the_same_octets(kind, octets):
    given = list(chunks(kind(octets)))
    assert b"".join(given) == octets
    assert all(type(chunk) is bytes for chunk in given)
    assert collect(kind(octets)) == given


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_no_chunk_is_large(kind):
    assert max(map(len, chunks(kind(LONG)))) <= CHUNK


def test_short_octets_are_not_copied():
    octets = b"From: a"
    (chunk,) = chunks(octets)
    assert chunk is octets


def test_a_file_is_read_from_where_it_stands_and_not_before_it_is_needed():
    file = io.BytesIO(b"skip" + LONG)
    file.seek(4)
    reading = chunks(file)
    assert file.tell() == 4
    assert next(reading) == LONG[:CHUNK]
    assert file.tell() == 4 + CHUNK


def test_chunks_are_handed_on_as_they_are():
    assert list(chunks(iter([b"a", b"", b"b"]))) == [b"a", b"", b"b"]
    assert collect(awaited(b"a", b"", b"b")) == [b"a", b"", b"b"]


@pytest.mark.parametrize("text", ["", "From: a\r\n\r\n"])
def test_text_is_refused_with_the_cure(text):
    with pytest.raises(TypeError, match="'rb'"):
        chunks(text)
    with pytest.raises(TypeError, match="'rb'"):
        collect(text)


def test_chunks_may_be_any_buffer_and_never_text():
    assert list(chunks([bytearray(b"a"), memoryview(b"b")])) == [b"a", b"b"]
    assert collect(awaited(memoryview(b"a"))) == [b"a"]
    for wrong in (["a"], [1], io.StringIO("a")):
        with pytest.raises(TypeError):
            list(chunks(wrong))
