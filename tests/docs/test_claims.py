"""What the documentation says of the code and of the tests is still there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy
from dkimcore.protocol.result import Cause, Status
from scripts import limits, modules

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src"
# Decisions speak of what was and what will be, CONTRIBUTING of names to be.
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *(
        path
        for folder in ("tutorial", "howto", "explanation")
        for path in sorted((ROOT / "docs" / folder).glob("*.md"))
    ),
]
# `tests/a/test_b.py` or `tests/a/test_b.py::test_c`; also folders, scripts and modules.
PATH = re.compile(r"`((?:tests|scripts|src|demo|benchmarks)/[\w./-]*)(?:::(\w+))?`")
MODULE = re.compile(r"`(dkimcore(?:_milter)?(?:\.[a-z_]+)+)`")

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@each_page
def test_files_and_tests_that_a_page_names_exist(path):
    for name, function in PATH.findall(path.read_text("utf-8")):
        file = ROOT / name
        assert file.exists(), f"{path.name} names {name}"
        if function:
            assert f"def {function}(" in file.read_text("utf-8"), f"{path.name}: {name}::{function}"


@each_page
def test_modules_that_a_page_names_exist(path):
    for name in MODULE.findall(path.read_text("utf-8")):
        package, _, last = name.rpartition(".")
        file = ROOT / "src" / name.replace(".", "/")
        parent = ROOT / "src" / f"{package.replace('.', '/')}"
        exists = file.is_dir() or file.with_suffix(".py").exists()
        # Or a name within a module, such as dkimcore.sign.
        exists = exists or any(
            re.search(rf"\b{last}\b", module.read_text("utf-8"))
            for module in (parent.with_suffix(".py"), parent / "__init__.py")
            if module.exists()
        )
        assert exists or name == "dkimcore.keys", f"{path.name} names {name}"


def test_the_table_of_limits_holds_every_limit_once():
    rows = re.findall(r"^\| `(\w+)` \|", limits.page(), re.MULTILINE)
    fields = [
        name
        for kind in (Limits, VerifyPolicy, SigningProfile)
        for name in kind.__dataclass_fields__
        if kind.__dataclass_fields__[name].init
    ]
    assert rows == fields


def test_a_limit_without_a_word_about_it_is_noticed():
    assert limits.attributes("A.\n\nAttributes:\n    one: First\n        of all.\n\nNext:\n") == {
        "one": "First of all."
    }


def test_the_table_of_modules_holds_every_module_once():
    rows = re.findall(r"^\| `(dkimcore[\w.]+)` \|", modules.page(), re.MULTILINE)
    files = [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for package in SOURCE.rglob("__init__.py")
        for path in package.parent.glob("*.py")
        if not path.stem.startswith("__")
    ]
    assert sorted(rows) == sorted(files)


def test_the_architecture_names_every_package():
    text = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
    for package in {path.parent for path in SOURCE.rglob("__init__.py")}:
        name = ".".join(package.relative_to(SOURCE).parts)
        assert f"`{name}`" in text


def test_the_explanation_of_results_names_every_status_and_only_causes_there_are():
    text = (ROOT / "docs/explanation/results.md").read_text("utf-8")
    for status in Status:
        assert f"*{status}*" in text
    assert set(re.findall(r"`([A-Z_]{4,})`", text)) <= set(Cause.__members__)
