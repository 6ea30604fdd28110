"""One token for all keys of a section, and a new one when it ends or is refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable
from dkimcore.keys.secret import Secret
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault import tokens
from dkimcore.keys.vault.client import client_of
from dkimcore.keys.vault.grant import LoginRefused
from dkimcore.keys.vault.transit import open_key
from tests.keys.vault.waiting import eventually
from tests.servers.faults import Close, Hang, Slow, vault_error

pytestmark = pytest.mark.server("openbao")

TIMEOUT = 5.0


@pytest.fixture
def opened(vault, contexts, sections):
    """Opens the Ed25519 key with a section, and returns it and how to sign."""

    def make(section, context=None):
        context = context or contexts(sections(eu=section))
        key = open_key(KeyUri.parse(vault.ed), context)

        def sign(count=1):
            return key.sign_digests([os.urandom(32) for _ in range(count)], timeout=TIMEOUT)

        key.sign = sign
        return key

    return make


@pytest.fixture
def tokens_of(contexts):
    """The tokens of a key's client."""
    return lambda key: client_of(key._context, key._section, uri="x")._tokens


def accessors(vault):
    """What stands for each token that there is."""
    return set(vault.root.auth.token.list_accessors()["data"]["keys"])


@pytest.fixture
def revoke(vault):
    """Ends a token, as its time would."""

    def end(grant):
        vault.root.auth.token.revoke(grant.token.reveal())

    return end


@pytest.fixture
def aged(tokens_of):
    """Makes the token in use one that was proven to live long ago."""

    def age(key):
        kept = tokens_of(key)
        grant = kept._grant
        kept.renew(tokens.replace(grant, proven=grant.proven - 100, since=grant.since - 100))
        return kept._grant

    return age


class TestAfterTheEnd:
    def test_a_token_that_ends_by_itself(self, opened, role_section, observer, tokens_of):
        key = opened(role_section(token_ttl="1s", keys={"renew": False}))
        first = tokens_of(key)._grant
        eventually(lambda: first.is_over(tokens.time.monotonic()))
        key.sign()
        second = tokens_of(key)._grant
        assert second.token != first.token
        assert len(observer.named("login")) == 2

    def test_a_token_that_was_revoked(self, opened, role_section, observer, revoke, aged):
        key = opened(role_section(keys={"renew": False}))
        revoke(aged(key))
        (signature_data,) = key.sign()
        assert type(signature_data) is bytes
        assert len(observer.named("login")) == 2

    def test_many_threads_are_refused_at_once_and_one_logs_in(
        self, opened, role_section, proxy, observer, revoke, aged
    ):
        key = opened(role_section(proxy.url, keys={"renew": False}))
        revoke(aged(key))
        proxy.reset_counts()
        proxy.inject(Slow(seconds=0.2), match="/login")
        start, outcomes = threading.Barrier(16), []

        def work():
            start.wait()
            outcomes.extend(key.sign())

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [type(outcome) for outcome in outcomes] == [bytes] * 16
        logins = [each for each in proxy.recent if each.path.endswith("/login")]
        assert len(logins) == 1
        assert len(observer.named("login")) == 2

    def test_a_token_without_the_right_to_look_itself_up(
        self, opened, role_section, observer, revoke, aged, tokens_of
    ):
        key = opened(role_section(token_no_default_policy=True, keys={"renew": False}))
        assert "of which nothing is known" in observer.named("login")[0].text
        assert not tokens_of(key)._grant.can_look
        revoke(aged(key))
        key.sign()
        assert len(observer.named("login")) == 2
        # Refused again right after a login: a policy it must be, for the next minute.
        revoke(tokens_of(key)._grant)
        with pytest.raises(KeyDenied):
            key.sign()
        assert len(observer.named("login")) == 2

    def test_the_next_login_for_a_refusal_is_made_later_each_time(
        self, vault, opened, role_section, observer, aged
    ):
        """What nothing is known of is refused just the same: it is a policy that is to blame."""
        rules = f'path "{vault.transit}/keys/*" {{ capabilities = ["read"] }}'
        policies = [vault.server.policy(rules)]
        key = opened(role_section(policies=policies, token_no_default_policy=True))
        logins = []
        for _ in range(5):
            aged(key)  # by 100 seconds
            with pytest.raises(KeyDenied, match="capabilities"):
                key.sign()
            logins.append(len(observer.named("login")))
        # After 60 s, after 60 s again, and then after 120 s: the last was 200 s old.
        assert logins == [2, 3, 3, 4, 4]


