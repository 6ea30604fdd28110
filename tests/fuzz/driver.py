"""What the fuzz targets share: starting atheris, seeds, and counting.

A target is run as ``python -m tests.fuzz.fuzz_verify -runs=1000000``; all options are
libFuzzer's. New inputs go to the folder named on the command line, or nowhere; the
seeds of this folder are always read.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FOLDER", "instrument", "run"]

FOLDER = Path(__file__).parent


def instrument() -> atheris.instrument_imports:
    """A context in which the library is imported with coverage of its branches."""
    return atheris.instrument_imports(include=["dkimcore"])


def run(name: str, check: Callable[[bytes], object], *, octets: int) -> None:
    """Run a target until libFuzzer has had enough; never returns.

    Args:
        name: Names the folder of seeds.
        check: Asserts the invariants for some octets; what it raises is a finding.
        octets: The longest input to try.
    """
    started = time.monotonic()
    executions = 0

    def counted(data: bytes) -> None:
        nonlocal executions
        executions += 1
        check(data)

    def report() -> None:
        seconds = time.monotonic() - started
        print(f"{name}: {executions} executions in {seconds:.0f} s", file=sys.stderr, flush=True)

    options = [
        f"-max_len={octets}",
        f"-dict={FOLDER / 'dkim.dict'}",
        "-len_control=0",  # long inputs at once: short ones are dull here
        "-timeout=20",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={tempfile.gettempdir()}/{name}-",
    ]
    given = sys.argv[1:]
    folders = [argument for argument in given if not argument.startswith("-")]
    flags = [argument for argument in given if argument.startswith("-")]
    with tempfile.TemporaryDirectory() as scratch:
        atheris.Setup(
            [sys.argv[0], *options, *flags, *(folders or [scratch]), str(FOLDER / "corpus" / name)],
            counted,
        )
        try:
            atheris.Fuzz()
        finally:
            report()
