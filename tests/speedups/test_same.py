"""The accelerator does what the Python code does, in linear time, and leaves nothing behind."""

import contextlib
import gc
import sys
import tracemalloc
import weakref

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dkimcore.protocol.algorithm import HashAlgorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.hashing import BodyHash
from dkimcore.protocol.speedups import compiled
from tests.lineartime import cost
from tests.properties import strategies
from tests.servers import servers_required
from tests.speedups import same

rfc = pytest.mark.rfc
PIECE = 65_536  # larger chunks are canonicalized in pieces of this many octets

hostile = st.lists(
    st.tuples(st.sampled_from(same.PIECES), st.sampled_from(same.TIMES)), max_size=12
).map(lambda parts: b"".join(piece * times for piece, times in parts))


@pytest.fixture(autouse=True)
def _built():
    if compiled is None:
        if servers_required():
            pytest.fail("the accelerator was not built: pip install -e . with gcc and python3-dev")
        pytest.skip("the accelerator was not built: pip install -e . with gcc and python3-dev")


@rfc("6376", "3.4.3")
@rfc("6376", "3.4.4")
@given(hostile | strategies.bodies, strategies.cuts)
@example(b" \r" + b"\n" * 70, [1, 2, 3, 65])
def test_bodies(octets, cuts):
    same.bodies_are(compiled, octets, cuts)


@rfc("6376", "3.4.1")
@rfc("6376", "3.4.2")
@given(hostile | strategies.headers)
@example(b"\r\r\n\n : \r\r\n\n")
@example(b"\r\r\n \n:")
@example(b" \r\n : \r\n ")
def test_headers(octets):
    same.headers_are(compiled, octets)


# What is looked at one, two or three octets behind a block of 64.
BORDERS = [
    *(b"  ", b" \t", b" a", b" \r\n", b" \r", b" \ra", b"\r\n", b"\r\n ", b"\r\n a", b"\n\r\n"),
    *(b"\t\r\n\t:", b"\r\n\r\n", b" \r\n \r\n ", b"\r\r\n", b"\n", b"a:\r\n \r\n"),
]


@pytest.mark.parametrize("border", BORDERS)
def test_what_lies_across_the_border_of_a_block(border):
    for size in range(56, 72):
        for behind in (b"", b"x", b" ", b"x" * 70):
            octets = b"x" * size + border + behind
            same.bodies_are(compiled, octets, range(size - 2, size + 5))
            same.headers_are(compiled, octets)
            same.headers_are(compiled, b"N: " + octets + b"\r\nNo: 2")


