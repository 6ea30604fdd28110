"""One client for a section: its server, its namespace, its end; and a child's own."""

from __future__ import annotations

import datetime
import json
import os
import time
from dataclasses import replace

import pytest
from cryptography import x509

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnavailable
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault import tls
from dkimcore.keys.vault.client import client_of
from dkimcore.keys.vault.transit import open_key
from tests.forked import fork
from tests.keys.vault.waiting import eventually
from tests.servers import requires_server
from tests.servers.faults import Drip, Hang, vault_error
from tests.servers.nsd import HOST, free_port
from tests.servers.openbao import SealedOpenBao
from tests.servers.openbaosetup import fresh_name
from tests.servers.tls import Authority

pytestmark = pytest.mark.server("openbao")

DIGEST = bytes(32)


@pytest.fixture
def mail(contexts, sections):
    """Makes a context of some sections."""
    return lambda **backends: contexts(sections(**backends))


class TestSections:
    def test_keys_share_what_their_section_has(self, vault, mail, token_section, proxy, observer):
        context = mail(eu=token_section(proxy.url))
        for uri in (vault.rsa, vault.ed):
            open_key(KeyUri.parse(uri), context).sign_digest(DIGEST)
        assert len(observer.named("login")) == 1
        assert proxy.counts()["connections"] == 1

    def test_several_by_name(self, vault, mail, token_section, proxy, observer):
        context = mail(eu=token_section(), us=token_section(proxy.url))
        for name in ("eu", "us"):
            open_key(KeyUri.parse(f"{vault.ed}&backend={name}"), context).sign_digest(DIGEST)
        assert {event.endpoint for event in observer.named("login")} == {"vault:eu", "vault:us"}
        with pytest.raises(Exception, match="add backend=eu or backend=us"):
            open_key(KeyUri.parse(vault.ed), context)

    def test_namespaces(self, vault, mail, write):
        name = fresh_name("mail").replace("-", "")
        vault.root.adapter.post(f"/v1/sys/namespaces/{name}", json={})
        inside = vault.server.client(namespace=name)
        inside.sys.enable_secrets_engine("transit")
        inside.secrets.transit.create_key("k", key_type="ed25519")
        rules = 'path "transit/*" { capabilities = ["read", "update"] }'
        inside.sys.create_or_update_policy("dkim", rules)
        token = inside.auth.token.create(policies=["dkim"])["auth"]["client_token"]
        section = {"address": vault.address, "token_file": write("t", token)}
        uri = KeyUri.parse("vault-transit:transit/k?version=1")
        open_key(uri, mail(eu={**section, "namespace": name})).sign_digest(DIGEST)
        with pytest.raises(KeyDenied):
            open_key(uri, mail(eu=section))
        with pytest.raises(KeyDenied, match="correct namespace="):
            open_key(uri, mail(eu={**section, "namespace": "none"}))


class TestServersThatAreOutOfOrder:
    """With TLS and a certificate of its own authority, as a real one is run."""

    URI = KeyUri.parse("vault-transit:transit/k?version=1")

    def test_sealed_and_unsealed_and_restarted(self, own_server, mail, write):
        server = own_server
        policy = server.policy('path "transit/*" { capabilities = ["read", "update"] }')
        role = server.approle([policy], token_period="1h")
        section = {
            "address": server.address,
            "ca": server.ca_file,
            "auth": "approle",
            "mount": role.mount,
            "role_id": role.role_id,
            "secret_id_file": write("secret-id", role.secret_id),
        }
        context = mail(eu=section)
        key = open_key(self.URI, context)
        before = key.sign_digest(DIGEST)

        server.seal()
        with pytest.raises(KeyUnavailable, match=r"answered 503 .*sealed; unseal it"):
            key.sign_digest(DIGEST)
        with pytest.raises(KeyUnavailable, match="sealed; unseal it"):
            open_key(self.URI, mail(eu=section))
        server.unseal()
        assert key.sign_digest(DIGEST) == before

        server.stop(kill=True)
        with pytest.raises(KeyUnavailable):
            key.sign_digest(DIGEST)
        server.start()
        assert key.sign_digest(DIGEST) == before

    def test_another_authority(self, own_server, mail, tmp_path, write):
        section = {
            "address": own_server.address,
            "ca": str(Authority(tmp_path).file),
            "token_file": write("t", own_server.root_token),
        }
        with pytest.raises(KeyUnavailable, match="not to be trusted"):
            open_key(self.URI, mail(eu=section))
        del section["ca"]
        with pytest.raises(KeyUnavailable, match="trusted authorities: those of the system"):
            open_key(self.URI, mail(eu=section))

    @pytest.mark.parametrize("fault", [Hang(), Drip(interval=0.1)])
    def test_no_call_takes_longer_than_it_may(self, vault, mail, token_section, proxy, fault):
        section = token_section(proxy.url, read_timeout=0.3, connect_timeout=0.2)
        key = open_key(KeyUri.parse(vault.ed), mail(eu=section))
        proxy.inject(fault)
        for timeout in (5.0, 0.1):
            start = time.monotonic()
            with pytest.raises(KeyUnavailable, match="did not answer in time"):
                key.sign_digests([DIGEST], timeout=timeout)
            assert time.monotonic() - start < 1.0

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_what_may_pass_is_asked_again_by_the_store(
        self, vault, stores, sections, token_section, proxy, status
    ):
        key = stores(sections(eu=token_section(proxy.url))).get(vault.ed)
        rule = proxy.inject(vault_error(status, "injected"), match="/sign/", times=1)
        key.sign_digest(DIGEST)
        assert rule.hits == 1

    @pytest.mark.parametrize(
        "text", ["requested version for signing is higher than the latest key version"]
    )
    def test_what_will_not_pass_is_not(self, vault, stores, sections, token_section, proxy, text):
        key = stores(sections(eu=token_section(proxy.url))).get(vault.ed)
        rule = proxy.inject(vault_error(500, text), match="/sign/")
        with pytest.raises(KeyBackendError) as caught:
            key.sign_digest(DIGEST)
        assert not caught.value.temporary
        assert rule.hits == 1


