"""Whether the compiled accelerator is in use, decided once when the library is imported.

It does what `canonical` and `message` do in Python, faster.  It is there where a compiler was at
hand when dkimcore was installed; the environment variable DKIMCORE_NO_SPEEDUPS turns it off.  See
docs/adr/0017-optional-c-accelerator.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["compiled", "in_use"]

# What this version of the library calls.  An editable installation may still have the
# extension of another version.
_INTERFACE = 1


def _find() -> ModuleType | None:
    try:
        # The extension reads the variable: this package imports nothing of the system.
        found = import_module("dkimcore._speedups")
    except ImportError:  # not built, not for this Python, or turned off
        return None
    return found if found.INTERFACE == _INTERFACE else None


compiled = _find()
"""The extension module; None where Python does its work."""


def in_use() -> str:
    """What is in use, for version texts: ``C`` or ``none``."""
    return "C" if compiled else "none"
