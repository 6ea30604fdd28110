"""Writes the table of the milter's flags from the one that it reads its command line by."""

from __future__ import annotations

from dkimcore_milter.flags import FLAGS, Flag

__all__ = ["page"]


def row(flag: Flag) -> str:
    """Prints a row of the table."""
    written = f"-{flag.letter} {flag.argument}".strip()
    option = f"{flag.option}" if flag.argument else f"{flag.option} {flag.value}"
    stands_for = option if flag.option else ""
    return f"| `{written}` | {flag.meaning} | {stands_for} |"


def page() -> str:
    """The table; the page that includes it has the words around it."""
    rows = [
        *(row(flag) for flag in FLAGS),
        "| `--help` | print the usage, and exit | |",
        "| `--version` | print the version, and exit | |",
    ]
    head = ["| Flag | Does | Option |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"
