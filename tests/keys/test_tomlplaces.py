"""Lines of sections and keys, as people count them."""

from __future__ import annotations

import pytest

from dkimcore.keys.tomlplaces import places
from tests.lineartime import is_linear


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("a = 1\n\nb = 2", {("a",): 1, ("b",): 3}),
        ("[a]\nb = 1", {("a",): 1, ("a", "b"): 2}),
        ("[ a . 'b c' ]\n", {("a",): 1, ("a", "b c"): 1}),
        ("a.b.c = 1", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1}),
        ("[[a]]\n[[a]]\nb = 1", {("a",): 1, ("a", "b"): 3}),
        ("# a = 1\n#[b]\n", {}),
        ("a = '''\n[b]\nc = 1\n'''\nd = 1", {("a",): 1, ("d",): 5}),
        ('a = """x""" # """\n', {("a",): 1}),
        ("a = [\n  [1],\n  ['b'],\n]\nc = 1", {("a",): 1, ("c",): 5}),
        ("[a]\n[a.b]\nc = 1\n[a]\n", {("a",): 1, ("a", "b"): 2, ("a", "b", "c"): 3}),
    ],
)
def test_places(text, found):
    assert places(text) == found


@pytest.mark.alone
@pytest.mark.parametrize("piece", ['"', "'''\"\"\"", "a.", "["])
def test_odd_texts_take_linear_time(piece):
    places(piece * 500_000)
    assert is_linear(lambda size: piece * size, places)
