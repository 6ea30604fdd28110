"""Names: one spelling to compare, labels for the wire, nothing that raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.resolvers.owner import fold_name, wire_labels


def test_case_and_the_final_dot_make_no_difference():
    assert fold_name("S1._DomainKey.Example.COM") == fold_name("s1._domainkey.example.com.")


def test_the_kelvin_sign_is_not_the_letter_k():
    assert fold_name("\u212ay.example.") != fold_name("ky.example.")


@pytest.mark.rfc("1035", "2.3.4")
def test_labels_have_63_octets_and_names_255():
    assert wire_labels("s._domainkey.a.") == (b"s", b"_domainkey", b"a", b"")
    assert wire_labels("a" * 63 + ".b") == (b"a" * 63, b"b", b"")
    assert wire_labels("a" * 64 + ".b") is None
    longest = ".".join(["a" * 49] * 5)  # 5 * 50 + 1 octets on the wire
    assert wire_labels(f"{longest}.bbb") is not None
    assert wire_labels(f"{longest}.bbbb") is None


@pytest.mark.parametrize("name", ["", ".", "..", "a..b", ".a", "\xfc.example", "a.\u212a"])
def test_what_is_no_name_is_told(name):
    assert wire_labels(name) is None


@given(st.text())
def test_any_text_is_a_name_or_not(name):
    labels = wire_labels(name)
    assert labels is None or b".".join(labels).decode("ascii") == name.removesuffix(".") + "."
    assert fold_name(fold_name(name)) == fold_name(name)
