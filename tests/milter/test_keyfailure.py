"""DkimcoreOnKeyFailure: which rule a domain has, and which mistakes are found at load."""

from __future__ import annotations

import pytest

from dkimcore.errors import TableError
from dkimcore.protocol.names import DomainName
from dkimcore_milter.keyfailure import FailureAction
from tests.milter.site import Site

TABLES = "KeyTable file:keys\nSigningTable file:signing\n"


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.write("keys", "rsa example.com:r:/r.pem\ned %:e:/e.pem\nbroken nonsense\n")
    made.write("signing", "example.com rsa\n")
    return made


def rule(engine, domain):
    return str(engine.failures.find(DomainName.parse(domain)))


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("example.com", "unsigned"),
        ("EXAMPLE.com", "unsigned"),
        ("mail.example.com", "fallback:ed"),
        ("a.b.example.com", "fallback:ed"),
        ("special.mail.example.com", "tempfail"),
        ("xn--bcher-kva.example", "other-algorithm"),
        ("elsewhere.example", "tempfail"),
        ("example.org", "tempfail"),
    ],
)
def test_the_domain_itself_then_its_parents(site, domain, expected):
    site.write(
        "rules",
        "example.com unsigned\n.example.com fallback:ed\nspecial.mail.example.com TEMPFAIL\n"
        "b\u00fccher.example other-algorithm\n",
    )
    engine = site.engine(f"{TABLES}DkimcoreOnKeyFailure file:rules")
    assert rule(engine, domain) == expected
    assert engine.failures.may_fall_back


def test_a_row_for_all_others(site):
    engine = site.engine(f"{TABLES}DkimcoreOnKeyFailure csl:example.com=tempfail,*=unsigned")
    assert rule(engine, "example.com") == "tempfail"
    assert rule(engine, "example.net") == "unsigned"
    assert not engine.failures.may_fall_back


def test_patterns(site):
    site.write("rules", "*.example.com unsigned\n* other-algorithm\n")
    engine = site.engine(f"{TABLES}DkimcoreOnKeyFailure refile:rules")
    assert rule(engine, "mail.example.com") == "unsigned"
    assert rule(engine, "example.com") == "other-algorithm"


def test_without_the_option_all_is_as_on_internal_error_says(site):
    engine = site.engine(TABLES)
    assert engine.failures.find(DomainName.parse("a.example")).action is FailureAction.TEMPFAIL


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("example.com", "says nothing; write one of: tempfail, unsigned"),
        ("example.com usigned", "says 'usigned'; write one of"),
        ("example.com unsigned:ed", "unsigned takes nothing behind it"),
        ("example.com fallback", "fallback needs the name of a key"),
        ("example.com fallback:nobody", "the key 'nobody', which no row of the KeyTable defines"),
        ("example.com fallback:broken", "KeyTable entry for 'broken' corrupt"),
    ],
)
def test_what_cannot_be_is_found_when_it_is_read(site, row, problem):
    path = site.write("rules", f"# rules\nexample.net unsigned\n{row}\n")
    with pytest.raises(TableError) as caught:
        site.engine(f"{TABLES}DkimcoreOnKeyFailure file:rules")
    assert problem in caught.value.problem
    assert (caught.value.file, caught.value.line) == (str(path), 3)


def test_a_fallback_needs_a_key_table(site):
    site.key("one.pem")
    with pytest.raises(TableError, match="there is none"):
        site.engine(
            "KeyFile one.pem\nSelector s\nDomain example.com\n"
            "DkimcoreOnKeyFailure csl:example.com=fallback:ed\n"
        )
