"""How long ``import dkimcore`` takes beyond what `cryptography` itself takes.

usage: python benchmarks/import_time.py

Exits with 1 when it is more than the limit.
"""

from __future__ import annotations

import subprocess
import sys

__all__ = ["main", "measure"]

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


def measure() -> float:
    """Imports it in a fresh interpreter; returns milliseconds."""
    ran = subprocess.run(
        [sys.executable, "-c", CODE], text=True, stdout=subprocess.PIPE, check=True
    )
    return float(ran.stdout)


def main() -> int:
    """Prints the figure."""
    least = min(measure() for _ in range(RUNS))
    print(f"import dkimcore: {least:.0f} ms beyond cryptography (limit {LIMIT:.0f} ms)")
    return 0 if least <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
