"""Runs an accelerator from a file through much that is hostile.

``python -m tests.speedups.exercise FILE RUNS``, under sanitizers, which end the process at the
first fault.  With CPython's own ``_testcapi``, each allocation is made to fail once, too.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import random
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["main"]

_EXTENSION = "dkimcore._speedups"


def _load(path: str) -> ModuleType:
    """Load the file as the library's extension, before the library looks for its own."""
    loader = importlib.machinery.ExtensionFileLoader(_EXTENSION, path)
    spec = importlib.util.spec_from_file_location(_EXTENSION, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def main() -> None:
    """Exercise it; what is wrong raises, or is a sanitizer's to find."""
    path, runs = sys.argv[1], int(sys.argv[2])
    compiled = _load(path)
    from tests.properties.choices import OctetChoices
    from tests.speedups import same

    source = random.Random(1)
    for run in range(runs):
        choices = OctetChoices(source.randbytes(60))
        octets = same.hostile(choices) if run % 4 else source.randbytes(source.randrange(300))
        cuts = [source.randrange(1 << 16) for _ in range(source.randrange(9))]
        same.bodies_are(compiled, octets, cuts)
        same.headers_are(compiled, octets)
    for piece in (b" ", b"a ", b"\r\n", b" \r\n", b"\r", b"a  ", b"\t", b"x"):
        same.bodies_are(compiled, piece * (200_000 // len(piece)), [65_535, 65_537, 131_072])
    _refused(compiled)
    print("memory errors:", _without_memory(compiled))


def _refused(compiled: ModuleType) -> None:
    """What is no octets, a sink that raises, and canonicalizers that only the collector finds."""
    canonicalizer = compiled.BodyCanonicalizer("relaxed", len)
    for call in (
        canonicalizer.feed,
        compiled.BodyCanonicalizer,
        compiled.parse_fields,
        compiled.split_fields,
        compiled.relax_field,
    ):
        for wrong in (None, "text", bytearray(b"a")):
            with contextlib.suppress(TypeError):
                call(wrong)
                raise AssertionError(f"{call} takes {wrong!r}")
    for chunks in ([b"x  y" * 99_999], [b"a\r\n\r\n", b"b"], [b"a \r"]):
        sink: list[object] = []
        canonicalizer = compiled.BodyCanonicalizer("relaxed", lambda octets: octets / 0)
        sink.append(compiled.BodyCanonicalizer("simple", sink.append))
        sink.append(sink)
        with contextlib.suppress(TypeError):
            for chunk in chunks:
                with contextlib.suppress(TypeError):
                    canonicalizer.feed(chunk)
            canonicalizer.finish()
    del sink, canonicalizer
    gc.collect()


def _without_memory(compiled: ModuleType) -> int:
    """Let each allocation of each call fail; what comes is an error or the right answer."""
    try:
        fail_after = importlib.import_module("_testcapi").set_nomemory
        give_back = importlib.import_module("_testcapi").remove_mem_hooks
    except (ImportError, AttributeError):
        return 0
    header = b"A: x\r\nB :  y\r\n z\r\nA:" + b"a  b " * 200
    failed = 0
    for call in (
        lambda: compiled.parse_fields(header),
        lambda: compiled.split_fields(header),
        lambda: compiled.relax_field(header),
        lambda: _body(compiled, header),
    ):
        expected = call()
        for number in range(1, 60):
            made = _call(call, number, fail_after, give_back)
            failed += made is None
            assert made is None or made == expected
    return failed


def _call(
    call: Callable[[], object],
    number: int,
    fail_after: Callable[[int, int], None],
    give_back: Callable[[], None],
) -> object:
    fail_after(number, number + 1)
    try:
        return call()
    except MemoryError:
        return None
    finally:
        give_back()


def _body(compiled: ModuleType, octets: bytes) -> bytes:
    given: list[bytes] = []
    canonicalizer = compiled.BodyCanonicalizer("relaxed", given.append)
    for chunk in (octets, b"\r\n\r\n", b"\r\n", b"x \r", octets):
        canonicalizer.feed(chunk)
    canonicalizer.finish()
    return b"".join(given)


if __name__ == "__main__":
    main()
