"""Writes the page of statuses and causes from the code that decides them.

usage: python scripts/statuses.py OUTPUT.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from dkimcore.protocol.result import Cause

__all__ = ["main", "page"]


def page() -> str:
    """Prints the page: one row per cause, in the order of the code."""
    rows = [f"| `{cause.name}` | {cause.status} | {cause.phrase} |" for cause in Cause]
    return "\n".join(
        [
            "# Statuses and causes",
            "",
            "A signature that verifies has the status *pass* and no cause.",
            "Every other result has one of these causes; a message without signatures is *none*.",
            "[Decision 0003](/adr/0003-rfc8601-mapping.md) argues why each cause has its status.",
            "",
            "| Cause | Status (RFC 8601) | In words |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    """Writes the page, and leaves the file alone if nothing has changed."""
    output = Path(arguments[0])
    text = page()
    if not output.exists() or output.read_text("utf-8") != text:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
