"""Private keys in files, decrypted once by KMS."""

from __future__ import annotations

import base64
import os
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dkimcore.errors import (
    ConfigError,
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
)
from dkimcore.keys.aws.envelope import open_key
from dkimcore.keys.uri import KeyUri
from dkimcore.testing import EphemeralKey, check_key_backend
from tests.servers.faults import Hang, Rewrite, aws_error

DIGEST = sha256(b"a header").digest()
DOMAIN = {"dkim-domain": "bücher.example"}


@pytest.fixture(scope="module")
def cmk(make_key):
    """The KMS key that envelopes are made with."""
    return make_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")


@pytest.fixture
def keep(tmp_path, cmk):
    """Writes a file and returns its URI."""

    def write(blob, name="s1.blob", *, key=cmk, **context):
        path = tmp_path / name
        path.write_bytes(blob)
        path.chmod(0o600)
        options = {"key": key, **{f"context.{part}": value for part, value in context.items()}}
        return str(KeyUri(scheme="awskms-envelope", path=str(path), options=options))

    return write


@pytest.fixture
def encrypt(kms, cmk):
    """Encrypts as `aws kms encrypt` does."""

    def encrypt(octets, context=DOMAIN):
        return kms.encrypt(KeyId=cmk, Plaintext=octets, EncryptionContext=context)["CiphertextBlob"]

    return encrypt


def opened(uri, context):
    return open_key(KeyUri.parse(uri), context)


def der(key):
    return key._private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_4096", "ECC_NIST_EDWARDS25519"])
def test_contract(kms, cmk, keep, context, spec):
    pair = kms.generate_data_key_pair_without_plaintext(
        KeyId=cmk, KeyPairSpec=spec, EncryptionContext=DOMAIN
    )
    uri = keep(pair["PrivateKeyCiphertextBlob"], **DOMAIN)

    passed = check_key_backend(open_key, uri, context=context())

    assert passed[-1] == "no secrets"


@pytest.mark.parametrize("key", [EphemeralKey.rsa(), EphemeralKey.ed25519()])
@pytest.mark.parametrize("form", [bytes, base64.b64encode, base64.encodebytes])
def test_what_the_aws_command_writes(keep, encrypt, context, key, form):
    uri = keep(form(encrypt(der(key))), **DOMAIN)

    assert opened(uri, context()).public_key == key.public_key


def test_a_file_in_pem_that_was_encrypted(keep, encrypt, context):
    key = EphemeralKey.rsa()

    assert opened(keep(encrypt(key.private_pem(), {})), context()).public_key == key.public_key


class TestRefused:
    @pytest.fixture
    def blob(self, encrypt):
        return encrypt(der(EphemeralKey.ed25519()))

    @pytest.mark.parametrize("given", [{}, {"dkim-domain": "other.example"}, {**DOMAIN, "x": "y"}])
    def test_another_encryption_context(self, keep, blob, context, given):
        with pytest.raises(KeyUnusable, match="another encryption context") as caught:
            opened(keep(blob, **given), context())
        assert caught.value.request_id

    def test_a_damaged_file(self, keep, blob, context):
        with pytest.raises(KeyUnusable):
            opened(keep(blob[:60] + bytes(10) + blob[60:], **DOMAIN), context())

    def test_another_kms_key(self, keep, blob, context, make_key, proxy):
        other = make_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")
        uri = keep(blob, key=other, **DOMAIN)
        # The emulator decrypts it to nonsense where AWS refuses.
        with pytest.raises(KeyUnusable, match="no sound private key"):
            opened(uri, context())
        with (
            proxy.broken(aws_error("IncorrectKeyException")),
            pytest.raises(KeyUnusable, match="not encrypted under the key that key= names"),
        ):
            opened(uri, context(url=proxy.url))

    def test_an_answer_for_another_kms_key(self, keep, blob, context, proxy):
        change = Rewrite(lambda body: body.replace(b"arn:aws:kms", b"arn:aws:xxx"))
        with proxy.broken(change), pytest.raises(KeyUnusable, match="in place of") as caught:
            opened(keep(blob, **DOMAIN), context(url=proxy.url))
        assert caught.value.request_id

    def test_no_such_kms_key(self, keep, blob, context, cmk, proxy):
        uri = keep(blob, key=cmk[:-4] + "0000", **DOMAIN)
        # The emulator looks for another one where AWS refuses.
        with pytest.raises(KeyUnusable, match="KMS decrypted it with"):
            opened(uri, context())
        with (
            proxy.broken(aws_error("NotFoundException")),
            pytest.raises(KeyNotFound, match="no such key in eu-west-1"),
        ):
            opened(uri, context(url=proxy.url))

    def test_a_disabled_kms_key(self, keep, kms, context, make_key):
        key = make_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")
        made = kms.encrypt(KeyId=key, Plaintext=der(EphemeralKey.ed25519()))
        kms.disable_key(KeyId=key)
        with pytest.raises(KeyDenied, match="is disabled"):
            opened(keep(made["CiphertextBlob"], key=key), context())

    def test_what_is_no_key(self, keep, encrypt, context):
        with pytest.raises(KeyUnusable, match="no sound private key"):
            opened(keep(encrypt(b"CANARY" * 10), **DOMAIN), context())

    def test_what_others_can_read(self, keep, blob, context, open_folder):
        path = open_folder / "s1.blob"
        uri = keep(blob, path, **DOMAIN)
        path.chmod(0o644)
        with pytest.raises(KeyDenied, match="chmod o-rw"):
            opened(uri, context())
        assert opened(f"{uri}&permissions=ignore", context())

    def test_kms_is_down(self, keep, blob, context, unused_port):
        made = context(url=f"http://127.0.0.1:{unused_port}")
        with pytest.raises(KeyUnavailable, match="connection refused"):
            opened(keep(blob, **DOMAIN), made)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "key= must be the ARN"),
        ("?key=alias/s1", "key= must be the ARN"),
        ("?key=arn:aws:kms:eu-west-1:111122223333:alias/s1", "an alias will not do"),
        ("?key=arn:aws:kms:eu-west-1:111122223333:key/1&region=x", "no option 'region'"),
        ("?key=arn:aws:kms:eu-west-1:111122223333:key/1&context.=x", "no option 'context.'"),
        ("?key=arn:aws:kms:eu-west-1:111122223333:key/1&permissions=lax", "permissions=check"),
        ("?key=arn:aws:kms:eu-west-1:111122223333:key/1&backend=us", "no section"),
    ],
)
def test_uris_that_are_wrong(context, query, words):
    with pytest.raises(KeyUriError, match=words):
        opened(f"awskms-envelope:/etc/dkim/s1.blob{query}", context())


