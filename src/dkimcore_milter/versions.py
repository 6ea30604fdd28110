"""What flag -V prints: versions, algorithms, canonicalizations, the default configuration."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.speedups import in_use
from dkimcore.version import __version__

__all__ = ["versions"]


def versions(program: str, configuration: str | None) -> str:
    """Return the text, without a final line end.

    Args:
        program: What to call ourselves.
        configuration: The settings file that is read without -x; None if there is none.
    """
    lines = [
        f"{program}: dkimcore-milter v{__version__}",
        f"\tPython {platform.python_version()}",
        f"\tcryptography {_installed('cryptography')}, dnspython {_installed('dnspython')}",
        "\tSupported signing algorithms:",
        *(f"\t\t{algorithm}" for algorithm in Algorithm if not algorithm.is_historic),
        "\tSupported canonicalization algorithms:",
        *(f"\t\t{canonicalization}" for canonicalization in Canonicalization),
        f"\tAccelerator: {in_use()}",
        f"\tConfiguration file without -x: {configuration or 'none'}",
    ]
    return "\n".join(lines)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