@pytest.mark.parametrize("border", BORDERS)
def test_what_lies_across_the_border_of_a_piece(border):
    for size in range(PIECE - 4, PIECE + 2):
        same.bodies_are(compiled, b"x" * size + border + b"y", [size])
        same.bodies_are(compiled, border * (PIECE // len(border)) + border, [])


@pytest.mark.parametrize("canonicalization", list(Canonicalization))
def test_a_chunk_without_anything_to_change_is_not_copied(canonicalization):
    given = []
    chunk = b"base64base64\r\n" * 1000
    compiled.BodyCanonicalizer(canonicalization, given.append).feed(chunk)
    assert given[0] is chunk


@pytest.mark.parametrize("canonicalization", list(Canonicalization))
def test_empty_lines_are_given_out_in_pieces(canonicalization):
    given = []
    canonicalizer = compiled.BodyCanonicalizer(canonicalization, given.append)
    canonicalizer.feed(b"a" + b"\r\n" * 100_000)
    canonicalizer.feed(b"b")
    assert b"".join(given) == b"a" + b"\r\n" * 100_000 + b"b"
    assert max(map(len, given[1:])) <= PIECE


@pytest.mark.parametrize("wrong", ["text", 1, None, bytearray(b"a"), memoryview(b"a")])
def test_only_bytes_are_taken(wrong):
    canonicalizer = compiled.BodyCanonicalizer("relaxed", len)
    for call in (
        canonicalizer.feed,
        compiled.parse_fields,
        compiled.split_fields,
        compiled.relax_field,
    ):
        with pytest.raises(TypeError):
            call(wrong)


@pytest.mark.parametrize("arguments", [(), ("relaxed",), (b"relaxed", len), ("relaxed", len, 1)])
def test_a_canonicalizer_takes_a_name_and_a_sink(arguments):
    with pytest.raises(TypeError):
        compiled.BodyCanonicalizer(*arguments)


@pytest.mark.parametrize("chunks", [[b"a  b"], [b"a\r\n\r\n\r\n", b"b"], [b"a\r", b"b"], [b"a"]])
def test_what_a_sink_raises_is_passed_on(chunks):
    def sink(octets):
        raise ConnectionError

    canonicalizer = compiled.BodyCanonicalizer("relaxed", sink)
    *first, last = chunks
    for chunk in first:
        with contextlib.suppress(ConnectionError):
            canonicalizer.feed(chunk)
    with pytest.raises(ConnectionError):
        canonicalizer.feed(last)
    with pytest.raises(ConnectionError):
        compiled.BodyCanonicalizer("simple", sink).finish()


def test_a_sink_may_feed_the_canonicalizer_that_calls_it():
    given = []

    def sink(octets):
        given.append(octets)
        if len(given) < 5:
            canonicalizer.feed(b"x  y\r\n\r\n \r")

    canonicalizer = compiled.BodyCanonicalizer("relaxed", sink)
    canonicalizer.feed(b"a  b\r\n\r\n")
    canonicalizer.finish()
    assert len(given) > 4


def test_a_body_hash_is_freed_when_it_is_finished_and_dropped():
    """Without the collector: a milter would have it run all the time."""

    class Watched(BodyHash):
        pass

    gc.collect()
    gc.disable()
    try:
        body_hash = Watched(Canonicalization.RELAXED, HashAlgorithm.SHA256)
        watch = weakref.ref(body_hash)
        body_hash.feed(b"a  b")
        body_hash.finish()
        del body_hash
        assert watch() is None
    finally:
        gc.enable()


def test_the_collector_finds_a_canonicalizer_that_was_never_finished():
    class Sink(list):
        pass

    sink = Sink()
    sink.append(compiled.BodyCanonicalizer("relaxed", sink.append))
    watch = weakref.ref(sink)
    del sink
    gc.collect()
    assert watch() is None


def work(octets):
    given = []
    canonicalizer = compiled.BodyCanonicalizer("relaxed", given.append)
    for chunk in (octets, b"\r\n\r\n", b"x \r", octets, b"  "):
        canonicalizer.feed(chunk)
    canonicalizer.finish()
    compiled.parse_fields(octets)
    compiled.split_fields(octets)
    compiled.relax_field(octets)
    for call in (compiled.parse_fields, canonicalizer.feed, compiled.BodyCanonicalizer):
        with pytest.raises(TypeError):
            call(None)


def test_nothing_is_left_behind():
    octets = b"A: x\r\nB :  y\r\n z\r\nA:" + b"a  b " * 2000
    work(octets)
    references = sys.getrefcount(octets), sys.getrefcount(compiled.BodyCanonicalizer)
    tracemalloc.start()
    try:
        work(octets)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            work(octets)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < len(octets)  # fifty runs, not one of which kept it
    assert (sys.getrefcount(octets), sys.getrefcount(compiled.BodyCanonicalizer)) == references


def body(octets):
    canonicalizer = compiled.BodyCanonicalizer("relaxed", len)
    canonicalizer.feed(octets)
    canonicalizer.finish()


@pytest.mark.alone
@rfc("6376", "3.4.4")
@pytest.mark.parametrize(
    "piece",
    [
        *(b" ", b"\t", b"\r", b"\n", b"\r\n", b"a", b"a ", b"a  ", b" \r\n", b" \r", b"\n\r"),
        *(b"\r\n ", b"a  \r\n", b"A:\r\n", b":", b"x\n"),
    ],
)
@pytest.mark.parametrize("run", [body, "parse_fields", "split_fields", "relax_field"])
def test_work_is_linear(run, piece):
    """Statement 70: four times the octets take less than nine times as long."""
    call = body if run is body else getattr(compiled, run)
    size = 2_000_000 if run is body else 200_000
    small, large = (piece * (octets // len(piece)) + b"x" for octets in (size, 4 * size))
    assert any(cost(call, large) < 9 * cost(call, small) for _ in range(3))
