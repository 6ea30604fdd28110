"""How the documentation is built: ``sphinx-build -n -W docs docs/_build/html``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ROOT / "docs/reference/_generated"
sys.path.insert(0, str(ROOT))

from dkimcore.version import __version__  # noqa: E402
from scripts import (  # noqa: E402
    conformance,
    differences,
    limits,
    milter_flags,
    modules,
    options,
    statuses,
)

project = "dkimcore"
author = "The dkimcore authors"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True
nitpick_ignore_regex = [("py:class", r"dkimcore\..*\._[A-Z]")]  # type variables
html_theme = "furo"
html_title = f"dkimcore {release}"
exclude_patterns = [
    "_build",
    # Included, no pages.
    "explanation/latency_table.md",
    "explanation/many_keys_table.md",
    "explanation/performance_table.md",
    "explanation/remote_keys_summary.md",
    "explanation/remote_keys_table.md",
    "explanation/soak_table.md",
    "explanation/speedups_table.md",
    "explanation/throughput_table.md",
    "reference/_generated/differences.md",
    "reference/_generated/milter_flags.md",
    "reference/_generated/options.md",
]
default_role = "py:obj"

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # or fields of named tuples would be described twice


def resolve_short_name(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.TextElement
) -> nodes.Element | None:
    """Links names as the source has them, without their module.

    Signatures and docstrings say ``TxtAnswer``, not
    ``dkimcore.protocol.keyrecord.TxtAnswer``. A short name that nothing of ours has, such
    as one of the standard library's, stays plain; a full name of ours that leads nowhere
    is left to ``nitpicky``, which makes it an error.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removesuffix("()")
    if target.startswith("dkimcore."):
        return None
    objects = env.domains.python_domain.objects
    found = [name for name in objects if name.endswith(f".{target}")]
    if len(found) != 1:
        return content
    entry = objects[found[0]]
    return make_refnode(
        app.builder, node["refdoc"], entry.docname, entry.node_id, [content], found[0]
    )


def skip_unexplained(
    app: Sphinx,
    what: str,
    name: str,
    thing: object,
    skip: bool,  # noqa: FBT001 - Sphinx calls it so
    options: object,
) -> bool | None:
    """Leaves out the text that Python itself makes for each field of a named tuple."""
    return True if (getattr(thing, "__doc__", "") or "").startswith("Alias for field") else None


def generate(app: Sphinx) -> None:
    """Writes the pages that are made from the tests and from the code."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    for module in (
        *(conformance, differences, limits, milter_flags),
        *(modules, options, statuses),
    ):
        output = GENERATED / f"{module.__name__.rpartition('.')[2]}.md"
        text = module.page()
        if not output.exists() or output.read_text("utf-8") != text:  # or Sphinx reads it again
            output.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connects the above."""
    app.connect("builder-inited", generate)
    app.connect("autodoc-skip-member", skip_unexplained)
    app.connect("missing-reference", resolve_short_name)
    return {"parallel_read_safe": True}
