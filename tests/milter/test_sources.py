"""Data sets that settings name."""

from __future__ import annotations

from dkimcore.settings.model import Process, Settings, Source
from dkimcore_milter.sources import Sources, place


def test_relative_paths_count_from_the_base_directory(tmp_path):
    (tmp_path / "list").write_text("a\n")
    sources = Sources(Settings(process=Process(base_directory=str(tmp_path))))
    data_set = sources.data_set(Source("file:list"))
    assert data_set is not None
    assert data_set.file == str(tmp_path / "list")
    assert sources.path("x") == str(tmp_path / "x")
    assert Sources(Settings()).path("x") == "x"


def test_an_option_that_is_not_set_loads_nothing():
    sources = Sources(Settings())
    assert sources.data_set(None) is None
    assert sources.hosts(None) is None


def test_places_are_named():
    assert place("/etc/x", 3) == "/etc/x:3"
    assert place("/etc/x", None) == "/etc/x"
    assert place(None, None) == "the default"
