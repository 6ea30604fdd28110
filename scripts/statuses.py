"""Writes the page of statuses and causes from the code that decides them."""

from __future__ import annotations

from dkimcore.protocol.result import Cause

__all__ = ["page"]


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
