"""The structure that the design asks for holds: imports, exports, sizes.

The contracts themselves stand in pyproject.toml (``tool.importlinter``).
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
MODULES = sorted(SOURCE.rglob("*.py"))
FUNCTION_LINES = 40  # one screen
MODULE_LINES = 400

each_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(SOURCE))
)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-cache",
            "--config",
            "pyproject.toml",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        text=True,
        capture_output=True,
        check=False,
    )


def test_imports_keep_the_contracts():
    run = lint_imports(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("protocol/names.py", "import os", "The protocol is pure"),
        ("protocol/names.py", "import dkimcore.keys.uri", "Imports go downwards only"),
        ("protocol/names.py", "import cryptography.x509", "cryptography has few users"),
        ("errors.py", "import click", "click and rich belong to the commands"),
    ],
)
def test_an_import_against_a_contract_is_noticed(tmp_path, module, line, contract):
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "src/dkimcore" / module).open("a") as file:
        file.write(f"\n{line}\n")
    run = lint_imports(tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    assert re.search(rf"{contract}.*BROKEN", run.stdout), run.stdout


@pytest.mark.parametrize(
    "unwanted",
    [
        *("Milter", "boto3", "botocore", "click", "hvac", "pkcs11", "rich"),  # extras
        *("asyncio", "dns.resolver"),  # slow to import, and not everybody's front end
    ],
)
def test_importing_the_library_imports_nothing_that_is_not_used(unwanted):
    code = f"import sys, dkimcore; sys.exit({unwanted!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode() or f"import dkimcore imports {unwanted}"


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


@each_module
def test_a_module_says_what_it_is_and_what_it_exports(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "no docstring"
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    names = exported(tree)
    assert names is not None or not defined, "no __all__"
    assert len(names or ()) == len(set(names or ())), "a name twice in __all__"


@each_module
def test_modules_and_functions_are_short(path):
    source = path.read_text("utf-8")
    assert len(source.splitlines()) <= MODULE_LINES
    long = [
        f"{node.name}: {lines}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := code_lines(node)) > FUNCTION_LINES
    ]
    assert long == []


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Counts a body's lines, without signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
