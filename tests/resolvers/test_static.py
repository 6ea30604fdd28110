"""Records from a mapping: what is there is found, under any spelling of its name."""

from __future__ import annotations

import asyncio

import pytest

from dkimcore.errors import ConfigError
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers.static import StaticResolver

FAILURE = TxtAnswer(TxtStatus.FAILED, detail="SERVFAIL")
RESOLVER = StaticResolver(
    {
        "s1._domainkey.Example.com": "v=DKIM1; p=",
        "s2._domainkey.example.com.": b"v=DKIM1; p=\xff",
        "several.example": [b"one", b"two"],
        "none.example": [],
        "broken.example": FAILURE,
    }
)


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("S1._domainkey.example.COM", (b"v=DKIM1; p=",)),
        ("s1._domainkey.example.com.", (b"v=DKIM1; p=",)),
        ("s2._domainkey.example.com", (b"v=DKIM1; p=\xff",)),
        ("several.example.", (b"one", b"two")),
    ],
)
def test_records_are_found_under_any_spelling(name, records):
    answer = TxtAnswer(TxtStatus.FOUND, records)
    assert RESOLVER.lookup_txt(name) == answer
    assert asyncio.run(RESOLVER.aio.lookup_txt(name)) == answer


@pytest.mark.rfc("6376", "6.1.2")
def test_every_other_name_has_no_record():
    for name in ("example.com.", "none.example.", "", "\u212a", "a" * 300):
        assert RESOLVER.lookup_txt(name).status is TxtStatus.NO_RECORD


def test_a_failure_can_be_given():
    assert RESOLVER.lookup_txt("broken.example.") is FAILURE


def test_one_name_twice_is_an_error():
    with pytest.raises(ConfigError, match=r"a\.Example is there twice"):
        StaticResolver({"a.example.": b"1", "a.Example": b"2"})


def test_records_come_from_a_file_too(tmp_path):
    (tmp_path / "keys").write_text("s1._domainkey.example.com v=DKIM1; p=\n")
    resolver = StaticResolver.from_file(tmp_path / "keys")
    assert resolver.lookup_txt("s1._domainkey.example.com.").records == (b"v=DKIM1; p=",)
    assert repr(resolver) == "<StaticResolver: 1 names>"
