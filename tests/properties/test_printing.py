"""Invariant 3: what was parsed survives printing; parsers raise only what they say."""

import pytest
from hypothesis import example, given

from tests.properties import invariants, strategies

rfc = pytest.mark.rfc


@rfc("6376", "3.2")
@given(strategies.signature_values)
@example(b" a = b ; c =; ")
def test_tag_lists(octets):
    """Statements 1 to 10."""
    invariants.tag_list_survives_printing(octets)


@rfc("6376", "3.5")
@given(strategies.signature_values)
def test_signatures(value):
    """Statements 120, 127, 133."""
    invariants.signature_survives_printing(value)


@rfc("6376", "3.6.1")
@given(strategies.key_records)
@example("h=\u00fc; p=".encode())
def test_key_records(octets):
    """Statements 88 to 99."""
    invariants.key_record_survives_printing(octets)


@rfc("6376", "2.11")
@given(strategies.quoted_printable)
@example(b"=3D")
@example(b"\xc3")
def test_quoted_printable(octets):
    """Statements 37, 48, 124."""
    invariants.quoted_printable_survives_printing(octets)


@rfc("6376", "3.1")
@rfc("8616", "5")
@given(strategies.domains)
def test_names(octets):
    """Statements 27, 42, 132, 134."""
    invariants.names_are_refused_or_kept(octets)


@rfc("8601", "5")
@given(strategies.authentication_results)
@example(b' "MX.example.net." (c) 1; dkim=pass')
def test_forged_results(value):
    """Statements 142, 145."""
    invariants.forgeries_are_found_and_cannot_be_injected(value, "mx.example.net")