def test_a_section_that_is_wrong(context):
    arn = "arn:aws:kms:eu-west-1:111122223333:key/1"
    with pytest.raises(ConfigError, match="has no such key"):
        opened(f"awskms-envelope:/etc/dkim/s1.blob?key={arn}", context(user="mail"))


class TestRefresh:
    @pytest.fixture
    def key(self):
        return EphemeralKey.ed25519()

    @pytest.fixture
    def uri(self, keep, encrypt, key):
        return keep(encrypt(der(key)), **DOMAIN)

    def test_the_same_file_asks_nobody(self, uri, context, proxy):
        opened_key = opened(uri, context(url=proxy.url))
        assert opened_key.is_refreshed
        before = proxy.requests
        proxy.stop()

        assert opened_key.refetch() is None
        assert opened_key.sign_digest(DIGEST)
        assert proxy.requests == before == 1

    def test_the_same_key_encrypted_anew(self, uri, context, encrypt, key, tmp_path):
        opened_key = opened(uri, context())
        (tmp_path / "s1.blob").write_bytes(encrypt(der(key)))

        fresh = opened_key.refetch()

        assert fresh is not opened_key
        assert fresh.public_key == key.public_key
        assert fresh.refetch() is None

    def test_another_key(self, uri, context, encrypt, tmp_path):
        other = EphemeralKey.ed25519()
        opened_key = opened(uri, context())
        (tmp_path / "s1.blob").write_bytes(encrypt(der(other)))

        assert opened_key.refetch().public_key == other.public_key

    def test_a_changed_file_while_kms_is_down(self, uri, context, encrypt, key, proxy, tmp_path):
        opened_key = opened(uri, context(url=proxy.url, read_timeout=0.1, attempts=1))
        (tmp_path / "s1.blob").write_bytes(encrypt(der(key)))
        with proxy.broken(Hang()), pytest.raises(KeyUnavailable):
            opened_key.refetch()
        assert opened_key.sign_digest(DIGEST)

    def test_a_file_that_is_gone(self, uri, context, tmp_path):
        opened_key = opened(uri, context())
        os.unlink(tmp_path / "s1.blob")
        with pytest.raises(KeyNotFound):
            opened_key.refetch()

    def test_in_a_store(self, uri, store, proxy, key):
        stored = store(url=proxy.url).get(uri)
        proxy.stop()

        for _ in range(10):
            assert key.public_key.verifies(stored.sign_digest(DIGEST), DIGEST, key.algorithm)
        assert stored.is_local
        assert proxy.requests == 1


def test_no_frame_of_an_error_holds_the_key(keep, encrypt, context, proxy, shown_locals):
    key = EphemeralKey.ed25519()
    secret = base64.b64encode(der(key)).decode()
    cases = [
        (keep(encrypt(b"\x30" + der(key)), "damaged", **DOMAIN), None),
        (keep(encrypt(der(key)), **DOMAIN), Rewrite(lambda b: b.replace(b"arn:aws:kms", b"arn"))),
    ]
    for uri, fault in cases:
        proxy.heal()
        if fault is not None:
            proxy.inject(fault)
        with pytest.raises(KeyBackendError) as caught:
            opened(uri, context(url=proxy.url))
        shown = shown_locals(caught)
        assert secret not in shown
        assert repr(der(key))[2:-1] not in shown
        assert caught.value.__cause__ is caught.value.__context__ is None
