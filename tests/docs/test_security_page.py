"""The security review answers every attack, and each answer has its place and its proof."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/explanation/security.md").read_text("utf-8")
ATTACKS = PAGE[PAGE.index("## Attacks on signatures") : PAGE.index("## How else it is tested")]
# "1\. What is done" or "What is done", and a definition below it.
ENTRY = re.compile(r"^(?!:)(?:(\d+)\\\. )?(\S[^\n]*)\n: ([^\n]+)", re.MULTILINE)
ENTRIES = ENTRY.findall(ATTACKS)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")

each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[1][:40])


def test_no_attack_of_the_list_is_left_out():
    assert [int(number) for number, _, _ in ENTRIES if number] == list(range(1, 27))


@each_entry
def test_an_answer_names_its_module_and_its_test(entry):
    """That both exist is checked for all pages, in tests/docs/test_claims.py."""
    _, _, answer = entry
    assert re.search(r"`dkimcore(_milter)?(\.\w+)+`", answer)
    assert TEST.search(answer)


def test_each_test_of_the_page_is_a_whole_one():
    """A name that is only the beginning of another's would be found by a search for text."""
    for file, name in TEST.findall(PAGE):
        text = (ROOT / file).read_text("utf-8")
        assert re.search(rf"^\s*(?:async )?def {name}\(", text, re.MULTILINE), f"{file}::{name}"


def test_the_tests_of_attacks_are_all_on_the_page():
    named = {file for file, _ in TEST.findall(PAGE)}
    files = {f"tests/security/{path.name}" for path in (ROOT / "tests/security").glob("test_*.py")}
    assert files - named == set()
