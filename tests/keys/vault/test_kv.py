"""The key backend ``vault-kv:``, against a real server."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from dkimcore.errors import (
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
)
from dkimcore.keys.permissions import read_private_file
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault.client import client_of
from dkimcore.keys.vault.kv import open_key
from dkimcore.testing import check_key_backend
from tests.forked import fork
from tests.keys.vault.waiting import eventually
from tests.servers.faults import Answer, vault_error
from tests.servers.openbaosetup import fresh_name
from tests.servers.tls import Authority

pytestmark = pytest.mark.server("openbao")


@pytest.fixture
def open_(contexts, sections, token_section):
    """Opens a key with the mail server's rights."""

    def make(uri, **keys):
        section = {
            **token_section(**{k: v for k, v in keys.items() if k in ("address", "policies")})
        }
        return open_key(KeyUri.parse(uri), contexts(sections(eu=section)))

    return make


@pytest.fixture
def put2(vault):
    """Writes a secret of KV version 2, and returns its path."""

    def write(secret, path=None):
        path = path or f"dkim/{fresh_name('s')}"
        vault.root.secrets.kv.v2.create_or_update_secret(path, secret, mount_point=vault.kv2)
        return path

    return write


@pytest.fixture
def put1(vault):
    """Writes a secret of KV version 1, and returns its path."""

    def write(secret, path=None):
        path = path or f"dkim/{fresh_name('s')}"
        vault.root.secrets.kv.v1.create_or_update_secret(
            path, secret, mount_point=vault.kv1, method="POST"
        )
        return path

    return write


@pytest.fixture
def ed():
    return Ed25519PrivateKey.generate()


@pytest.mark.parametrize("version", [1, 2])
def test_the_contract_is_kept(
    vault, contexts, sections, token_section, put1, put2, pem, rsa_key, version
):
    context = contexts(sections(eu=token_section()))
    put, mount = (put1, vault.kv1) if version == 1 else (put2, vault.kv2)
    uri = f"vault-kv:{mount}/{put({'key': pem(rsa_key)})}"
    assert "no secrets" in check_key_backend(open_key, uri, context=context)


class TestVersions:
    def test_what_is_read_is_pinned(self, vault, open_, observer, put2, pem, ed):
        path = put2({"key": "old"})
        put2({"key": pem(ed)}, path)
        key = open_(f"vault-kv:{vault.kv2}/{path}")
        assert f"{path}?version=2" in repr(key)
        event = observer.wait_for("key-version")
        assert event.fields == {"version": 2}
        assert "write version=2 into the key table" in event.text

        put2({"key": pem(Ed25519PrivateKey.generate())}, path)
        assert key.refetch() is None

    def test_a_version_in_the_uri(self, vault, open_, observer, put2, pem, ed, rsa_key):
        path = put2({"key": pem(ed)})
        put2({"key": pem(rsa_key)}, path)
        key = open_(f"vault-kv:{vault.kv2}/{path}?version=1")
        assert key.public_key.encode() == ed.public_key().public_bytes_raw()
        assert not observer.named("key-version")

    def test_deleted_and_destroyed(self, vault, open_, put2, pem, ed):
        path = put2({"key": pem(ed)})
        put2({"key": pem(ed)}, path)
        uri = f"vault-kv:{vault.kv2}/{path}?version=1"
        key = open_(uri)
        v2 = vault.root.secrets.kv.v2
        v2.delete_secret_versions(path, [1], mount_point=vault.kv2)
        with pytest.raises(KeyNotFound, match="version 1 was deleted at 2"):
            open_(uri)
        with pytest.raises(KeyNotFound, match="version 1 was deleted at 2"):
            key.refetch()
        v2.undelete_secret_versions(path, [1], mount_point=vault.kv2)
        assert key.refetch() is None
        v2.destroy_secret_versions(path, [1], mount_point=vault.kv2)
        with pytest.raises(KeyNotFound, match="version 1 was destroyed"):
            open_(uri)
        with pytest.raises(KeyNotFound):
            open_(f"vault-kv:{vault.kv2}/{path}?version=9")

    def test_an_engine_without_versions(self, vault, open_, put1, pem, ed):
        path = put1({"key": pem(ed)})
        with pytest.raises(KeyUriError, match="keeps no versions"):
            open_(f"vault-kv:{vault.kv1}/{path}?version=1")
        key = open_(f"vault-kv:{vault.kv1}/{path}")
        assert key.refetch() is None
        put1({"key": pem(Ed25519PrivateKey.generate())}, path)
        assert key.refetch().public_key != key.public_key  # the store does not take it


