"""Tokens are renewed in the background, before they end."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from dkimcore.errors import KeyDenied
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault.client import client_of
from dkimcore.keys.vault.transit import open_key
from tests.keys.vault.waiting import eventually
from tests.servers.faults import vault_error

pytestmark = pytest.mark.server("openbao")


@pytest.fixture
def opened(vault, contexts, sections):
    """Opens the Ed25519 key, and returns it and its tokens."""

    def make(section):
        context = contexts(sections(eu=section))
        key = open_key(KeyUri.parse(vault.ed), context)
        return key, client_of(context, key._section, uri="x")._tokens

    return make


def test_a_token_is_renewed_again_and_again(opened, role_section, observer):
    key, tokens = opened(role_section(token_period="1s"))
    token = tokens._grant.token
    event = observer.wait_for("token-renewed", 3)
    assert event.fields == {"ttl": 1}
    assert event.endpoint == "vault:eu"
    assert tokens._grant.token is token
    key.sign_digest(bytes(32))
    assert len(observer.named("login")) == 1


def test_a_token_of_a_file_is_renewed_too(opened, token_section, observer):
    key, _ = opened(token_section(period="2s"))
    observer.wait_for("token-renewed")
    key.sign_digest(bytes(32))


def test_unless_the_section_says_not(opened, token_section, observer):
    _, tokens = opened(token_section(period="1s", renew=False))
    eventually(lambda: tokens._grant.is_over(time.monotonic()))
    assert not observer.named("token-renewed")


def test_before_its_greatest_age_the_next_login_is_made(opened, role_section, observer):
    key, tokens = opened(role_section(token_ttl="2s", token_max_ttl="3s"))
    first = tokens._grant
    observer.wait_for("login", 2)
    assert time.monotonic() < first.since + 3
    key.sign_digest(bytes(32))


def test_a_token_that_cannot_be_renewed_is_followed_by_another(opened, role_section, observer):
    key, _ = opened(role_section(token_type="batch", token_ttl="1s"))
    observer.wait_for("login", 2)
    key.sign_digest(bytes(32))
    assert not observer.named("token-renewed")


def test_a_renewal_that_is_refused_is_followed_by_a_login(opened, role_section, proxy, observer):
    section = role_section(proxy.url, token_period="1s")
    proxy.inject(vault_error(403, "permission denied"), match="/renew-self")
    key, _ = opened(section)
    observer.wait_for("login", 2)
    assert "permission denied" in observer.wait_for("renewal-failed").text
    key.sign_digest(bytes(32))


def test_a_renewal_that_has_no_answer_is_tried_again(opened, role_section, proxy, observer):
    section = role_section(proxy.url, token_period="4s")
    proxy.inject(vault_error(503, "Vault is sealed"), match="/renew-self", times=1)
    opened(section)
    assert "it is sealed" in observer.wait_for("renewal-failed").text
    observer.wait_for("token-renewed")
    assert len(observer.named("login")) == 1


def test_an_answer_that_says_nothing_is_followed_by_a_login(opened, role_section, proxy, observer):
    section = role_section(proxy.url, token_period="1s")
    proxy.inject(vault_error(200), match="/renew-self")
    opened(section)
    observer.wait_for("login", 2)


@pytest.mark.parametrize("way", ["role", "token"])
def test_refusals_for_a_policy_fill_no_memory_with_plans(
    vault, opened, role_section, token_section, way
):
    """Each refusal looks the token up; a plan stays in memory for as long as the token lives."""
    rules = f'path "{vault.transit}/keys/*" {{ capabilities = ["read"] }}'
    policies = [vault.server.policy(rules)]
    section = (
        role_section(policies=policies, token_period="1h")
        if way == "role"
        else token_section(policies=policies, period="1h")
    )
    key, tokens = opened(section)
    plans = key._context.resources.housekeeping._due
    assert len(plans) == 1
    for _ in range(5):
        grant = tokens._grant
        tokens.renew(replace(grant, proven=grant.proven - 100))
        with pytest.raises(KeyDenied, match="capabilities"):
            key.sign_digests([bytes(32)], timeout=5.0)
        assert tokens._grant.proven > grant.proven - 100
    assert len(plans) == 1


def test_a_token_that_its_agent_renewed_is_renewed_at_another_time(opened, token_section):
    key, tokens = opened(token_section(period="1h"))
    plans = key._context.resources.housekeeping._due
    # As after half an hour, in which only its agent has renewed it.
    grant = tokens._grant
    tokens.renew(replace(grant, renewed=grant.renewed - 1800, proven=grant.proven - 1800))
    tokens.after_refusal(tokens._grant, deadline=time.monotonic() + 5, uri="x:y")
    assert tokens._grant.renewed > grant.renewed
    assert len(plans) == 2
