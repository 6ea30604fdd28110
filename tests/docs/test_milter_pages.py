"""What the pages about the milter list is what its code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dkimcore_milter.explanation import Outcome
from dkimcore_milter.flags import FLAGS
from scripts import milter_flags

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted((ROOT / "src/dkimcore_milter").glob("*.py"))
# What happens to keys that are kept elsewhere is told by the library.
KEYS = [*sorted((ROOT / "src/dkimcore/keys").rglob("*.py")), ROOT / "src/dkimcore/recordcheck.py"]
PAGE = (ROOT / "docs/reference/milter.md").read_text("utf-8")
COMMANDS = (ROOT / "docs/reference/commands.md").read_text("utf-8")


def listed_events():
    """The events in the first column of the tables of log lines."""
    log = PAGE.partition("\n## Log\n")[2].partition("\n### JSON\n")[0]
    rows = re.findall(r"^\| (`[^|]+) \| (?:debug|info|notice|warning|err)", log, re.MULTILINE)
    return {event for row in rows for event in re.findall(r"`([a-z-]+)`", row)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_event_of_the_log_is_listed(path):
    text = path.read_text("utf-8")
    events = re.findall(r'\bevent="([a-z-]+)"', text)
    events += re.findall(r'self\._say\((?:f?"[^"]*"|str\(\w+\)|\w+), "([a-z-]+)"', text)
    assert set(events) <= listed_events()


def test_no_event_is_listed_that_the_milter_never_logs():
    code = "".join(path.read_text("utf-8") for path in (*SOURCES, *KEYS))
    made = set(re.findall(r'f"([a-z]+)-\{', code))  # such as breaker-opened
    assert {
        event
        for event in listed_events()
        if f'"{event}"' not in code and event.partition("-")[0] not in made
    } == set()


def test_every_event_of_a_key_is_listed():
    code = "".join(path.read_text("utf-8") for path in KEYS)
    events = re.findall(r'\bevent="([a-z-]+)"', code)
    events += re.findall(r'self\._tell\(\s*[A-Z]+,\s*"([a-z-]+)"', code)
    assert set(events) <= listed_events()


def test_every_flag_is_listed_once():
    rows = re.findall(r"^\| `-(\w)[ `]", milter_flags.page(), re.MULTILINE)
    assert rows == [flag.letter for flag in FLAGS]


def test_every_outcome_of_why_is_explained():
    assert {outcome for outcome in Outcome if f"`{outcome}`" not in COMMANDS} == set()
    assert {outcome for outcome in Outcome if f"`{outcome.name.lower()}`" not in COMMANDS} == set()