class TestPatience:
    """A login has its own time, and not what the message has that needs it first."""

    def test_who_comes_first_with_little_time_left_takes_nobody_along(
        self, vault, opened, role_section, proxy, aged, revoke
    ):
        before = accessors(vault)
        key = opened(role_section(proxy.url, keys={"renew": False}))
        revoke(aged(key))
        slow = proxy.inject(Slow(seconds=0.5), match="/login")
        errors, outcomes = [], []

        def hurried():
            try:
                key.sign_digests([os.urandom(32)], timeout=0.2)
            except KeyUnavailable as exc:
                errors.append(exc)

        first = threading.Thread(target=hurried)
        first.start()
        eventually(lambda: slow.hits)
        others = [threading.Thread(target=lambda: outcomes.extend(key.sign())) for _ in range(3)]
        for thread in others:
            thread.start()
        for thread in (first, *others):
            thread.join()
        assert [type(outcome) for outcome in outcomes] == [bytes] * 3
        (error,) = errors
        assert str(error).startswith(f"{vault.ed}: a login at")
        assert slow.hits == 1
        key._context.resources.close()
        assert accessors(vault) <= before

    def test_a_login_for_which_nobody_waits_any_more_is_the_next_one_s(
        self, opened, role_section, proxy, aged, revoke, observer
    ):
        key = opened(role_section(proxy.url, keys={"renew": False}))
        revoke(aged(key))
        slow = proxy.inject(Slow(seconds=0.3), match="/login")
        with pytest.raises(KeyUnavailable, match="takes too long"):
            key.sign_digests([os.urandom(32)], timeout=0.2)
        observer.wait_for("login", 2)
        key.sign()
        assert slow.hits == 1

    def test_where_the_system_has_no_thread_for_it(
        self, opened, role_section, monkeypatch, observer
    ):
        def start(_):
            raise RuntimeError("can't start new thread")

        section = role_section(keys={"renew": False})
        monkeypatch.setattr(threading.Thread, "start", start)
        opened(section).sign()
        assert len(observer.named("login")) == 1

    def test_what_goes_wrong_in_its_thread_is_said_without_secrets(
        self, vault, contexts, sections, capfd
    ):
        def secret(name):
            raise ValueError("canary")

        context = contexts(sections(eu={"address": vault.address}), secret=secret)
        with pytest.raises(KeyUnavailable, match=r"failed with ValueError \(.*in secret") as caught:
            open_key(KeyUri.parse(vault.ed), context)
        assert "canary" not in str(caught.value)
        assert "canary" not in capfd.readouterr().err


class TestPolicies:
    def test_a_policy_is_no_reason_to_log_in_again(
        self, vault, opened, role_section, observer, aged
    ):
        rules = f'path "{vault.transit}/keys/*" {{ capabilities = ["read"] }}'
        key = opened(role_section(policies=[vault.server.policy(rules)]))
        for _ in range(3):
            aged(key)
            with pytest.raises(KeyDenied, match="capabilities") as caught:
                key.sign()
            assert not isinstance(caught.value, LoginRefused)
        assert len(observer.named("login")) == 1

    def test_a_token_with_a_number_of_uses(self, opened, token_section):
        with pytest.raises(LoginRefused, match="token_num_uses=0"):
            opened(token_section(num_uses=9))

    def test_it_is_given_back_if_we_asked_for_it(self, vault, opened, role_section):
        before = accessors(vault)
        with pytest.raises(LoginRefused, match="token_num_uses=0"):
            opened(role_section(token_num_uses=9))
        assert accessors(vault) <= before

    def test_one_that_cannot_be_looked_up_now_is_used(
        self, vault, opened, role_section, proxy, observer
    ):
        """A login anew would leave it behind, and ask more of a server that is slow."""
        before = accessors(vault)
        proxy.inject(vault_error(503, "Vault is sealed"), match="/lookup-self")
        key = opened(role_section(proxy.url))
        (signature_data,) = key.sign()
        assert type(signature_data) is bytes
        assert "it could not be looked up" in observer.wait_for("login").text
        assert len(accessors(vault) - before) == 1

    @pytest.mark.parametrize("status", [400, 404])
    def test_no_answer_about_the_token_is_no_answer_about_the_key(
        self, opened, role_section, proxy, aged, status
    ):
        key = opened(role_section(proxy.url))
        aged(key)
        proxy.inject(vault_error(403, "permission denied"), match="/sign/")
        proxy.inject(vault_error(status, "odd"), match="/lookup-self")
        with pytest.raises(KeyUnavailable, match="for auth/token/lookup-self"):
            key.sign()


