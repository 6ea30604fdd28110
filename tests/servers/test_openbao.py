"""The OpenBao harness: it signs, it is sealed and started again, and nothing is left of it."""

from __future__ import annotations

import base64
import os
import pwd
import socket
from pathlib import Path

import pytest

from tests.servers import requires_server
from tests.servers.kubernetes import TokenReviews
from tests.servers.openbao import OpenBaoServer, SealedOpenBao
from tests.servers.tls import Authority

pytestmark = pytest.mark.server("openbao")

DIGEST = b"d" * 32
READ = 'path "secret/data/dkim/*" { capabilities = ["read"] }'


@pytest.fixture(scope="module")
def sealed():
    requires_server("openbao")
    with SealedOpenBao() as server:
        yield server


def verifying_key(client, mount):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    data = client.secrets.transit.read_key("k", mount_point=mount)["data"]
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(data["keys"]["1"]["public_key"]))


def sign(client, mount):
    text = base64.b64encode(DIGEST).decode()
    made = client.secrets.transit.sign_data("k", hash_input=text, mount_point=mount)
    return base64.b64decode(made["data"]["signature"].removeprefix("vault:v1:"))


def test_one_in_dev_mode_signs_and_is_gone_afterwards():
    with OpenBaoServer() as server:
        mount = server.enable_secrets("transit", "signing/of/mail")
        client = server.client()
        client.secrets.transit.create_key("k", key_type="ed25519", mount_point=mount)
        verifying_key(client, mount).verify(sign(client, mount), DIGEST)
        pid, folder = server.pid, server.folder
        if os.geteuid() == 0:
            assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert not list(folder.glob(".*"))  # such as a token
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()
    assert server.health() == 0


def test_it_listens_on_loopback_alone(openbao):
    sockets = {
        line.split()[9]: line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{openbao.pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"  # listening
    }
    own = {
        os.readlink(number).removeprefix("socket:[").rstrip("]")
        for number in Path(f"/proc/{openbao.pid}/fd").iterdir()
        if os.path.islink(number)
    }
    addresses = {sockets[number].split(":")[0] for number in sockets.keys() & own}
    assert addresses == {"0100007F"}  # 127.0.0.1


def test_a_token_can_do_what_its_policy_says(openbao):
    import hvac

    openbao.client().secrets.kv.v2.create_or_update_secret("dkim/s1", secret={"key": "x"})
    token = openbao.token([openbao.policy(READ)], ttl="1h")
    client = openbao.client(token)
    found = client.secrets.kv.v2.read_secret_version(
        "dkim/s1", mount_point="secret", raise_on_deleted_version=True
    )
    assert found["data"]["data"] == {"key": "x"}
    with pytest.raises(hvac.exceptions.Forbidden):
        client.secrets.kv.v2.create_or_update_secret("dkim/s1", secret={})
    with pytest.raises(hvac.exceptions.Forbidden):
        openbao.client("").secrets.kv.v2.read_secret_version(
            "dkim/s1", raise_on_deleted_version=True
        )


def test_tokens_have_a_lifetime_or_a_period(openbao):
    client = openbao.client(openbao.token(["default"], period="2h"))
    data = client.auth.token.lookup_self()["data"]
    assert data["period"] == 7200
    client = openbao.client(openbao.token(["default"], ttl="5m", renewable=False))
    data = client.auth.token.lookup_self()["data"]
    assert 0 < data["ttl"] <= 300
    assert not data["renewable"]


def test_version_1_of_kv(openbao):
    mount = openbao.enable_secrets("kv", version="1")
    kv = openbao.client().secrets.kv.v1
    kv.create_or_update_secret("s", secret={"key": "x"}, mount_point=mount)
    assert kv.read_secret("s", mount_point=mount)["data"] == {"key": "x"}


def test_a_namespace_has_mounts_of_its_own(openbao):
    namespace = openbao.create_namespace()
    client = openbao.client(namespace=namespace)
    client.sys.enable_secrets_engine("transit", path="inner")
    assert "inner/" in client.sys.list_mounted_secrets_engines()["data"]
    assert "inner/" not in openbao.client().sys.list_mounted_secrets_engines()["data"]


def test_login_by_approle(openbao):
    role = openbao.approle(["default"], token_ttl="90s")
    client = openbao.client("")
    login = client.auth.approle.login(role.role_id, role.secret_id, mount_point=role.mount)
    assert login["auth"]["lease_duration"] == 90
    assert client.auth.token.lookup_self()["data"]["policies"] == ["default"]


def test_login_of_a_pod(openbao):
    import hvac

    with TokenReviews() as api:
        mount = openbao.kubernetes_role(
            api, ["default"], namespace="mail", account="mta", ttl="90s"
        )
        token = api.token(namespace="mail", account="mta")
        login = openbao.client("").auth.kubernetes.login("dkim", token, mount_point=mount)
        assert login["auth"]["lease_duration"] == 90
        api.revoke(token)
        other = api.token(namespace="mail", account="other")
        for refused in (token, other):
            with pytest.raises(hvac.exceptions.Forbidden):
                openbao.client("").auth.kubernetes.login("dkim", refused, mount_point=mount)
        assert api.reviewed == 2  # for the wrong account nobody was asked


def test_login_by_certificate(sealed, tmp_path):
    import hvac

    mount = sealed.certificate_role(sealed.authority.certificate, ["default"], token_ttl=90)

    def login(authority):
        certificate = authority.issue("mta.example.com")
        return sealed.client("").auth.cert.login(
            name="dkim",
            cert_pem=str(certificate.certificate_file),
            key_pem=str(certificate.key_file),
            mount_point=mount,
        )

    made = login(sealed.authority)
    assert made["auth"]["metadata"]["common_name"] == "mta.example.com"
    assert made["auth"]["lease_duration"] == 90
    with pytest.raises(hvac.exceptions.InvalidRequest):
        login(Authority(tmp_path))


def test_it_is_sealed_stopped_killed_and_has_its_keys_afterwards(sealed):
    import hvac

    mount = sealed.enable_secrets("transit")
    client = sealed.client()
    client.secrets.transit.create_key("k", key_type="ed25519", mount_point=mount)
    key = verifying_key(client, mount)
    port = sealed.port

    sealed.seal()
    assert sealed.health() == 503
    with pytest.raises(hvac.exceptions.VaultDown):
        sign(client, mount)
    sealed.unseal()
    key.verify(sign(client, mount), DIGEST)

    for kill in (False, True):
        sealed.stop(kill=kill)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
        sealed.start(unseal=False)
        assert (sealed.health(), sealed.port) == (503, port)
        sealed.unseal()
        key.verify(sign(client, mount), DIGEST)


def test_its_certificate_is_checked(sealed):
    import requests

    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{sealed.address}/v1/sys/health", timeout=10)
    answer = requests.get(f"{sealed.address}/v1/sys/health", timeout=10, verify=sealed.ca_file)
    assert answer.status_code == 200


def test_without_tls():
    with SealedOpenBao(tls=False) as server:
        assert server.address.startswith("http://")
        assert server.health() == 200
        assert server.environment == {
            "VAULT_ADDR": server.address,
            "VAULT_TOKEN": server.root_token,
        }
