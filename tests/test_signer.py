"""Signer: who signs, with what; refused early and with the cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from dkimcore.errors import SettingsError
from dkimcore.keys import KeyContext
from dkimcore.keys.file import open_key
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.policy import SigningProfile
from dkimcore.signer import Signer
from dkimcore.testing import EphemeralKey

CASES = Path(__file__).resolve().parent / "cases" / "keys"


def rsa(bits):
    return open_key(KeyUri.parse(f"{CASES}/rsa{bits}.pem?permissions=ignore"), KeyContext())


@pytest.fixture(scope="module")
def key():
    return EphemeralKey.ed25519(bytes(32))


def test_a_request_says_what_the_signer_is(key):
    profile = SigningProfile(lifetime=3600)
    signer = Signer(
        domain=DomainName.parse("example.com"),
        selector=Selector.parse("s1"),
        key=key,
        auid=Auid.parse("news@mail.example.com"),
        profile=profile,
    )
    request = signer.request()
    assert (request.domain, request.selector) == (signer.domain, signer.selector)
    assert (request.auid, request.profile) == (signer.auid, profile)
    assert request.algorithm is Algorithm.ED25519_SHA256
    assert signer.request() is request


def test_plain_text_makes_the_same_signer(key):
    parsed = Signer(domain=DomainName.parse("example.com"), selector=Selector.parse("s1"), key=key)
    assert Signer.make("example.com", "s1", key) == parsed
    assert Signer.make(parsed.domain, parsed.selector, key, auid=None) == parsed
    made = Signer.make(
        "example.com", "s1", key, auid="@example.com", profile=SigningProfile(lifetime=1)
    )
    assert made.auid == Auid.parse("@example.com")
    assert made.profile.lifetime == 1
    assert Signer.make("example.com", "s1", key, auid=made.auid).auid is made.auid


@pytest.mark.parametrize(
    ("domain", "selector", "auid"),
    [
        ("example", "s1", None),
        ("a b.example", "s1", None),
        ("example.com", "s 1", None),
        ("example.com", "s1", "nobody"),
    ],
)
def test_names_that_are_none_are_refused(key, domain, selector, auid):
    with pytest.raises(SettingsError, match="is not a"):
        Signer.make(domain, selector, key, auid=auid)


@pytest.mark.rfc("6376", "3.5")
def test_an_auid_outside_of_the_domain_is_refused(key):
    with pytest.raises(SettingsError, match=r"not within the signing domain example\.com"):
        Signer.make("example.com", "s1", key, auid="@example.org")


@pytest.mark.rfc("8301", "3.2")
@pytest.mark.parametrize("bits", [768, 1023])
def test_rsa_below_1024_bits_is_refused_with_the_cure(bits):
    with pytest.raises(SettingsError, match=rf"s1\._domainkey\.example\.com has {bits} bits.*2048"):
        Signer.make("example.com", "s1", rsa(bits))


@pytest.mark.rfc("8301", "3.2")
@pytest.mark.parametrize(("bits", "weak"), [(1024, True), (2047, True), (2048, False)])
def test_rsa_below_2048_bits_can_be_warned_of(bits, weak):
    assert Signer.make("example.com", "s1", rsa(bits)).weak_key is weak


def test_ed25519_is_not_weak(key):
    assert not Signer.make("example.com", "s1", key).weak_key


class Claims:
    def __init__(self, key, algorithm):
        self.public_key, self.sign_digest, self.algorithm = (
            key.public_key,
            key.sign_digest,
            algorithm,
        )


@pytest.mark.rfc("8301", "3.1")
@pytest.mark.parametrize("algorithm", [Algorithm.RSA_SHA1, Algorithm.RSA_SHA256])
def test_an_algorithm_that_is_historic_or_of_another_key_type_is_refused(key, algorithm):
    with pytest.raises(SettingsError, match=f"ed25519 cannot sign with {algorithm}"):
        Signer.make("example.com", "s1", Claims(key, algorithm))


def test_a_signer_does_not_print_its_key(key):
    assert "private" not in repr(Signer.make("example.com", "s1", key)).lower()