class TestRefusedLogins:
    def test_it_is_not_tried_again_at_once(
        self, opened, role_section, proxy, write, observer, contexts, sections
    ):
        section = role_section(proxy.url)
        context = contexts(sections(eu=section))
        write("secret-id", "wrong")
        for problem in ("no login by approle: .*invalid role or secret ID", "not tried again for"):
            with pytest.raises(KeyDenied, match=problem) as caught:
                opened(section, context)
            assert isinstance(caught.value, LoginRefused)
            assert not caught.value.temporary
        assert proxy.requests == 1
        assert len(observer.named("login-refused")) == 1

    def test_it_is_tried_again_when_a_file_has_changed(
        self, opened, role_section, write, contexts, sections
    ):
        section = role_section()
        context = contexts(sections(eu=section))
        right = Path(section["secret_id_file"]).read_text()
        write("secret-id", "wrong")
        with pytest.raises(LoginRefused):
            opened(section, context)
        write("secret-id", right)
        opened(section, context).sign()

    def test_a_secret_id_of_one_use_is_not_burnt(self, opened, role_section, vault, observer):
        key = opened(role_section(secret_id_num_uses=1, token_ttl="1h"))
        for _ in range(5):
            key.sign()
        assert len(observer.named("login")) == 1

    def test_a_login_that_cannot_be_made_now_may_be_made_next(
        self, vault, opened, role_section, proxy
    ):
        section = role_section(proxy.url)
        with (
            proxy.broken(vault_error(503, "Vault is sealed")),
            pytest.raises(KeyUnavailable, match="it is sealed; unseal it") as caught,
        ):
            opened(section)
        assert str(caught.value).startswith(f"{vault.ed}: ")
        opened(section).sign()

    def test_who_waits_for_a_login_has_an_end_too(self, opened, role_section, proxy, aged, revoke):
        key = opened(role_section(proxy.url, keys={"renew": False, "read_timeout": 3}))
        revoke(aged(key))
        proxy.inject(Hang(), match="/login")
        errors = []

        def work(timeout):
            try:
                key.sign_digests([os.urandom(32)], timeout=timeout)
            except KeyUnavailable as exc:
                errors.append(exc.problem)

        leader = threading.Thread(target=work, args=(1.0,))
        leader.start()
        proxy.wait_for(proxy.requests + 1)
        eventually(lambda: any(each.path.endswith("/login") for each in list(proxy.recent)[-2:]))
        follower = threading.Thread(target=work, args=(0.2,))
        follower.start()
        follower.join()
        leader.join()
        assert len(errors) == 2

    def test_errors_name_the_key_that_was_asked_for(
        self, vault, contexts, sections, role_section, write
    ):
        context = contexts(sections(eu=role_section()))
        write("secret-id", "wrong")
        for uri in (vault.ed, vault.rsa):
            with pytest.raises(LoginRefused) as caught:
                open_key(KeyUri.parse(uri), context)
            assert str(caught.value).startswith(uri)


