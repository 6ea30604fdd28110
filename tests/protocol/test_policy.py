"""Settings of the protocol: safe by default, and wrong ones are refused at once."""

import dataclasses

import pytest

from dkimcore.errors import SettingsError
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy

rfc = pytest.mark.rfc


@rfc("8301", "3.2")
def test_short_keys_cannot_be_allowed():
    """Statement 74."""
    assert VerifyPolicy().min_rsa_bits == 1024
    with pytest.raises(SettingsError, match="RFC 8301"):
        VerifyPolicy(min_rsa_bits=1023)


@rfc("8301", "3.2")
@pytest.mark.parametrize(("low", "high"), [(2048, 1024), (1024, 16_385)])
def test_long_keys_have_an_end(low, high):
    """Statement 75."""
    assert VerifyPolicy().max_rsa_bits >= 4096
    with pytest.raises(SettingsError, match="max_rsa_bits"):
        VerifyPolicy(min_rsa_bits=low, max_rsa_bits=high)


@rfc("6376", "8.2")
@rfc("8301", "3.1")
@rfc("6376", "3.5")
def test_the_default_policy_accepts_no_l_no_sha1_and_nothing_expired():
    """Statements 40, 73, 109, 164: each can be allowed on purpose."""
    policy = VerifyPolicy()
    assert not policy.allow_body_length
    assert not policy.allow_historic
    assert not policy.allow_expired
    assert not policy.allow_future
    assert policy.must_be_signed == frozenset()
    assert dataclasses.replace(policy, allow_historic=True).allow_historic


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"clock_skew": -1}, "clock_skew"),
        ({"must_be_signed": frozenset({"Subject"})}, "lower case"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(change, problem):
    with pytest.raises(SettingsError, match=problem):
        VerifyPolicy(**change)


@rfc("6376", "8.4")
@pytest.mark.parametrize(
    "name", ["header_octets", "signatures", "signature_octets", "signed_fields"]
)
def test_a_limit_is_at_least_one(name):
    """Statement 104."""
    assert getattr(Limits(), name) >= 1
    with pytest.raises(SettingsError, match=name):
        Limits(**{name: 0})


@rfc("6376", "5.4")
@rfc("6376", "5.4.1")
def test_the_default_profile_signs_what_people_see_and_what_trace_fields_do_not_change():
    """Statements 115, 121, 122."""
    profile = SigningProfile()
    wanted = "from reply-to subject date to cc resent-from in-reply-to references list-id"
    assert set(wanted.split()) <= set(profile.fields)
    assert {"mime-version", "content-type", "content-transfer-encoding"} <= set(profile.fields)
    never = {"return-path", "received", "comments", "keywords", "dkim-signature", "sender"}
    assert not never & set(profile.fields)
    assert {"from", "subject", "to", "date"} <= set(profile.oversigned_fields)
    assert set(profile.oversigned_fields) <= set(profile.fields)
    assert profile.header_canonicalization is Canonicalization.RELAXED
    assert not profile.body_length
    assert profile.lifetime is None


@rfc("6376", "5.4")
def test_a_profile_without_from_is_refused():
    """Statement 115."""
    with pytest.raises(SettingsError, match="must hold 'from'"):
        SigningProfile(fields=("to", "subject"))


@rfc("5322", "2.2")
@pytest.mark.parametrize("place", ["fields", "oversigned_fields"])
@pytest.mark.parametrize("name", ["Subject", "", "a b", "a:b", "a;b", "caf\u00e9", "a\tb", "a\r\n"])
def test_what_is_no_field_name_in_lower_case_is_refused(place, name):
    with pytest.raises(SettingsError, match="is not a field name"):
        SigningProfile(**{place: ("from", name)})


@rfc("6376", "5.4")
@pytest.mark.parametrize("place", ["fields", "oversigned_fields"])
def test_signatures_are_not_signed(place):
    """Statement 117."""
    with pytest.raises(SettingsError, match="DKIM-Signature"):
        SigningProfile(**{place: ("from", "dkim-signature")})


@rfc("6376", "3.5")
@pytest.mark.parametrize("lifetime", [0, -1])
def test_a_signature_does_not_expire_before_it_is_made(lifetime):
    """Statements 46, 123."""
    assert SigningProfile(lifetime=1).lifetime == 1
    with pytest.raises(SettingsError, match="lifetime"):
        SigningProfile(lifetime=lifetime)


@rfc("6376", "8.2")
def test_how_much_of_the_body_is_signed_is_a_number():
    assert SigningProfile().body_octets is None
    assert SigningProfile(body_octets=0).body_octets == 0
    with pytest.raises(SettingsError, match="body_octets"):
        SigningProfile(body_octets=-1)
