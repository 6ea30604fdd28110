"""The accelerator: chosen when the library is imported, and never needed."""

import importlib
import sys

import pytest

from dkimcore.protocol import speedups

EXTENSION = "dkimcore._speedups"


@pytest.fixture
def fresh(monkeypatch):
    """Imports the module again; what the rest of the process uses stays as it is."""

    def load():
        monkeypatch.delitem(sys.modules, EXTENSION, raising=False)
        monkeypatch.delitem(sys.modules, speedups.__name__)
        return importlib.import_module(speedups.__name__)

    return load


@pytest.mark.parametrize("value", ["1", "yes"])
def test_an_environment_variable_turns_it_off(fresh, monkeypatch, value):
    monkeypatch.setenv("DKIMCORE_NO_SPEEDUPS", value)
    found = fresh()
    assert found.compiled is None
    assert found.in_use() == "none"


@pytest.mark.parametrize("value", ["", "0"])
def test_a_variable_that_says_no_does_not(fresh, monkeypatch, value):
    monkeypatch.delenv("DKIMCORE_NO_SPEEDUPS", raising=False)
    expected = fresh().in_use()
    monkeypatch.setenv("DKIMCORE_NO_SPEEDUPS", value)
    assert fresh().in_use() == expected


class Extension:
    """Stands where the extension would: one of this interface, or of another."""

    def __init__(self, interface):
        self.INTERFACE = interface


@pytest.mark.parametrize(("interface", "name"), [(1, "C"), (0, "none"), (2, "none")])
def test_what_was_built_for_another_version_is_left_alone(fresh, monkeypatch, interface, name):
    monkeypatch.delitem(sys.modules, speedups.__name__)
    monkeypatch.setitem(sys.modules, EXTENSION, Extension(interface))
    assert importlib.import_module(speedups.__name__).in_use() == name