class TestTokenFiles:
    def test_it_is_read_again_when_it_is_replaced(
        self, vault, opened, token_section, write, tokens_of, monkeypatch
    ):
        monkeypatch.setattr(tokens, "_WATCH_SECONDS", 0.0)
        key = opened(token_section())
        fresh = vault.server.token([vault.policy])
        write("token", fresh + "\n")
        key.sign()
        assert tokens_of(key)._grant.token == Secret(fresh)

    def test_it_is_read_again_when_its_token_is_refused(
        self, vault, opened, token_section, write, tokens_of, revoke, aged
    ):
        key = opened(token_section())
        revoke(aged(key))
        write("token", vault.server.token([vault.policy]))
        (signature_data,) = key.sign()
        assert type(signature_data) is bytes

    def test_a_file_that_is_being_written_changes_nothing(
        self, opened, token_section, write, tokens_of, monkeypatch, vault
    ):
        monkeypatch.setattr(tokens, "_WATCH_SECONDS", 0.0)
        key = opened(token_section())
        before = tokens_of(key)._grant
        write("token", "")
        key.sign()
        assert tokens_of(key)._grant is before
        write("token", vault.server.token([vault.policy]))
        key.sign()
        assert tokens_of(key)._grant is not before

    def test_a_word_that_the_server_does_not_know_takes_no_living_token_s_place(
        self, opened, token_section, write, tokens_of, monkeypatch, vault, observer
    ):
        """Half written, mistyped, or not replicated yet."""
        monkeypatch.setattr(tokens, "_WATCH_SECONDS", 0.0)
        key = opened(token_section())
        before = tokens_of(key)._grant
        write("token", "hvs.canary")
        for _ in range(3):
            key.sign()
        assert tokens_of(key)._grant.token is before.token
        (event,) = observer.named("token-doubted")
        assert "is used until it ends" in event.text
        assert "canary" not in event.text
        write("token", vault.server.token([vault.policy]))
        key.sign()
        assert tokens_of(key)._grant.token is not before.token

    def test_nor_does_it_when_a_policy_refuses(
        self, vault, opened, token_section, write, tokens_of, aged
    ):
        rules = f'path "{vault.transit}/keys/*" {{ capabilities = ["read"] }}'
        key = opened(token_section(policies=[vault.server.policy(rules)]))
        before = aged(key)
        write("token", "hvs.canary")
        with pytest.raises(KeyDenied, match="capabilities"):
            key.sign()
        assert tokens_of(key)._grant.token is before.token

    def test_one_that_may_not_look_itself_up_is_used_when_the_one_before_it_ends(
        self, vault, opened, token_section, write, tokens_of, monkeypatch, revoke, aged, observer
    ):
        monkeypatch.setattr(tokens, "_WATCH_SECONDS", 0.0)
        key = opened(token_section())
        made = vault.root.auth.token.create_orphan(policies=[vault.policy], no_default_policy=True)
        write("token", made["auth"]["client_token"])
        key.sign()
        assert len(observer.named("token-doubted")) == 1
        revoke(aged(key))
        (signature_data,) = key.sign()
        assert type(signature_data) is bytes
        assert not tokens_of(key)._grant.can_look

    def test_one_that_another_node_knows_only_later_is_used_then(
        self, vault, opened, token_section, write, tokens_of, monkeypatch, proxy, observer
    ):
        monkeypatch.setattr(tokens, "_WATCH_SECONDS", 0.0)
        monkeypatch.setattr(tokens, "_DOUBT_SECONDS", 0.0)
        key = opened(token_section(proxy.url))
        fresh = vault.server.token([vault.policy])
        proxy.inject(vault_error(403, "permission denied"), match="/lookup-self", times=1)
        write("token", fresh)
        key.sign()
        assert len(observer.named("token-doubted")) == 1
        key.sign()
        assert tokens_of(key)._grant.token == Secret(fresh)

    def test_the_token_is_refused_and_there_is_no_other(self, opened, token_section, revoke, aged):
        key = opened(token_section())
        revoke(aged(key))
        with pytest.raises(KeyDenied, match="the token has ended"):
            key.sign()

    def test_a_token_that_lives_is_not_replaced_by_itself(
        self, vault, opened, token_section, aged, tokens_of, observer
    ):
        rules = f'path "{vault.transit}/keys/*" {{ capabilities = ["read"] }}'
        key = opened(token_section(policies=[vault.server.policy(rules)]))
        before = aged(key)
        with pytest.raises(KeyDenied, match="capabilities"):
            key.sign()
        assert tokens_of(key)._grant.token is before.token
        assert len(observer.named("login")) == 1  # the same one again is no news


