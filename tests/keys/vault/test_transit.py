"""The key backend ``vault-transit:``, against a real server."""

from __future__ import annotations

import base64
import json
import os
import threading
from hashlib import sha256

import pytest

from dkimcore.errors import (
    ConfigError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
)
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault.transit import open_key
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.testing import check_key_backend
from tests.servers.faults import Answer, Rewrite, other_key, wrong_signature

pytestmark = pytest.mark.server("openbao")

DIGEST = sha256(b"a header").digest()
TIMEOUT = 5.0


@pytest.fixture
def open_(contexts, sections, token_section):
    """Opens a key with the mail server's rights."""

    def make(uri, **keys):
        context = contexts(sections(eu=token_section(**keys)))
        return open_key(KeyUri.parse(uri), context)

    return make


@pytest.mark.parametrize("kind", ["rsa", "ed"])
def test_the_contract_is_kept(vault, contexts, sections, token_section, kind):
    context = contexts(sections(eu=token_section()))
    assert "no secrets" in check_key_backend(open_key, getattr(vault, kind), context=context)


@pytest.mark.parametrize(
    ("name", "algorithm", "bits"),
    [
        ("dkim-rsa", Algorithm.RSA_SHA256, 2048),
        ("dkim-rsa3", Algorithm.RSA_SHA256, 3072),
        ("dkim-ed", Algorithm.ED25519_SHA256, 256),
    ],
)
def test_a_key_of_each_type(vault, open_, name, algorithm, bits):
    key = open_(f"vault-transit:{vault.transit}/{name}?version=1")
    assert key.algorithm is algorithm
    assert key.public_key.bits == bits
    check_key(key, uri="x")
    assert repr(key) == (
        f"<TransitKey vault-transit:{vault.transit}/{name}?version=1 {algorithm}, {bits} bits>"
    )


@pytest.mark.parametrize("name", ["dkim-aes", "dkim-ec"])
def test_a_key_of_another_type_is_refused(vault, open_, name):
    with pytest.raises(KeyUnusable, match="DKIM needs one of: rsa-2048"):
        open_(f"vault-transit:{vault.transit}/{name}?version=1")


def test_a_derived_key_is_refused(vault, open_):
    vault.root.secrets.transit.create_key(
        "dkim-derived", key_type="ed25519", derived=True, mount_point=vault.transit
    )
    with pytest.raises(KeyUnusable, match="derived"):
        open_(f"vault-transit:{vault.transit}/dkim-derived?version=1")


def test_the_server_alone_would_pad_with_pss(vault, open_):
    """What a client gets that leaves the algorithm to the server: no DKIM signature."""
    key = open_(vault.rsa)
    signed = vault.root.secrets.transit.sign_data(
        "dkim-rsa",
        hash_input=base64.b64encode(DIGEST).decode(),
        key_version=1,
        hash_algorithm="sha2-256",
        prehashed=True,
        mount_point=vault.transit,
    )
    padded = base64.b64decode(signed["data"]["signature"].split(":")[2])
    assert not key.public_key.verifies(padded, DIGEST, key.algorithm)
    assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)


def test_a_batch_keeps_its_order(vault, open_, observer):
    key = open_(vault.ed)
    assert key.batch == 64
    digests = [os.urandom(32) for _ in range(64)]
    signatures = key.sign_digests(digests, timeout=TIMEOUT)
    for digest, signature_data in zip(digests, signatures, strict=True):
        assert key.public_key.verifies(signature_data, digest, key.algorithm)


def test_how_large_a_batch_is(vault, open_):
    """As many as the server signs within some 20 ms, or what the section says."""
    assert open_(vault.ed).batch == 64
    assert open_(vault.rsa).batch == 16
    assert open_(f"vault-transit:{vault.transit}/dkim-rsa3?version=1").batch == 8
    assert open_(vault.ed, batch=10).batch == open_(vault.rsa, batch=10).batch == 10
    with pytest.raises(
        ConfigError, match=r"keys\.toml:\d+: .*batch: write a whole number from 1 to"
    ):
        open_(vault.ed, batch=65)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_of_another_length(vault, open_, length):
    with pytest.raises(KeyUnusable, match="32 octets"):
        open_(vault.ed).sign_digests([DIGEST, bytes(length)], timeout=TIMEOUT)