class MutualBao(SealedOpenBao):
    """Has a second listener, which wants a certificate of everybody who connects.

    Args:
        clients: The authority that it trusts for these.
    """

    def __init__(self, clients):
        super().__init__()
        self._clients_file = self.folder / "clients.pem"
        self._ports = 0, 0
        self.trust(clients)

    def trust(self, clients):
        """Trust another authority, from the next start on."""
        self.clients = clients
        self._clients_file.write_bytes(clients.certificate)

    @property
    def mutual_address(self):
        return f"https://{HOST}:{self._ports[0]}"

    def _arguments(self):
        arguments = super()._arguments()
        if not self._known:
            self._ports = free_port(), free_port()
        file = self.folder / "server.json"
        configuration = json.loads(file.read_text())
        one = configuration["listener"]["tcp"]
        two = {
            **one,
            "address": f"{HOST}:{self._ports[0]}",
            "cluster_address": f"{HOST}:{self._ports[1]}",
            "tls_client_ca_file": str(self._clients_file),
            "tls_require_and_verify_client_cert": True,
        }
        configuration["listener"] = [{"tcp": one}, {"tcp": two}]
        file.write_text(json.dumps(configuration))
        return arguments


class TestServersThatWantACertificate:
    URI = KeyUri.parse("vault-transit:transit/k?version=1")

    @pytest.fixture
    def put(self, write):
        """Replaces our certificate, its key, or both with those of a new pair."""

        def make(issuer, *, certificate=True, key=True, **keywords):
            pair = issuer.issue("mta", **keywords)
            if certificate:
                write("ours.pem", pair.certificate)
            if key:
                write("ours.key", pair.key)
            return pair

        return make

    @pytest.fixture
    def section(self, mutual_server, tmp_path):
        return {
            "address": mutual_server.mutual_address,
            "ca": mutual_server.ca_file,
            "certificate": tmp_path / "ours.pem",
            "key": tmp_path / "ours.key",
        }

    @pytest.fixture
    def policy(self, mutual_server):
        return mutual_server.policy('path "transit/*" { capabilities = ["read", "update"] }')

    @pytest.fixture
    def approle(self, mutual_server, section, policy, write):
        role = mutual_server.approle([policy], token_period="1h")
        return {
            **section,
            "auth": "approle",
            "mount": role.mount,
            "role_id": role.role_id,
            "secret_id_file": write("secret-id", role.secret_id),
        }

    @pytest.fixture
    def cert(self, mutual_server, section, policy):
        """Makes a section that logs in with our certificate, of some authorities."""

        def make(*authorities):
            both = b"".join(authority.certificate for authority in authorities)
            mount = mutual_server.certificate_role(both, [policy], token_period="1h")
            return {**section, "auth": "cert", "mount": mount, "renew": False}

        return make

    def tokens_of(self, context):
        return client_of(context, context.sections.get("vault"), uri="x")._tokens

    def end_token(self, mutual_server, context):
        tokens = self.tokens_of(context)
        mutual_server.client().auth.token.revoke(tokens._grant.token.reveal())
        tokens.renew(replace(tokens._grant, proven=tokens._grant.proven - 100))

    def shown(self, mutual_server, context):
        """The serial number of the certificate that we logged in with."""
        token = self.tokens_of(context)._grant.token.reveal()
        return int(mutual_server.client().auth.token.lookup(token)["data"]["meta"]["serial_number"])

    # By the look that is taken now and then, and only when the server refuses the old one.
    @pytest.mark.parametrize("seconds", [0.0, 3600.0])
    def test_a_new_one_is_shown_when_the_old_one_is_refused(
        self, mutual_server, mail, authorities, approle, cert, put, monkeypatch, seconds
    ):
        monkeypatch.setattr(tls, "_WATCH_SECONDS", seconds)
        old, new = mutual_server.clients, authorities("next")
        put(old)
        contexts = [mail(eu=approle), mail(eu=cert(old, new))]
        keys = [open_key(self.URI, context) for context in contexts]
        before = [key.sign_digest(DIGEST) for key in keys]

        mutual_server.stop()
        mutual_server.trust(new)
        mutual_server.start()
        pair = put(new)
        assert [key.sign_digest(DIGEST) for key in keys] == before

        # And in the login that follows.
        for context in contexts:
            self.end_token(mutual_server, context)
        assert [key.sign_digest(DIGEST) for key in keys] == before
        serial = x509.load_pem_x509_certificate(pair.certificate).serial_number
        assert self.shown(mutual_server, contexts[1]) == serial

    def test_a_login_while_it_is_half_replaced(
        self, mutual_server, mail, cert, put, write, observer
    ):
        old = put(mutual_server.clients)
        context = mail(eu=cert(mutual_server.clients))
        key = open_key(self.URI, context)
        new = put(mutual_server.clients, key=False)
        for pair in (old, new):
            self.end_token(mutual_server, context)
            key.sign_digest(DIGEST)
            serial = x509.load_pem_x509_certificate(pair.certificate).serial_number
            assert self.shown(mutual_server, context) == serial
            write("ours.key", new.key)
        assert observer.named("login-refused") == []
        assert observer.wait_for("certificate-replaced").endpoint == "vault:eu"

    def test_a_login_that_was_refused_is_tried_again_with_a_new_one(
        self, mutual_server, mail, authorities, cert, put
    ):
        known = authorities("known")
        context = mail(eu=cert(known))
        put(mutual_server.clients)
        with pytest.raises(KeyDenied, match="no role takes our certificate"):
            open_key(self.URI, context)
        with pytest.raises(KeyDenied, match="not tried again"):
            open_key(self.URI, context)
        put(mutual_server.clients)
        with pytest.raises(KeyDenied, match=r"see certificate= and its roles$"):
            open_key(self.URI, context)

    def test_none(self, mutual_server, mail, approle):
        del approle["certificate"], approle["key"]
        with pytest.raises(KeyUnavailable, match=r"lets nobody in without .*\(certificate=, key="):
            open_key(self.URI, mail(eu=approle))

    def test_one_that_has_expired(self, mutual_server, mail, approle, put):
        put(mutual_server.clients, lifetime=-datetime.timedelta(hours=1))
        with pytest.raises(KeyUnavailable, match=r"our certificate .*\(certificate=.*has expired"):
            open_key(self.URI, mail(eu=approle))

    def test_one_of_another_authority(self, mail, authorities, approle, put):
        put(authorities("other"))
        with pytest.raises(KeyUnavailable, match=r"our certificate .*does not trust the authority"):
            open_key(self.URI, mail(eu=approle))


