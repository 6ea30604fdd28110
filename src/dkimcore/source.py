"""Messages as the front ends take them: octets, a binary file, or chunks."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Protocol

__all__ = ["AsyncMessageSource", "MessageSource", "Readable", "async_chunks", "chunks"]

# Small enough to stay in a processor's second cache with what is made of it, large enough
# that the work per chunk does not count; see benchmarks/.
CHUNK = 65_536


class Readable(Protocol):
    """A file opened for reading octets."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many octets; none at the end."""
        ...


MessageSource = bytes | bytearray | memoryview | Readable | Iterable[bytes]
"""A whole message, a binary file at its start, or its octets in chunks of any size."""

AsyncMessageSource = MessageSource | AsyncIterable[bytes]
"""What asyncio's front end takes: also chunks that are awaited."""


def chunks(source: MessageSource) -> Iterator[bytes]:
    """Give out a message's octets in chunks.

    Raises:
        TypeError: The source is text; messages are octets.
    """
    if isinstance(source, bytes):
        return _slices(source) if len(source) > CHUNK else iter((source,))
    if isinstance(source, bytearray | memoryview):
        return _slices(source)
    if isinstance(source, str):
        raise TypeError("a message is octets: open files with 'rb', encode text yourself")
    if hasattr(source, "read"):
        return map(_octets, iter(lambda: source.read(CHUNK), b""))
    return map(_octets, source)


def _octets(chunk: bytes | bytearray | memoryview) -> bytes:
    # Buffers of others are welcome; memoryview refuses text and numbers, where bytes() does not.
    return chunk if isinstance(chunk, bytes) else bytes(memoryview(chunk))


def _slices(octets: bytes | bytearray | memoryview) -> Iterator[bytes]:
    view = memoryview(octets)
    return (bytes(view[start : start + CHUNK]) for start in range(0, len(view), CHUNK))


async def async_chunks(source: AsyncMessageSource) -> AsyncIterator[bytes]:
    """Give out a message's octets in chunks, awaiting them where the source is asynchronous.

    Raises:
        TypeError: The source is text; messages are octets.
    """
    if isinstance(source, AsyncIterable):
        async for chunk in source:
            yield _octets(chunk)
    else:
        for chunk in chunks(source):
            yield chunk
