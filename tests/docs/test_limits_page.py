"""The page of limits against the code: each limit, its option, its default, its line in the log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dkimcore.protocol.policy import Limits
from dkimcore.settings.options import OPTIONS
from dkimcore_milter.limits import VERIFICATION
from dkimcore_milter.metrics import Count
from dkimcore_milter.privileges import MAX_DESCRIPTORS
from dkimcore_milter.wire import MAX_PACKET_OCTETS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/limits.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| `\w+` \|", line)
]
LIMITS = {count.labels[0]: count for count in Count if count.family == "limits_hit"}
DEFAULTS = {option.name: option.default for option in OPTIONS}
SOURCES = {path: path.read_text("utf-8") for path in (ROOT / "src/dkimcore_milter").glob("*.py")}
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))


def test_each_limit_is_a_row():
    assert sorted(row[0].strip("`") for row in ROWS) == sorted(LIMITS)


def test_each_option_about_limits_is_a_row():
    about = {o.name for o in OPTIONS if any(f.startswith("limits.") for f in o.fields)}
    assert about <= {row[1] for row in ROWS}


@each_row
def test_a_default_is_that_of_the_option(row):
    counter, option, default, *_ = row
    if option != "fixed":
        assert default == DEFAULTS[option]
    elif default != "-":
        fixed = getattr(Limits(), counter.strip("`"), MAX_PACKET_OCTETS)
        assert int(default) == fixed


def test_the_other_numbers_are_those_of_the_code():
    assert f"up to {MAX_DESCRIPTORS} " in PAGE
    assert f"DNSTimeout, {DEFAULTS['DNSTimeout']} s" in PAGE
    assert set(VERIFICATION) < {field.name for field in Limits.__dataclass_fields__.values()}


@each_row
def test_a_limit_is_counted_and_logged(row):
    count, event = LIMITS[row[0].strip("`")], re.findall(r"`([\w-]+)`", row[4])[-1]
    name = f"Count.{count.name}"
    assert any(name in text for path, text in SOURCES.items() if path.name != "metrics.py")
    assert any(f'"{event}"' in text for text in SOURCES.values())
    assert f"`{event}`" in (ROOT / "docs/reference/milter.md").read_text("utf-8")
