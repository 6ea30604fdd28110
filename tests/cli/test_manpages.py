"""The man pages and the reference of options say what the commands do today."""

from __future__ import annotations

import subprocess

import pytest

from scripts import manpages


def test_they_are_current():
    stale = [
        str(path)
        for path, text in manpages.pages().items()
        if not (manpages.ROOT / path).exists() or (manpages.ROOT / path).read_text("utf-8") != text
    ]
    assert stale == [], "run: python scripts/manpages.py"


@pytest.mark.server("groff")
@pytest.mark.parametrize("name", [path.name for path in manpages.pages() if path.suffix == ".1"])
def test_they_are_roff_without_warnings(name):
    path = manpages.ROOT / manpages.MAN / name
    ran = subprocess.run(
        ["groff", "-man", "-Tutf8", "-P-cbou", "-wall", path], capture_output=True, check=True
    )
    assert ran.stderr == b""
    assert b"EXIT STATUS" in ran.stdout