class TestChildren:
    def test_each_has_a_login_of_its_own(self, vault, mail, role_section, proxy):
        context = mail(eu=role_section(proxy.url))
        key = open_key(KeyUri.parse(vault.ed), context)
        token = client_of(context, key._section, uri="x")._tokens._grant.token.reveal()
        child = fork()
        if child == 0:
            code = 1
            try:
                key.sign_digest(DIGEST)
                other = client_of(context, key._section, uri="x")._tokens._grant.token.reveal()
                context.resources.close()
                code = 0 if other != token else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # The child gave its own token back, and not ours.
        key.sign_digest(DIGEST)
        logins = [each for each in proxy.recent if each.path.endswith("/login")]
        revoked = [each for each in proxy.recent if each.path.endswith("/revoke-self")]
        assert (len(logins), len(revoked)) == (2, 1)
        assert revoked[0].fields[b"x-vault-token"] != token.encode()


def test_a_client_prints_no_secret(vault, mail, token_section, token_of):
    section = token_section()
    context = mail(eu=section)
    open_key(KeyUri.parse(vault.ed), context)
    client = client_of(context, context.sections.get("vault"), uri="x")
    assert repr(client) == f"<VaultClient of {vault.address}>"
    shown = repr((vars(client), vars(client._tokens), vars(client._channel)))
    assert token_of(section) not in shown


@pytest.fixture(scope="module")
def own_server():
    """One that a test may seal and stop."""
    requires_server("openbao")
    with SealedOpenBao() as server:
        server.enable_secrets("transit", mount="transit")
        server.client().secrets.transit.create_key("k", key_type="ed25519")
        yield server
        eventually(lambda: server.health() == 200)


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """Makes authorities."""
    return lambda name: Authority(tmp_path_factory.mktemp("authority"), name=name)


@pytest.fixture(scope="module")
def mutual_server(authorities):
    """One whose `clients` is the authority that it trusts."""
    requires_server("openbao")
    first = authorities("first")
    with MutualBao(first) as server:
        server.enable_secrets("transit", mount="transit")
        server.client().secrets.transit.create_key("k", key_type="ed25519")
        yield server
