"""How long ``import dkimcore`` takes beyond what `cryptography` itself takes.

usage: python -m benchmarks.import_time

Exits with 1 when it is more than the limit.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.report import Section, Target

__all__ = ["imports", "main", "measure"]

LIMIT = 150.0  # milliseconds
RUNS = 9  # the least of them counts: noise only ever adds
CODE = """
import time
import cryptography.exceptions
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
start = time.perf_counter()
import dkimcore
print((time.perf_counter() - start) * 1000)
"""
# What the extras bring, and what only some uses need: none of it may come with the import.
UNUSED = ("Milter", "asyncio", "boto3", "click", "dns", "hvac", "logging", "pkcs11", "rich", "ssl")
LOADED = "import dkimcore, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def measure() -> float:
    """Imports it in a fresh interpreter; returns milliseconds."""
    return float(_python(CODE))


def unused() -> list[str]:
    """Which modules come with the import though it does not need them."""
    loaded = _python(LOADED).split()
    return [name for name in UNUSED if name in loaded]


def imports(runs: int = RUNS) -> Section:
    """Measures so many times."""
    figures = [measure() for _ in range(runs)]
    least, surplus = min(figures), unused()
    milliseconds = [f"{each:.0f}" for each in (least, statistics.median(figures), max(figures))]
    section = Section(
        title="Import",
        note="import dkimcore in a fresh interpreter that has the parts of cryptography already, "
        "in milliseconds; and which of the modules that only extras or other uses need it loads.",
        columns=["least", "median", "greatest", "runs", "loaded without need"],
        rows=[[*milliseconds, str(runs), " ".join(surplus) or "none"]],
        data=[{"milliseconds": figures, "unused": surplus}],
    )
    section.targets = [
        Target(
            name="import time beyond that of cryptography",
            goal=f"under {LIMIT:g} ms",
            figure=f"{least:.0f} ms",
            reached=least < LIMIT,
        ),
        Target(
            name="modules imported that are not used",
            goal="none",
            figure=" ".join(surplus) or "none",
            reached=not surplus,
        ),
    ]
    return section


def _python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True).stdout


def main() -> int:
    """Prints the figure."""
    least = min(measure() for _ in range(RUNS))
    print(f"import dkimcore: {least:.0f} ms beyond cryptography (limit {LIMIT:.0f} ms)")
    return 0 if least <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
