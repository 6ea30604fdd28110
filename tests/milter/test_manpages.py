"""The man pages of the milter say what the program does today."""

from __future__ import annotations

import subprocess

import pytest

from dkimcore.settings.options import OPTIONS
from dkimcore_milter.flags import FLAGS
from scripts import milter_manpages as manpages

PAGES = {path.name: path for path in manpages.pages()}


def shown(name):
    """What a reader sees."""
    ran = subprocess.run(
        ["groff", "-man", "-Tutf8", "-P-cbou", "-wall", manpages.ROOT / PAGES[name]],
        capture_output=True,
        check=True,
    )
    assert ran.stderr == b""
    return ran.stdout.decode()


def test_they_are_current():
    stale = [
        str(path)
        for path, text in manpages.pages().items()
        if not (manpages.ROOT / path).exists() or (manpages.ROOT / path).read_text("utf-8") != text
    ]
    assert stale == [], "run: python scripts/milter_manpages.py"


@pytest.mark.server("groff")
def test_the_command_s_page_has_each_flag_and_no_warnings():
    lines = shown("dkimcore-milter.8").splitlines()
    assert "EXIT STATUS" in lines
    for flag in FLAGS:
        assert any(
            line.strip().startswith(f"-{flag.letter} {flag.argument}".rstrip()) for line in lines
        )


@pytest.mark.server("groff")
def test_the_configuration_s_page_has_each_option_and_no_warnings():
    lines = shown("dkimcore-milter.conf.5").splitlines()
    missing = [
        option.name
        for option in OPTIONS
        if not any(line.startswith(f"       {option.name} (") for line in lines)
    ]
    assert missing == []


def test_a_page_that_is_not_current_is_noticed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(manpages, "ROOT", tmp_path)
    assert manpages.main(["--check"]) == 1
    assert "dkimcore-milter.8" in capsys.readouterr().out
    assert manpages.main([]) == 0
    assert manpages.main(["--check"]) == 0
