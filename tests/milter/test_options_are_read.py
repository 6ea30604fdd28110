"""What the table of options calls honoured is read by what acts on it."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from dkimcore.settings import Settings
from dkimcore.settings.fields import GROUPS
from dkimcore.settings.option import Fate
from dkimcore.settings.options import OPTIONS
from dkimcore_milter.wording import Option

SOURCE = Path(__file__).parent.parent.parent / "src"

# SignatureAlgorithm is checked when it is read; then each key's own type decides.
DECIDED_WHEN_READ = {"signing.algorithm"}

# These say what is set (`-n`, `dkimcore why`), or ask the MTA for what acting would need: nothing
# is honoured by that.
NOT_ACTING = {"check.py", "checkkeys.py", "checkprocess.py", "negotiation.py"}
NOT_ACTING |= {"why.py", "whykeys.py", "whyreceived.py"}


def acting_modules():
    """The modules that do something with settings once these were read."""
    for path in sorted(SOURCE.rglob("*.py")):
        folders = path.relative_to(SOURCE).parts[1:-1]
        if path.name not in NOT_ACTING and not {"cli", "settings"}.intersection(folders):
            yield path


def reads(tree):
    """The attributes that are read, each with the last name in front of it.

    So ``self._engine.settings.logging.why`` gives ``("settings", "logging")`` and
    ``("logging", "why")``.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            base = node.value
            if isinstance(base, ast.Attribute):
                yield base.attr.lstrip("_"), node.attr
            elif isinstance(base, ast.Name):
                yield base.id.lstrip("_"), node.attr


READ = {pair for path in acting_modules() for pair in reads(ast.parse(path.read_text("utf-8")))}
# What becomes of a failed signature is read by the field's name.
READ |= {("actions", option.field) for option in Option}

HONOURED = [
    pytest.param(option, id=option.name) for option in OPTIONS if option.fate is Fate.HONOURED
]


def is_read(name):
    """Whether a field is read off its group, or off what a module calls its settings."""
    group, _, field = name.partition(".")
    return (group, field) in READ or ("settings", field) in READ


def test_no_two_groups_have_a_field_of_one_name():
    # Else what is read off "settings" could be either.
    names = [field.name for group in GROUPS for field in fields(getattr(Settings(), group))]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("option", HONOURED)
def test_an_honoured_option_is_read_by_what_acts_on_it(option):
    assert {name for name in option.fields if not is_read(name)} <= DECIDED_WHEN_READ


def test_a_field_that_is_only_named_is_not_read():
    tree = ast.parse(
        "verifying.a = 1\nx = 'verifying.b'\ny = make(verifying).c\nz = self._verifying.d\n"
    )
    assert set(reads(tree)) == {("verifying", "d"), ("self", "_verifying")}