def test_after_a_rotation_the_pinned_version_signs(vault, open_):
    transit, name = vault.root.secrets.transit, "dkim-rotated"
    transit.create_key(name, key_type="ed25519", mount_point=vault.transit)
    key = open_(f"vault-transit:{vault.transit}/{name}?version=1")
    before = key.sign_digest(DIGEST)
    for _ in range(9):
        transit.rotate_key(name, mount_point=vault.transit)
    assert key.sign_digest(DIGEST) == before
    again = open_(f"vault-transit:{vault.transit}/{name}?version=1")
    assert again.public_key == key.public_key
    # The tenth is the newest, though the ninth is so in the order of texts.
    tenth = open_(f"vault-transit:{vault.transit}/{name}?version=10")
    assert tenth.public_key != key.public_key
    check_key(tenth, uri="x")
    with pytest.raises(KeyUriError, match=r"the latest is version=10 now"):
        open_(f"vault-transit:{vault.transit}/{name}")
    with pytest.raises(KeyNotFound, match="no version 11, but 1 to 10"):
        open_(f"vault-transit:{vault.transit}/{name}?version=11")


def test_a_version_that_may_not_sign_any_more(vault, open_):
    transit, name = vault.root.secrets.transit, "dkim-old"
    transit.create_key(name, key_type="ed25519", mount_point=vault.transit)
    key = open_(f"vault-transit:{vault.transit}/{name}?version=1")
    transit.rotate_key(name, mount_point=vault.transit)
    transit.update_key_configuration(name, min_encryption_version=2, mount_point=vault.transit)
    with pytest.raises(KeyUnusable, match="min_encryption_version") as caught:
        key.sign_digest(DIGEST)
    assert caught.value.request_id
    assert not caught.value.temporary


def test_without_a_version_that_can_be_read(vault, open_):
    with pytest.raises(KeyUriError, match="whose public half is in the DNS"):
        open_(f"vault-transit:{vault.transit}/dkim-absent")


def test_a_key_that_does_not_exist(vault, open_):
    with pytest.raises(KeyNotFound, match="nothing under this name"):
        open_(f"vault-transit:{vault.transit}/dkim-absent?version=1")


def test_a_key_that_the_policy_leaves_out(vault, open_):
    with pytest.raises(KeyDenied) as caught:
        open_(f"vault-transit:{vault.transit}/other?version=1")
    assert f'path "{vault.transit}/keys/other" {{ capabilities = ["read"] }}' in str(caught.value)


def test_a_policy_that_lets_read_but_not_sign(vault, open_):
    rules = f'path "{vault.transit}/keys/*" {{ capabilities = ["read"] }}'
    key = open_(vault.ed, policies=[vault.server.policy(rules)])
    with pytest.raises(KeyDenied) as caught:
        key.sign_digest(DIGEST)
    assert f'"{vault.transit}/sign/dkim-ed" {{ capabilities = ["update"] }}' in str(caught.value)


def test_the_policy_is_no_more_than_is_needed(vault):
    mail_server = vault.server.client(vault.server.token([vault.policy]))
    for attempt in (
        lambda: mail_server.secrets.transit.rotate_key("dkim-ed", mount_point=vault.transit),
        lambda: mail_server.secrets.transit.export_key(
            "dkim-ed", "signing-key", mount_point=vault.transit
        ),
        lambda: mail_server.secrets.transit.list_keys(mount_point=vault.transit),
        lambda: mail_server.secrets.kv.v2.create_or_update_secret(
            "dkim/x", {"key": "x"}, mount_point=vault.kv2
        ),
    ):
        with pytest.raises(Exception, match="permission denied"):
            attempt()