class TestEncodings:
    def test_encrypted(self, vault, contexts, sections, token_section, put2, rsa_key):
        secret = BestAvailableEncryption(b"canary phrase")
        text = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret).decode()
        uri = KeyUri.parse(f"vault-kv:{vault.kv2}/{put2({'key': text})}")
        given = sections(eu=token_section())
        key = open_key(uri, contexts(given, secret={"passphrase": "canary phrase"}.get))
        check_key(key, uri="x")
        assert key.refetch() is None
        with pytest.raises(KeyDenied, match="no passphrase was given"):
            open_key(uri, contexts(given))

    def test_a_seed(self, vault, open_, put2, ed):
        text = base64.b64encode(ed.private_bytes_raw()).decode()
        check_key(open_(f"vault-kv:{vault.kv2}/{put2({'key': text})}"), uri="x")

    def test_the_list_of_rspamd(self, vault, open_, put1, pem, ed, rsa_key):
        seed, public = ed.private_bytes_raw(), ed.public_key().public_bytes_raw()
        items = [
            {"selector": "e1", "domain": "example.com", "alg": "ed25519"},
            {"selector": "r1", "domain": "example.com", "alg": "rsa", "key": pem(rsa_key)},
        ]
        items[0]["key"] = base64.b64encode(seed + public).decode()
        path = put1({"selectors": items})
        for selector, bits in (("e1", 256), ("r1", 2048)):
            uri = f"vault-kv:{vault.kv1}/{path}?selector={selector}&domain=example.com"
            key = open_(uri)
            assert key.public_key.bits == bits
            check_key(key, uri="x")
            assert key.refetch() is None
        with pytest.raises(KeyUnusable, match="2 keys of the secret fit"):
            open_(f"vault-kv:{vault.kv1}/{path}")

    @pytest.mark.parametrize("text", ["canary", "-----BEGIN PUBLIC KEY-----\nx\n"])
    def test_no_private_key(self, vault, open_, put2, text):
        with pytest.raises(KeyUnusable) as caught:
            open_(f"vault-kv:{vault.kv2}/{put2({'key': text})}")
        assert "canary" not in str(caught.value)


