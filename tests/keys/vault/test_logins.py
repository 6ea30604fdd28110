"""Ways to log in, each at a real server."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace

import pytest
from cryptography import x509

from dkimcore.errors import ConfigError, KeyDenied, KeyUnavailable
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault.client import client_of
from dkimcore.keys.vault.grant import LoginRefused
from dkimcore.keys.vault.transit import open_key
from tests.servers import requires_server
from tests.servers.faults import Answer, vault_error
from tests.servers.kubernetes import TokenReviews
from tests.servers.openbao import SealedOpenBao
from tests.servers.openbaosetup import fresh_name
from tests.servers.tls import Authority

pytestmark = pytest.mark.server("openbao")


@pytest.fixture
def sign(vault, contexts, sections):
    """Opens the Ed25519 key with a section, and signs with it."""

    def make(section, uri=vault.ed, **keywords):
        context = contexts(sections(eu=section) if section else sections(), **keywords)
        return open_key(KeyUri.parse(uri), context).sign_digest(bytes(32))

    return make


@pytest.fixture
def new_token(vault):
    return lambda: vault.server.token([vault.policy])


@pytest.fixture(scope="module")
def api():
    with TokenReviews() as running:
        yield running


@pytest.fixture(scope="module")
def secure():
    requires_server("openbao")
    with SealedOpenBao() as server:
        server.enable_secrets("transit", mount="transit")
        server.client().secrets.transit.create_key("k", key_type="ed25519")
        yield server


class TestTokens:
    def test_from_a_file(self, sign, token_section, observer):
        assert len(sign(token_section())) == 64
        event = observer.wait_for("login")
        assert event.endpoint == "vault:eu"
        assert event.text.startswith("found a token at http://127.0.0.1")
        assert event.fields["auth"] == "token"
        assert "policy" in event.fields["policies"]

    def test_a_file_that_the_agent_has_not_written_yet(self, sign, vault, tmp_path):
        section = {"address": vault.address, "token_file": "late"}
        with pytest.raises(KeyUnavailable, match=f"token_file {tmp_path}/late does not exist"):
            sign(section)

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
    def test_a_file_of_the_agents_user(self, sign, vault, open_folder, new_token):
        path = open_folder / "sink"
        path.write_text(new_token())
        path.chmod(0o640)
        os.chown(path, pwd.getpwnam("bin").pw_uid, 0)
        section = {"address": vault.address, "token_file": path}
        with pytest.raises(KeyDenied, match="belongs to neither root nor the user daemon"):
            sign(section, uid=pwd.getpwnam("daemon").pw_uid)
        sign({**section, "token_owner": "bin"}, uid=pwd.getpwnam("daemon").pw_uid)

    def test_a_secret_of_the_program(self, sign, vault, new_token):
        token = new_token()
        sign({"address": vault.address}, secret={"vault-token": token}.get)
        with pytest.raises(LoginRefused, match="the secret vault-token holds no credential"):
            sign({"address": vault.address}, secret={"vault-token": "a b"}.get)

    def test_the_environment(self, sign, vault, monkeypatch, new_token):
        monkeypatch.setenv("VAULT_ADDR", vault.address)
        monkeypatch.setenv("VAULT_TOKEN", new_token())
        sign(None)
        monkeypatch.setenv("BAO_TOKEN", "wrong")
        with pytest.raises(KeyDenied, match="permission denied"):
            sign(None)

    def test_the_file_of_the_command_line_tool(self, sign, vault, monkeypatch, write, new_token):
        monkeypatch.setenv("VAULT_ADDR", vault.address)
        write(".vault-token", new_token())
        sign(None)

    def test_no_token_at_all(self, sign, vault, monkeypatch):
        monkeypatch.setenv("VAULT_ADDR", vault.address)
        with pytest.raises(LoginRefused, match="there is no token for"):
            sign(None)

    def test_a_token_of_the_environment_goes_to_no_other_server(
        self, sign, vault, monkeypatch, write
    ):
        monkeypatch.setenv("VAULT_TOKEN", "s.canary")
        write(".vault-token", "s.canary")
        with pytest.raises(LoginRefused, match="there is no token for"):
            sign({"address": vault.address})


class TestAppRole:
    def test_with_a_secret_id(self, sign, role_section, observer):
        sign(role_section(token_period="1h"))
        assert "logged in at http" in observer.wait_for("login").text

    def test_the_role_id_in_a_file(self, sign, role_section, write):
        section = role_section()
        section["role_id_file"] = write("role-id", section.pop("role_id"))
        sign(section)

    def test_a_role_without_secret_ids(self, sign, role_section, vault):
        section = role_section()
        role = {"bind_secret_id": False, "token_policies": [vault.policy]}
        role |= {"token_bound_cidrs": ["127.0.0.1/32"], "mount_point": section["mount"]}
        vault.root.auth.approle.create_or_update_approle(role_name="open", **role)
        read = vault.root.auth.approle.read_role_id("open", mount_point=section["mount"])
        section.pop("secret_id_file")
        sign({**section, "role_id": read["data"]["role_id"]})

    @pytest.mark.parametrize("wrong", ["role_id", "secret_id"])
    def test_refused(self, sign, role_section, write, observer, wrong):
        section = role_section()
        if wrong == "role_id":
            section["role_id"] = "nobody"
        else:
            write("secret-id", "nothing")
        with pytest.raises(LoginRefused, match=r"no login by approle: .*wrong, expired"):
            sign(section)
        assert observer.wait_for("login-refused").fields == {"auth": "approle"}

    def test_nothing_is_mounted(self, sign, role_section):
        with pytest.raises(LoginRefused, match="see its role and its mount"):
            sign({**role_section(), "mount": "nowhere"})

    def test_a_secret_id_that_is_used_up(self, sign, role_section):
        section = role_section(secret_id_num_uses=1)
        sign(section)
        with pytest.raises(LoginRefused, match="used up"):
            sign(section)


class TestKubernetes:
    @pytest.fixture
    def section(self, vault, api, write):
        mount = vault.server.kubernetes_role(
            api, [vault.policy], namespace="mail", account="mta", ttl="1h"
        )
        jwt = api.token(namespace="mail", account="mta")
        return {
            "address": vault.address,
            "auth": "kubernetes",
            "role": "dkim",
            "mount": mount,
            # As the kubelet lays it down.
            "jwt_file": write("jwt", jwt, mode=0o644),
        }

    def test_a_pod(self, sign, section, observer):
        sign(section)
        assert observer.wait_for("login").fields["auth"] == "kubernetes"

    def test_the_token_is_read_for_each_login(self, sign, section, api, write):
        write("jwt", api.token(namespace="mail", account="mta"))
        sign(section)

    def test_refused(self, sign, section, api, write):
        write("jwt", api.token(namespace="other", account="mta"))
        with pytest.raises(LoginRefused, match="no login by kubernetes"):
            sign(section)
        write("jwt", "a.b.c")
        with pytest.raises(LoginRefused, match="no login by kubernetes"):
            sign(section)
        with pytest.raises(LoginRefused, match="no login by kubernetes"):
            sign({**section, "role": "nobody"})


class TestCertificates:
    @pytest.fixture
    def clients(self, tmp_path):
        return Authority(tmp_path)

    @pytest.fixture
    def section(self, secure, clients):
        ours = clients.issue("mta.example.com")
        ours.key_file.chmod(0o600)
        policy = secure.policy('path "transit/*" { capabilities = ["read", "update"] }')
        return {
            "address": secure.address,
            "ca": secure.ca_file,
            "auth": "cert",
            "mount": secure.certificate_role(clients.certificate, [policy], token_ttl="1h"),
            "certificate": ours.certificate_file,
            "key": ours.key_file,
        }

    URI = "vault-transit:transit/k?version=1"

    def test_ours_is_known(self, sign, section, observer):
        sign(section, self.URI)
        sign({**section, "name": "dkim"}, self.URI)
        assert observer.wait_for("login").fields["auth"] == "cert"

    def test_it_may_be_replaced(self, contexts, sections, secure, section, clients, observer):
        """Those that last a day only are: the next login shows the new one."""
        context = contexts(sections(eu=section | {"renew": False}))
        key = open_key(KeyUri.parse(self.URI), context)
        tokens = client_of(context, key._section, uri="x")._tokens
        fresh = x509.load_pem_x509_certificate(clients.issue("mta.example.com").certificate)
        secure.client().auth.token.revoke(tokens._grant.token.reveal())
        tokens.renew(replace(tokens._grant, proven=tokens._grant.proven - 100))
        key.sign_digest(bytes(32))
        assert len(observer.named("login")) == 2
        token = tokens._grant.token.reveal()
        shown = secure.client().auth.token.lookup(token)["data"]["meta"]["serial_number"]
        assert int(shown) == fresh.serial_number

    def test_another_one(self, sign, section, tmp_path):
        folder = tmp_path / "others"
        folder.mkdir()
        stranger = Authority(folder).issue("mta.example.com")
        stranger.key_file.chmod(0o600)
        section |= {"certificate": stranger.certificate_file, "key": stranger.key_file}
        with pytest.raises(LoginRefused, match="no role takes our certificate"):
            sign(section, self.URI)

    def test_none(self, sign, secure):
        with pytest.raises(ConfigError, match='auth = "cert" needs the files certificate and key'):
            sign({"address": secure.address, "auth": "cert"}, self.URI)

    def test_the_wrong_key(self, sign, section, clients, tmp_path):
        other = clients.issue("other")
        other.key_file.chmod(0o600)
        with pytest.raises(KeyDenied, match="TLS cannot use the certificate"):
            sign({**section, "key": other.key_file}, self.URI)


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b'{"auth":null}', "let us in without a token"),
            (b'{"auth":{"client_token":""}}', "let us in without a token"),
            (b'{"auth":{"client_token":"a b"}}', "the login's answer holds no credential"),
            (b'{"auth":{"client_token":"","mfa_requirement":{"x":1}}}', "a second factor"),
        ],
    )
    def test_without_a_token(self, sign, role_section, proxy, body, problem):
        proxy.inject(Answer(status=200, body=body), match="/login")
        with pytest.raises(LoginRefused, match=problem):
            sign(role_section(proxy.url))

    def test_quotas(self, sign, role_section, proxy):
        proxy.inject(vault_error(429, "quota", headers={"Retry-After": "9"}), match="/login")
        with pytest.raises(KeyUnavailable, match="rate limit quotas") as caught:
            sign(role_section(proxy.url))
        assert caught.value.retry_after == 9

    def test_a_server_that_quotes_what_we_sent(self, sign, role_section, proxy):
        section = role_section(proxy.url)
        with open(section["secret_id_file"]) as file:
            secret_id = file.read()
        proxy.inject(vault_error(400, f"invalid secret id {secret_id}"), match="/login")
        with pytest.raises(LoginRefused) as caught:
            sign(section)
        assert secret_id not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"auth": "ldap"}, "auth: auth is one of: token, approle, kubernetes, cert"),
        ({"auth": "approle"}, "needs either role_id or role_id_file"),
        ({"auth": "approle", "role_id": "a", "role_id_file": "b"}, "needs either role_id or"),
        ({"auth": "kubernetes"}, "needs the name of a role"),
        ({"auth": "token", "mount": "x"}, 'mount: auth = "token" has no such key'),
        (
            {"auth": "approle", "role_id": "a", "jwt_file": "x"},
            "no such key; it knows: role_id",
        ),
        ({"auth": "approle", "role_id": "a", "mount": "../x"}, "write the path of the login"),
        ({"token_owner": fresh_name("nobody")}, "token_owner: there is no user"),
        ({"tokenfile": "x"}, "tokenfile: vault has no such key; it knows: address, attempts"),
        ({"renew": "yes"}, "renew: write true or false"),
    ],
)
def test_sections_that_are_wrong(sign, keys, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        sign({"address": "https://vault.example.com", **keys})
    assert "keys.toml:" in str(caught.value)
