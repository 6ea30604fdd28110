"""Writes the page of differences from OpenDKIM, from the data that a test compares with.

`tests/milter/differential` gives both filters the same mail; whatever differs there
without being named in its data fails the test, and so does what is named and does not
occur.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

__all__ = ["page"]

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def page() -> str:
    """Prints the page."""
    # By name, as what types there are among the tests is not checked with the scripts'.
    return str(importlib.import_module("tests.milter.differential.page").page())