class TestMounts:
    def test_one_with_slashes(self, vault, open_, pem, ed):
        mount = vault.server.enable_secrets("kv", mount=f"x/y/{fresh_name('kv')}", version="2")
        vault.root.secrets.kv.v2.create_or_update_secret(
            "dkim/s1", {"key": pem(ed)}, mount_point=mount
        )
        rules = f'path "{mount}/data/dkim/*" {{ capabilities = ["read"] }}'
        policies = [vault.server.policy(rules)]
        for options in ("", f"?mount={mount}", f"?mount=/{mount}/&kv=2"):
            open_(f"vault-kv:{mount}/dkim/s1{options}", policies=policies)

    def test_a_policy_for_the_secret_is_enough(self, vault, open_, put2, pem, ed):
        path = put2({"key": pem(ed)})
        rules = f'path "{vault.kv2}/data/{path}" {{ capabilities = ["read"] }}'
        open_(f"vault-kv:{vault.kv2}/{path}", policies=[vault.server.policy(rules)])

    @pytest.mark.parametrize("options", ["", "?kv=2"])
    def test_a_policy_that_does_not_fit(self, vault, open_, put2, pem, ed, options):
        path = put2({"key": pem(ed)}, "elsewhere/s1")
        with pytest.raises(KeyDenied, match="capabilities"):
            open_(f"vault-kv:{vault.kv2}/{path}{options}")

    def test_where_sys_is_out_of_reach(self, vault, open_, proxy, put1, put2, pem, ed):
        first, second = put1({"key": pem(ed)}), put2({"key": pem(ed)})
        proxy.inject(vault_error(403, "permission denied"), match="/sys/internal")
        open_(f"vault-kv:{vault.kv2}/{second}?kv=2", address=proxy.url)
        open_(f"vault-kv:{vault.kv1}/{first}?kv=1", address=proxy.url)
        with pytest.raises(KeyDenied, match="write kv=1 or kv=2 into the URI"):
            open_(f"vault-kv:{vault.kv2}/{second}", address=proxy.url)

    def test_nothing_is_mounted(self, open_):
        with pytest.raises(KeyDenied, match="or has nothing there"):
            open_("vault-kv:nowhere/dkim/s1")

    def test_no_kv_engine(self, vault, open_):
        with pytest.raises(KeyUnusable, match="no KV engine but transit; vault-transit:"):
            open_(f"vault-kv:{vault.transit}/keys/dkim-rsa")

    @pytest.mark.parametrize(
        ("rest", "problem"),
        [
            ("?version=1", "needs a path behind the mount"),
            ("/s1?kv=3", "takes kv=1 or kv=2"),
            ("/s1?mount=other", "does not begin with mount=other"),
            ("/s1?mount=..", "without '.', '..'"),
            ("/s1?key=x", "has no option 'key'"),
            ("//s1", "without '.', '..'"),
        ],
    )
    def test_uris_that_name_no_secret(self, vault, open_, rest, problem):
        with pytest.raises(KeyUriError, match=problem):
            open_(f"vault-kv:{vault.kv2}{rest}")

    @pytest.mark.parametrize(
        ("answer", "problem"),
        [(b"{}", "does not say what is mounted"), (b'{"data":{"path":"b/"}}', "another mount")],
    )
    def test_answers_that_are_wrong(self, vault, open_, proxy, answer, problem):
        proxy.inject(Answer(status=200, body=answer), match="/sys/internal")
        with pytest.raises(KeyUnavailable, match=problem):
            open_(f"vault-kv:{vault.kv2}/dkim/s1", address=proxy.url)


@pytest.mark.parametrize("body", [b"{}", b'{"data":{"data":{"key":"x"}}}', b'{"data":[]}', b"x"])
def test_answers_that_hold_no_secret(vault, open_, proxy, body):
    proxy.inject(Answer(status=200, body=body), match=f"/{vault.kv2}/data/")
    with pytest.raises(KeyUnavailable, match=r"holds no secret|is not of Vault"):
        open_(f"vault-kv:{vault.kv2}/dkim/s1?kv=2", address=proxy.url)


def test_an_answer_with_another_version_is_not_taken(vault, open_, proxy, put2, pem, ed):
    path = put2({"key": pem(ed)})
    secret = {"data": {"key": pem(ed)}, "metadata": {"version": 2}}
    body = json.dumps({"data": secret}).encode()
    proxy.inject(Answer(status=200, body=body), match=f"/{vault.kv2}/data/")
    with pytest.raises(KeyUnavailable, match="answered with version 2 and was asked for 1"):
        open_(f"vault-kv:{vault.kv2}/{path}?version=1&kv=2", address=proxy.url)


def test_a_path_with_letters_that_are_encoded(vault, open_, put2, pem, ed):
    path = put2({"key": pem(ed)}, "dkim/exämple com/s+1%20")
    check_key(open_(f"vault-kv:{vault.kv2}/{path}"), uri="x")


