"""Whose name servers a query goes to."""

from __future__ import annotations

import pytest

from dkimcore_milter.zones import zone


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s._domainkey.example.org", "example.org"),
        ("s._domainkey.a.b.Example.ORG.", "example.org"),
        ("s._domainkey.a.example.co.uk", "example.co.uk"),
        ("s._domainkey.a.example.com.au", "example.com.au"),
        ("s._domainkey.mail.example.de", "example.de"),
        ("org", "org"),
        ("uk", "uk"),
        ("", ""),
    ],
)
def test_the_zone_of_a_name(name, expected):
    assert zone(name) == expected
