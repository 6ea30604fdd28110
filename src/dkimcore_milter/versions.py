"""What flag -V prints: versions, algorithms, canonicalizations, the default configuration."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.speedups import in_use
from dkimcore.version import __version__

__all__ = ["missing_pymilter", "versions"]


def missing_pymilter(error: ImportError) -> str:
    """Say what to do where the milter cannot run.

    Args:
        error: What importing `adapter` raised.
    """
    return (
        f"pymilter is not installed, or cannot be loaded ({error}); run: apt-get install gcc "
        "python3-dev libmilter-dev && pip install 'dkimcore[milter]'"
    )


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
        f"\t{_milter()}",
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


def _milter() -> str:
    try:
        from dkimcore_milter.adapter import libmilter_version
    except ImportError as exc:
        return missing_pymilter(exc)
    return f"pymilter {_installed('pymilter')}, libmilter {libmilter_version()}"
