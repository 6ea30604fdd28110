"""What the fuzz targets share: starting atheris with their seeds.

A target is run as ``python -m tests.fuzz.fuzz_verify -runs=1000000``; all options are
libFuzzer's. New inputs go to the folder named on the command line, or nowhere; the
seeds beside this file are always read.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FOLDER", "instrument", "run"]

FOLDER = Path(__file__).parent


def instrument() -> atheris.instrument_imports:
    """A context in which the library is imported with coverage of its branches."""
    return atheris.instrument_imports(include=["dkimcore", "dkimcore_milter"])


def run(name: str, check: Callable[[bytes], object], *, octets: int) -> None:
    """Run a target until libFuzzer has had enough; never returns.

    Args:
        name: Names the folder of seeds.
        check: Asserts the invariants for some octets; what it raises is a finding.
        octets: The longest input to try.
    """
    seeds = sorted(map(str, (FOLDER / "corpus" / name).iterdir()))
    options = [
        f"-max_len={octets}",
        f"-dict={FOLDER / 'dkim.dict'}",
        f"-seed_inputs={','.join(seeds)}",
        "-len_control=0",  # long inputs at once: short ones are dull here
        "-timeout=20",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={tempfile.gettempdir()}/{name}-",
    ]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], check)
    atheris.Fuzz()
