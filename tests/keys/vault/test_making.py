"""Keys are made in a Vault, or brought there, and nothing is overwritten."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from dkimcore.errors import KeyDenied, KeyUnavailable, KeyUnusable, KeyUriError, SettingsError
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault import kv, transit
from dkimcore.keys.vault.making import KV, TRANSIT
from dkimcore.protocol.algorithm import Algorithm, KeyType
from dkimcore.protocol.crypto import PublicKey
from dkimcore.testing import check_key_maker
from tests.servers.faults import Answer, Reset
from tests.servers.openbaosetup import fresh_name

pytestmark = pytest.mark.server("openbao")

# What a person needs who makes keys: each line is tried here, by a token that has only these.
POLICY = """
path "{transit}/keys/dkim-*" {{ capabilities = ["create", "read", "update"] }}
path "{transit}/sign/dkim-*" {{ capabilities = ["update"] }}
path "{transit}/wrapping_key" {{ capabilities = ["read"] }}
path "{kv2}/data/dkim/*" {{ capabilities = ["create", "read"] }}
path "{kv1}/dkim/*" {{ capabilities = ["create", "read"] }}
"""


@pytest.fixture
def person(vault, contexts, sections, token_section):
    """A context with the rights of a person who makes keys."""

    def make(address=None):
        mounts = {"transit": vault.transit, "kv1": vault.kv1, "kv2": vault.kv2}
        policy = vault.server.policy(POLICY.format(**mounts))
        return contexts(sections(eu=token_section(address, policies=[policy])))

    return make


@pytest.fixture
def mail_server(contexts, sections, token_section):
    return lambda: contexts(sections(eu=token_section()))


@pytest.fixture
def new(vault):
    """Names a place where there is no key."""
    mounts = {"transit": (vault.transit, "dkim-"), "kv1": (vault.kv1, "dkim/")}
    mounts["kv2"] = (vault.kv2, "dkim/")

    def name(where, options=""):
        mount, start = mounts[where]
        scheme = "vault-transit" if where == "transit" else "vault-kv"
        return KeyUri.parse(f"{scheme}:{mount}/{start}{fresh_name('s')}{options}")

    return name


def opened(made, context):
    uri = KeyUri.parse(made.uri)
    return (transit if uri.scheme == "vault-transit" else kv).open_key(uri, context)


KINDS = [(KeyType.RSA, 2048), (KeyType.ED25519, 0)]


@pytest.mark.parametrize("where", ["transit", "kv1", "kv2"])
def test_the_contract_is_kept(person, new, where):
    maker, backend = (TRANSIT, transit) if where == "transit" else (KV, kv)
    passed = check_key_maker(maker, backend.open_key, lambda: str(new(where)), context=person())
    assert passed[-1] == "no secrets"


EACH_KIND = pytest.mark.parametrize(("key_type", "bits"), KINDS, ids=["rsa", "ed25519"])


class TestTransit:
    @EACH_KIND
    def test_a_new_key(self, vault, person, mail_server, new, key_type, bits):
        uri = new("transit")
        made = TRANSIT.create_key(uri, person(), key_type=key_type, bits=bits)
        assert made.uri == f"{uri}?version=1"
        key = opened(made, mail_server())
        assert key.public_key == made.public_key
        check_key(key, uri="x")
        name = uri.path.rpartition("/")[2]
        data = vault.root.secrets.transit.read_key(name, mount_point=vault.transit)["data"]
        assert not any(
            data[name]
            for name in ("exportable", "allow_plaintext_backup", "auto_rotate_period", "derived")
        )

    @pytest.mark.parametrize("bits", [1024, 2047, 8192])
    def test_a_length_that_transit_has_not(self, person, new, bits):
        with pytest.raises(SettingsError, match="2048, 3072 and 4096 bits, not of"):
            TRANSIT.create_key(new("transit"), person(), key_type=KeyType.RSA, bits=bits)

    def test_a_name_that_is_taken(self, vault, person, new):
        uri, context = new("transit"), person()
        TRANSIT.create_key(uri, context, key_type=KeyType.ED25519, bits=0)
        for attempt in (
            lambda: TRANSIT.create_key(uri, context, key_type=KeyType.ED25519, bits=0),
            lambda: TRANSIT.create_key(uri, context, key_type=KeyType.RSA, bits=2048),
            lambda: TRANSIT.import_key(uri, context, Ed25519PrivateKey.generate()),
            lambda: TRANSIT.create_key(
                KeyUri.parse(f"vault-transit:{vault.transit}/dkim-aes"),
                context,
                key_type=KeyType.RSA,
                bits=2048,
            ),
        ):
            with pytest.raises(KeyUnusable, match="kept under this name already"):
                attempt()

    def test_an_rsa_key_that_exists(self, person, mail_server, new, rsa_key):
        """Its DNS record stays good: what Transit signs verifies with the old public half."""
        uri = new("transit")
        made = TRANSIT.import_key(uri, person(), rsa_key)
        assert made.uri == f"{uri}?version=1"
        assert made.public_key == PublicKey.of(rsa_key.public_key())
        digest = bytes(range(32))
        signature_data = opened(made, mail_server()).sign_digest(digest)
        old = PublicKey.of(rsa_key.public_key())
        assert old.verifies(signature_data, digest, Algorithm.RSA_SHA256)

    def test_an_ed25519_key_that_exists(self, person, mail_server, new):
        private_key = Ed25519PrivateKey.generate()
        made = TRANSIT.import_key(new("transit"), person(), private_key)
        digest = bytes(range(32))
        # Ed25519 signatures of one key are always the same.
        assert opened(made, mail_server()).sign_digest(digest) == private_key.sign(digest)

    def test_it_cannot_be_got_out_again(self, vault, person, new):
        made = TRANSIT.import_key(new("transit"), person(), Ed25519PrivateKey.generate())
        name = KeyUri.parse(made.uri).path.rpartition("/")[2]
        with pytest.raises(Exception, match="not exportable"):
            vault.root.secrets.transit.export_key(name, "signing-key", mount_point=vault.transit)

    def test_a_key_that_transit_cannot_take(self, person, new):
        short = generate_private_key(65537, 1024)
        with pytest.raises(KeyUnusable, match="this one has 1024; make a new key under a new"):
            TRANSIT.import_key(new("transit"), person(), short)

    def test_a_wrapping_key_that_is_none(self, person, new, proxy):
        for body in (b"{}", b'{"data":{"public_key":"junk"}}'):
            with (
                proxy.broken(Answer(status=200, body=body), match="/wrapping_key"),
                pytest.raises(KeyUnavailable, match="no wrapping key"),
            ):
                TRANSIT.import_key(new("transit"), person(proxy.url), Ed25519PrivateKey.generate())

    def test_the_mail_server_may_not(self, mail_server, new):
        with pytest.raises(KeyDenied, match='"create", "update"'):
            TRANSIT.create_key(new("transit"), mail_server(), key_type=KeyType.ED25519, bits=0)

    def test_options(self, person, new):
        for options in ("?version=1", "?field=x"):
            with pytest.raises(KeyUriError, match="has no option"):
                TRANSIT.create_key(
                    new("transit", options), person(), key_type=KeyType.ED25519, bits=0
                )


class TestKv:
    @EACH_KIND
    @pytest.mark.parametrize("version", [1, 2])
    def test_a_new_key(self, person, mail_server, new, key_type, bits, version):
        uri = new(f"kv{version}")
        made = KV.create_key(uri, person(), key_type=key_type, bits=bits)
        assert made.uri == (str(uri) if version == 1 else f"{uri}?version=1")
        key = opened(made, mail_server())
        assert key.public_key == made.public_key
        check_key(key, uri="x")

    @pytest.mark.parametrize("where", ["kv1", "kv2"])
    def test_a_key_that_exists(self, person, mail_server, new, rsa_key, where):
        made = KV.import_key(new(where, "?field=dkim"), person(), rsa_key)
        assert "field=dkim" in made.uri
        key = opened(made, mail_server())
        assert key.public_key == PublicKey.of(rsa_key.public_key())

    @pytest.mark.parametrize("where", ["kv1", "kv2"])
    def test_a_path_that_is_taken(self, vault, person, new, rsa_key, where):
        uri, context = new(where), person()
        first = KV.create_key(uri, context, key_type=KeyType.ED25519, bits=0)
        with pytest.raises(KeyUnusable, match="kept under this name already"):
            KV.import_key(uri, context, rsa_key)
        assert opened(first, context).public_key == first.public_key

    @pytest.mark.parametrize(
        ("rights", "error"),
        [('"create", "read"', KeyDenied), ('"create", "read", "update"', KeyUnusable)],
    )
    def test_a_path_that_was_deleted_is_taken(
        self, vault, contexts, sections, token_section, person, new, rights, error
    ):
        """Also for a token that may write there: it is only written where there never was one."""
        uri = new("kv2")
        KV.create_key(uri, person(), key_type=KeyType.ED25519, bits=0)
        path = uri.path.partition("/")[2]
        vault.root.secrets.kv.v2.delete_latest_version_of_secret(path, mount_point=vault.kv2)
        policy = vault.server.policy(f'path "{vault.kv2}/data/*" {{ capabilities = [{rights}] }}')
        context = contexts(sections(eu=token_section(policies=[policy])))
        with pytest.raises(error):
            KV.create_key(uri, context, key_type=KeyType.ED25519, bits=0)

    def test_an_answer_that_is_lost(self, person, new, proxy):
        """It is written once; asking again would find a key there."""
        uri, context = new("kv2", "?kv=2"), person(proxy.url)
        rule = proxy.inject(Reset(asked=True), match="/data/", after=1)
        with pytest.raises(KeyUnavailable):
            KV.create_key(uri, context, key_type=KeyType.ED25519, bits=0)
        assert rule.hits == 1

    def test_lists_of_rspamd_are_not_written(self, person, new):
        with pytest.raises(KeyUriError, match="leave selector= and domain= away"):
            KV.create_key(new("kv2", "?selector=s1"), person(), key_type=KeyType.RSA, bits=2048)

    def test_a_length_that_nobody_verifies(self, person, new):
        with pytest.raises(SettingsError):
            KV.create_key(new("kv2"), person(), key_type=KeyType.RSA, bits=512)

    def test_the_mail_server_may_not(self, mail_server, new):
        with pytest.raises(KeyDenied, match='"create", "update"'):
            KV.create_key(new("kv2"), mail_server(), key_type=KeyType.ED25519, bits=0)
