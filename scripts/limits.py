"""Writes the page of limits, policies and defaults from the classes that hold them.

The words come from the ``Attributes:`` sections of the docstrings, the defaults from the
fields themselves, so that the page cannot differ from what the code does.
"""

from __future__ import annotations

import dataclasses
import inspect
import re

from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy

__all__ = ["attributes", "page"]

CLASSES = (Limits, VerifyPolicy, SigningProfile)
ATTRIBUTE = re.compile(r"^    (\w+): (.+)$")


def attributes(docstring: str) -> dict[str, str]:
    """Reads the ``Attributes:`` section of a docstring.

    Args:
        docstring: As `inspect.getdoc` gives it.

    Returns:
        From an attribute's name to its text, on one line.
    """
    found: dict[str, str] = {}
    name = ""
    section = docstring.partition("\nAttributes:\n")[2]
    for line in section.splitlines():
        if line and not line.startswith("    "):
            break
        if match := ATTRIBUTE.match(line):
            name = match[1]
            found[name] = match[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def shown(value: object) -> str:
    """Prints a default for people."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, frozenset):
        return "none" if not value else ", ".join(sorted(value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, Limits):
        return "see above"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def table(kind: type[Limits | VerifyPolicy | SigningProfile]) -> list[str]:
    """Prints one class as a table.

    Raises:
        ValueError: A field has no text in the docstring, or a text has no field.
    """
    defaults = kind()
    texts = attributes(inspect.getdoc(kind) or "")
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    if set(names) != set(texts):
        raise ValueError(f"{kind.__name__}: docstring and fields differ: {set(names) ^ set(texts)}")
    lines = ["", f"## {kind.__name__}", "", "| | Default | |", "|---|---|---|"]
    for name in names:
        text = re.sub(r" {2,}", " ", texts[name]).replace("``", "`").replace("|", "\\|")
        lines.append(f"| `{name}` | {shown(getattr(defaults, name))} | {text} |")
    return lines


def page() -> str:
    """Prints the page: a table for each class."""
    lines = [
        "# Limits, policies and defaults",
        "",
        "This page is made from the code.",
        "[Limits and defaults](/explanation/limits.md) says why the values are what they are.",
    ]
    for kind in CLASSES:
        lines += table(kind)
    return "\n".join(lines) + "\n"