class TestClosing:
    def test_a_login_that_is_under_way_is_given_back(
        self, vault, contexts, sections, role_section, proxy
    ):
        """A worker that ends waits for that, too: after it, its threads are no more."""
        before = accessors(vault)
        context = contexts(sections(eu=role_section(proxy.url)))
        slow = proxy.inject(Slow(seconds=0.3), match="/lookup-self")
        errors = []

        def work():
            try:
                open_key(KeyUri.parse(vault.ed), context)
            except KeyUnavailable as exc:
                errors.append(exc.problem)

        opening = threading.Thread(target=work)
        opening.start()
        eventually(lambda: slow.hits)
        context.resources.close()
        assert accessors(vault) <= before
        opening.join()
        assert errors == ["its KeyStore is closed"]

    def test_a_token_that_we_asked_for_is_given_back(self, vault, opened, role_section, tokens_of):
        key = opened(role_section())
        token = tokens_of(key)._grant.token.reveal()
        key._context.resources.close()
        with pytest.raises(Exception, match=r"permission denied|bad token"):
            vault.server.client(token).auth.token.lookup_self()

    def test_one_that_was_replaced_is_given_back_after_the_calls_under_way(
        self, vault, opened, role_section, tokens_of
    ):
        key = opened(role_section())
        first = tokens_of(key)._grant
        client = vault.server.client(first.token.reveal())
        deadline = tokens.time.monotonic() + 5
        tokens_of(key).log_in_again(first, deadline=deadline, uri="x:y")
        accessor = client.auth.token.lookup_self()["data"]["accessor"]
        key.sign()
        eventually(lambda: accessor not in accessors(vault))
        key.sign()

    def test_one_that_waits_for_that_is_given_back_at_the_end(
        self, vault, opened, role_section, tokens_of
    ):
        before = accessors(vault)
        key = opened(role_section(keys={"read_timeout": 30}))
        for _ in range(2):
            kept = tokens_of(key)
            kept.log_in_again(kept._grant, deadline=tokens.time.monotonic() + 5, uri="x:y")
        assert len(accessors(vault) - before) == 3
        key._context.resources.close()
        assert accessors(vault) <= before

    def test_one_that_was_found_and_replaced_is_its_owner_s(
        self, vault, opened, token_section, write, tokens_of, monkeypatch, proxy
    ):
        monkeypatch.setattr(tokens, "_WATCH_SECONDS", 0.0)
        key = opened(token_section(proxy.url))
        first = tokens_of(key)._grant.token
        write("token", vault.server.token([vault.policy]))
        key.sign()
        assert tokens_of(key)._grant.token != first
        key._context.resources.close()
        assert not [each for each in proxy.recent if "revoke" in each.path]

    def test_nobody_logs_in_after_that(self, opened, role_section, tokens_of, observer):
        kept = tokens_of(opened(role_section()))
        kept.close()
        with pytest.raises(KeyUnavailable, match="its KeyStore is closed"):
            kept.current(deadline=tokens.time.monotonic() + 5, uri="x:y")
        assert len(observer.named("login")) == 1

    def test_a_token_that_we_found_is_not(self, vault, opened, token_section, tokens_of):
        key = opened(token_section())
        token = tokens_of(key)._grant.token.reveal()
        key._context.resources.close()
        assert vault.server.client(token).auth.token.lookup_self()["data"]["ttl"] > 0

    @pytest.mark.parametrize("fault", [Hang(), Close(), vault_error(503, "Vault is sealed")])
    def test_a_server_that_is_down_does_not_hold_us_up(
        self, opened, role_section, proxy, fault, observer, monkeypatch
    ):
        monkeypatch.setattr(tokens, "REVOKING_SECONDS", 0.2)
        key = opened(role_section(proxy.url))
        proxy.inject(fault)
        start = tokens.time.monotonic()
        assert key._context.resources.close() == []
        assert tokens.time.monotonic() - start < 2
        assert "a token was not given back" in observer.wait_for("token-kept").text

    def test_a_batch_token_cannot_be_given_back(self, opened, role_section, proxy, tokens_of):
        key = opened(role_section(proxy.url, token_type="batch", token_ttl="1h"))
        assert tokens_of(key)._grant.is_batch
        key.sign()
        key._context.resources.close()
        assert not [each for each in proxy.recent if "revoke" in each.path]