def test_eight_threads(vault, stores, sections, token_section):
    """With a thousand signatures each it is the contract of all backends that does it."""
    key = stores(sections(eu=token_section())).get(vault.ed)
    faults = []

    def work(number):
        for count in range(100):
            digest = sha256(b"%d %d" % (number, count)).digest()
            signature_data = key.sign_digest(digest)
            if not key.public_key.verifies(signature_data, digest, key.algorithm):
                faults.append(digest)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_names_and_mounts(vault, open_):
    mount = vault.server.enable_secrets("transit", mount=f"a/b/{vault.transit}")
    vault.root.secrets.transit.create_key("dkim-deep", key_type="ed25519", mount_point=mount)
    rules = f'path "{mount}/*" {{ capabilities = ["read", "update"] }}'
    policies = [vault.server.policy(rules)]
    check_key(open_(f"vault-transit:{mount}/dkim-deep?version=1", policies=policies), uri="x")
    check_key(open_(f"vault-transit://{mount}/dkim-deep?version=1", policies=policies), uri="x")


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("vault-transit:name?version=1", "needs the mount too"),
        ("vault-transit:a//name?version=1", "without '.', '..' and empty parts"),
        ("vault-transit:a/../name?version=1", "without '.', '..' and empty parts"),
        ("vault-transit:a/name?version=0", "a number from 1 on"),
        ("vault-transit:a/name?version=latest", "a number from 1 on"),
        ("vault-transit:a/name?version=1&field=x", "has no option 'field'"),
        ("vault-transit:a/name?version=1&backend=us", r"no section \[backend.us\]"),
    ],
)
def test_uris_that_name_no_key(open_, uri, problem):
    with pytest.raises(KeyUriError, match=problem):
        open_(uri)


class TestAnswersThatAreWrong:
    @pytest.fixture
    def key(self, open_, proxy, vault):
        return open_(vault.ed, address=proxy.url)

    def sign(self, key, count=3):
        return key.sign_digests([os.urandom(32) for _ in range(count)], timeout=TIMEOUT)

    def test_one_item_fails_and_the_others_do_not(self, key, proxy):
        def spoil(body):
            document = json.loads(body)
            document["data"]["batch_results"][1] = {"error": "internal error", "key_version": 0}
            return json.dumps(document).encode()

        proxy.inject(Rewrite(spoil), match="/sign/")
        first, second, third = self.sign(key)
        assert type(first) is type(third) is bytes
        assert isinstance(second, KeyUnavailable)
        assert "internal error" in second.problem
        assert second.request_id

    @pytest.mark.parametrize(
        "items",
        [[], "none", None, [{"signature": "vault:v1:AAAA", "key_version": 1}] * 2],
        ids=["none", "no list", "absent", "too few"],
    )
    def test_another_number_of_items(self, key, proxy, items):
        def change(body):
            return json.dumps({"data": {"batch_results": items}}).encode()

        proxy.inject(Rewrite(change), match="/sign/")
        with pytest.raises(KeyUnavailable, match="does not fit the digests"):
            self.sign(key)

    @pytest.mark.parametrize(
        "item",
        [
            {"signature": "vault:v2:AAAA", "key_version": 2},
            {"signature": "vault:v1:AAAA", "key_version": 2},
            {"signature": "vault:v12:AAAA"},
        ],
    )
    def test_another_version(self, key, proxy, item):
        body = json.dumps({"data": {"batch_results": [item]}}).encode()
        proxy.inject(Answer(status=200, body=body), match="/sign/")
        (outcome,) = self.sign(key, 1)
        assert isinstance(outcome, KeyUnusable)
        assert "another version than 1" in outcome.problem

    @pytest.mark.parametrize(
        "item", [None, {}, {"signature": 7}, {"signature": "vault:v1:!!", "key_version": 1}]
    )
    def test_no_signature(self, key, proxy, item):
        body = json.dumps({"data": {"batch_results": [item]}}).encode()
        proxy.inject(Answer(status=200, body=body), match="/sign/")
        (outcome,) = self.sign(key, 1)
        assert isinstance(outcome, KeyUnavailable)
        assert "holds no signature" in outcome.problem

    def test_a_wrong_signature_does_not_leave_the_store(
        self, proxy, stores, sections, token_section, vault
    ):
        key = stores(sections(eu=token_section(address=proxy.url))).get(vault.rsa)
        with proxy.broken(wrong_signature(), match="/sign/"), pytest.raises(KeyUnusable):
            key.sign_digest(DIGEST)
        assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)

    def test_a_signature_of_another_key_does_not_leave_the_store(
        self, proxy, stores, sections, token_section, vault, rsa_key
    ):
        key = stores(sections(eu=token_section(address=proxy.url))).get(vault.rsa)
        with proxy.broken(other_key(rsa_key), match="/sign/"), pytest.raises(KeyUnusable):
            key.sign_digest(DIGEST)