class TestFreshness:
    """A key that was opened goes on signing where nobody says that it must not."""

    @pytest.fixture
    def opened(self, vault, role_section, proxy, contexts, sections, put2, pem, ed):
        uri = f"vault-kv:{vault.kv2}/{put2({'key': pem(ed)})}"
        keys = {"renew": False}
        given = sections(eu=role_section(proxy.url, keys=keys, token_ttl="1h"))
        return open_key(KeyUri.parse(uri), contexts(given))

    def test_the_server_is_down(self, opened, proxy):
        proxy.stop()
        with pytest.raises(KeyUnavailable):
            opened.refetch()

    def test_a_login_that_is_refused_says_nothing_about_the_key(self, opened, proxy):
        proxy.inject(vault_error(403, "permission denied"))

        def is_unavailable():
            with pytest.raises((KeyDenied, KeyUnavailable)) as caught:
                opened.refetch()
            return caught.value.temporary and "no login by approle" in caught.value.problem

        eventually(is_unavailable)  # once the token's last proof is old enough to be doubted

    def test_nor_does_the_end_of_a_token_that_was_found(
        self, vault, token_section, proxy, contexts, sections, put2, pem, ed
    ):
        """The agent that renews it does not run: other than a policy, that may pass."""
        section = token_section(proxy.url, ttl="1h")
        uri = f"vault-kv:{vault.kv2}/{put2({'key': pem(ed)})}"
        key = open_key(KeyUri.parse(uri), contexts(sections(eu=section)))
        vault.root.auth.token.revoke(read_private_file(section["token_file"], uri="x").decode())

        def is_unavailable():
            with pytest.raises((KeyDenied, KeyUnavailable)) as caught:
                key.refetch()
            return caught.value.temporary and "the token has ended" in caught.value.problem

        eventually(is_unavailable)  # once the token's last proof is old enough to be doubted

    def test_a_policy_that_was_taken_away_does(self, opened, proxy):
        proxy.inject(vault_error(403, "permission denied"), match="/data/")
        with pytest.raises(KeyDenied):
            opened.refetch()

    def test_a_refusal_of_a_token_that_was_replaced_meanwhile_does_not(self, opened, proxy):
        """The token that lives is not the one that was refused, and is asked with once more."""
        proxy.inject(vault_error(403, "permission denied"), match="/data/", times=1)
        assert opened.refetch() is None

    @pytest.mark.parametrize("way", ["role", "token"])
    def test_nor_does_the_end_of_a_token_of_which_nothing_is_known(
        self, vault, role_section, token_section, write, contexts, sections, put2, pem, ed, way
    ):
        """Without the policy default the server says the same to it as for a policy."""
        if way == "role":
            section = role_section(token_no_default_policy=True)
        else:
            made = vault.root.auth.token.create_orphan(
                policies=[vault.policy], no_default_policy=True
            )
            token = made["auth"]["client_token"]
            section = token_section() | {"token_file": write("token", token)}
        context = contexts(sections(eu=section))
        uri = f"vault-kv:{vault.kv2}/{put2({'key': pem(ed)})}?kv=2"
        key = open_key(KeyUri.parse(uri), context)
        if way == "role":
            client = client_of(context, context.sections.get("vault"), uri="x")
            token = client._tokens._grant.token.reveal()
        vault.root.auth.token.revoke(token)
        with pytest.raises(KeyUnavailable, match="the token may have ended"):
            key.refetch()

    @pytest.mark.parametrize("status", [400, 404])
    def test_nor_does_a_server_that_says_nothing_about_the_token(self, opened, proxy, status):
        proxy.inject(vault_error(403, "permission denied"), match="/data/")
        proxy.inject(vault_error(status, "odd"), match="/lookup-self")
        with pytest.raises(KeyUnavailable):
            opened.refetch()

    def test_nor_do_files_of_ours_that_are_half_replaced(
        self, vault, token_section, tmp_path, contexts, sections, put2, pem, ed
    ):
        """A child that was forked opens its own connections when it fetches a key again."""
        authority = Authority(tmp_path)
        ours = authority.issue("mta.example.com")
        files = {"ca": authority.file, "certificate": ours.certificate_file, "key": ours.key_file}
        copies = {key: shutil.copy(file, tmp_path / key) for key, file in files.items()}
        context = contexts(sections(eu=token_section(**copies)))
        uri = f"vault-kv:{vault.kv2}/{put2({'key': pem(ed)})}"
        key = open_key(KeyUri.parse(uri), context)
        other = authority.issue("mta.example.com")
        for name, octets in (("ca", b"half"), ("certificate", other.certificate)):
            whole = Path(copies[name]).read_bytes()
            Path(copies[name]).write_bytes(octets)
            assert outcome_in_a_child(key) == "KeyUnavailable"
            Path(copies[name]).write_bytes(whole)
        assert outcome_in_a_child(key) == "None"


def outcome_in_a_child(key):
    """What becomes of a key that a child fetches again: the name of an error, or None."""
    read, write = os.pipe()
    child = fork()
    if child == 0:
        try:
            try:
                outcome = repr(key.refetch())
            except Exception as exc:  # noqa: BLE001 - the parent wants to know
                outcome = type(exc).__name__
            os.write(write, outcome.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        outcome = pipe.read()
    os.waitpid(child, 0)
    return outcome
