"""How is signed and what is accepted: OpenDKIM's behaviour, parts 3.7, 4.6 and 4.8."""

from __future__ import annotations

import pytest

from dkimcore.errors import SettingsError, TableError
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.policy import SigningProfile, VerifyPolicy
from tests.milter.site import Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def profile(site, conf):
    return site.engine(conf).profile


def test_without_options_the_safe_defaults_hold(site):
    assert profile(site, "") == SigningProfile()
    assert site.engine("").policy == VerifyPolicy()


def test_listed_fields_replace_the_default_and_from_stays(site):
    found = profile(site, "SignHeaders Subject,X-Foo")
    assert found.fields == ("from", "subject", "x-foo")
    # What is not signed is not oversigned, unless the file says so.
    assert found.oversigned_fields == ("from", "subject")


def test_an_entry_of_a_star_changes_the_default(site):
    found = profile(site, "SignHeaders *,+X-Foo,-Subject,other")
    assert "x-foo" in found.fields
    assert "subject" not in found.fields
    assert "subject" not in found.oversigned_fields
    assert "to" in found.fields
    more = profile(site, "OverSignHeaders *,+X-Foo,-From")
    assert more.oversigned_fields == (*SigningProfile().oversigned_fields[1:], "x-foo")


def test_omitted_fields_are_neither_signed_nor_oversigned(site):
    found = profile(site, "OmitHeaders Subject,X-Foo")
    assert "subject" not in (*found.fields, *found.oversigned_fields)
    listed = profile(site, "SignHeaders Subject,Comments,Received,To")
    assert listed.fields == ("from", "subject", "to")  # two are omitted by default
    assert profile(site, "SignHeaders Comments\nOmitHeaders *,-comments").fields == (
        "from",
        "comments",
    )


def test_from_cannot_be_omitted(site):
    """OpenDKIM starts, and then signs nothing (part 4.8)."""
    with pytest.raises(SettingsError, match=r"opendkim\.conf:2: OmitHeaders holds From"):
        site.engine("Syslog yes\nOmitHeaders To,FROM")


def test_what_the_file_oversigns_replaces_the_default(site):
    found = profile(site, "OverSignHeaders From\nOversignHeaders Subject,From,X-None")
    assert found.oversigned_fields == ("subject", "from", "x-none")
    assert b"x-none" in found.field_octets  # signed too, or the signature would be wrong


def test_a_name_that_is_none_is_refused_with_its_line(site):
    with pytest.raises(SettingsError, match=r"opendkim\.conf:1: .*'sub:ject'"):
        site.engine("SignHeaders From,Sub:ject")
    with pytest.raises(SettingsError, match=r"opendkim\.conf:2: .*DKIM-Signature"):
        site.engine("Syslog no\nOverSignHeaders From,DKIM-Signature")


def test_patterns_cannot_be_listed(site):
    site.write("fields", "x-*\n")
    with pytest.raises(TableError, match="a list of names is wanted"):
        site.engine("SignHeaders refile:fields")


def test_canonicalization_lifetime_and_copied_fields(site):
    found = profile(site, "Canonicalization simple\nSignatureTTL 3600\nDiagnostics yes")
    assert found.header_canonicalization is Canonicalization.SIMPLE
    assert found.body_canonicalization is Canonicalization.SIMPLE
    assert found.lifetime == 3600
    assert found.copied_fields
    assert profile(site, "SignatureTTL 0").lifetime is None


def test_the_policy_is_what_the_options_say(site):
    policy = site.engine(
        "MinimumKeyBits 2048\nClockDrift 60\nMustBeSigned Subject,To\n"
        "MaximumHeaders 1000\nMaximumSignaturesToVerify 8\n"
        "DkimcoreAllowBodyLength yes\nDkimcoreAllowSHA1 yes\n"
    ).policy
    assert (policy.min_rsa_bits, policy.clock_skew) == (2048, 60)
    assert policy.must_be_signed == {"subject", "to"}
    assert policy.allow_body_length
    assert policy.allow_historic
    limits = policy.limits
    assert (limits.header_octets, limits.signatures, limits.queries) == (1000, 8, 8)


def test_the_number_of_queries_may_be_less_than_that_of_signatures(site):
    limits = site.engine("MaximumSignaturesToVerify 8\nDkimcoreMaximumQueries 3").policy.limits
    assert (limits.signatures, limits.queries) == (8, 3)


def test_zero_has_the_meaning_that_the_options_give_it(site):
    policy = site.engine("ClockDrift 0\nMaximumHeaders 0\nMaximumSignaturesToVerify 0").policy
    assert policy.clock_skew == 300
    assert policy.limits.header_octets == 1 << 20
    # Which these are is chosen by their domains; so many at most.
    assert policy.limits.signatures == 5
