"""Writes the page of modules: each with the first paragraph of its docstring."""

from __future__ import annotations

import ast
from pathlib import Path

__all__ = ["page"]

SOURCE = Path(__file__).resolve().parent.parent / "src"


def first_paragraph(path: Path) -> str:
    """Reads what a module says it is.

    Raises:
        ValueError: It says nothing.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    if not docstring:
        raise ValueError(f"{path} has no docstring")
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return paragraph.replace("``", "`").replace("|", "\\|")


def page() -> str:
    """Prints the page: a section per package, a row per module."""
    lines = [
        "# Modules",
        "",
        "This page is made from the first paragraph of each module's docstring.",
        "[Architecture](/explanation/architecture.md) says how they depend on each other.",
    ]
    packages = sorted(path.parent for path in SOURCE.rglob("__init__.py"))
    for package in packages:
        name = ".".join(package.relative_to(SOURCE).parts)
        lines += ["", f"## {name}", ""]
        if name != "dkimcore":
            lines += [first_paragraph(package / "__init__.py"), ""]
        lines += ["| Module | |", "|---|---|"]
        for path in sorted(package.glob("*.py")):
            if path.name not in ("__init__.py", "__main__.py"):
                lines.append(f"| `{name}.{path.stem}` | {first_paragraph(path)} |")
    return "\n".join(lines) + "\n"
