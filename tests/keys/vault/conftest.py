"""A Vault as a mail server finds it: mounts, keys, a policy that is just enough, sections."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from dkimcore.keys import KeyContext
from dkimcore.keys.permissions import read_private_file
from dkimcore.keys.sections import Sections
from dkimcore.keys.store import KeyStore
from tests.keys.vault.waiting import Recorder
from tests.servers import requires_server
from tests.servers.faultproxy import FaultProxy

# What a mail server needs, and no more: each line is tried by these tests.
POLICY = """
path "{transit}/keys/dkim-*" {{ capabilities = ["read"] }}
path "{transit}/sign/dkim-*" {{ capabilities = ["update"] }}
path "{kv2}/data/dkim/*" {{ capabilities = ["read"] }}
path "{kv1}/dkim/*" {{ capabilities = ["read"] }}
"""


@pytest.fixture(scope="session")
def vault(openbao):
    """Mounts with one key of each kind, and the policy for them."""
    transit = openbao.enable_secrets("transit")
    kv2 = openbao.enable_secrets("kv", version="2")
    kv1 = openbao.enable_secrets("kv", version="1")
    client = openbao.client()
    for name, kind in (
        ("dkim-rsa", "rsa-2048"),
        ("dkim-rsa3", "rsa-3072"),
        ("dkim-ed", "ed25519"),
        ("dkim-aes", "aes256-gcm96"),
        ("dkim-ec", "ecdsa-p256"),
        ("other", "ed25519"),
    ):
        client.secrets.transit.create_key(name, key_type=kind, mount_point=transit)
    policy = openbao.policy(POLICY.format(transit=transit, kv2=kv2, kv1=kv1))
    return SimpleNamespace(
        server=openbao,
        address=openbao.address,
        root=client,
        transit=transit,
        kv2=kv2,
        kv1=kv1,
        policy=policy,
        rsa=f"vault-transit:{transit}/dkim-rsa?version=1",
        ed=f"vault-transit:{transit}/dkim-ed?version=1",
    )


@pytest.fixture(autouse=True)
def _no_ambient(monkeypatch, tmp_path):
    """Nothing of the machine's own environment is for these tests."""
    for tool in ("VAULT", "BAO"):
        for name in ("ADDR", "TOKEN", "NAMESPACE", "CACERT", "CAPATH", "CLIENT_CERT"):
            monkeypatch.delenv(f"{tool}_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def write(tmp_path):
    """Writes a file that only we can read, in one step, and returns its path."""

    def make(name, text, mode=0o600):
        path, new = tmp_path / name, tmp_path / f"{name}.new"
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.chmod(mode)
        new.replace(path)
        return str(path)

    return make


@pytest.fixture
def sections(tmp_path):
    """Makes sections of a file: ``sections(store={...}, eu={...})``."""

    def make(store=None, **backends):
        lines = []
        for name, values in {"store": store or {}, **backends}.items():
            if name == "store":
                lines.append("[store]")
            else:
                lines += [f"[backend.{name}]", 'type = "vault"']
            for key, value in values.items():
                shown = (
                    str(value).lower() if isinstance(value, bool | int | float) else f'"{value}"'
                )
                lines.append(f"{key} = {shown}")
        path = tmp_path / "keys.toml"
        path.write_text("\n".join(lines) + "\n")
        return Sections.load(path)

    return make


@pytest.fixture
def observer():
    return Recorder()


@pytest.fixture
def contexts(observer):
    """Makes contexts, and closes what they share when the test ends."""
    made = []

    def make(sections, **keywords):
        context = KeyContext(sections=sections, observer=observer, **keywords)
        made.append(context)
        return context

    yield make
    for context in made:
        context.resources.close()


@pytest.fixture
def stores(contexts):
    """Makes stores, and closes them when the test ends."""
    made = []

    def make(sections, **keywords):
        made.append(KeyStore(context=contexts(sections, **keywords)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def token_section(vault, write):
    """A section that logs in with a new token of the mail server's, from a file."""

    def make(address=None, policies=None, **keys):
        options = {name: keys.pop(name) for name in ("ttl", "period", "num_uses") if name in keys}
        token = vault.server.token(policies or [vault.policy], **options)
        return {
            "address": address or vault.address,
            "token_file": write("token", token),
            **keys,
        }

    return make


@pytest.fixture
def role_section(vault, write):
    """A section that logs in by a new AppRole."""

    def make(address=None, *, policies=None, keys=None, **options):
        role = vault.server.approle(policies or [vault.policy], **options)
        return {
            "address": address or vault.address,
            "auth": "approle",
            "mount": role.mount,
            "role_id": role.role_id,
            "secret_id_file": write("secret-id", role.secret_id),
            **(keys or {}),
        }

    return make


@pytest.fixture
def proxy(vault):
    requires_server("openbao")
    with FaultProxy(vault.address) as running:
        yield running


@pytest.fixture
def pem():
    """From a private key to its PEM."""

    def make(key):
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    return make


@pytest.fixture
def token_of():
    """The token that a section's file holds."""
    return lambda section: read_private_file(section["token_file"], uri="x").decode().strip()


@pytest.fixture
def aside():
    """A copy of a context whose resources are its own, as another store has."""
    return lambda context: replace(context)
