"""Keys that are made in KMS, under it, or brought there."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dkimcore.errors import (
    ConfigError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
    SettingsError,
)
from dkimcore.keys.aws import envelope, making
from dkimcore.keys.aws.kms import open_key
from dkimcore.keys.aws.making import ENVELOPE, KMS
from dkimcore.keys.registry import KeyMakers
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType
from dkimcore.testing import EphemeralKey
from tests.servers.faults import Reset, Rewrite, aws_error

CASES = Path(__file__).parents[2] / "cases" / "keys"
DIGEST = sha256(b"a header").digest()
TYPES = [(KeyType.RSA, 2048), (KeyType.RSA, 3072), (KeyType.ED25519, 0)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """KMS is asked again at once whether it knows what was made."""
    monkeypatch.setattr(making, "_PAUSE", 0.0)


@pytest.fixture
def alias(request):
    """A name of the test's own."""
    return f"alias/dkim/{sha256(request.node.nodeid.encode()).hexdigest()[:16]}"


@pytest.fixture
def uri(alias):
    return KeyUri.parse(f"awskms:{alias}?region=eu-west-1")


@pytest.fixture(scope="module")
def cmk(make_key):
    return make_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")


@pytest.fixture
def envelope_uri(cmk, tmp_path):
    return KeyUri.parse(f"awskms-envelope:{tmp_path}/s1.blob?key={cmk}&context.d=example.com")


def signs(key):
    return key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)


class TestCreate:
    @pytest.mark.parametrize(("key_type", "bits"), TYPES)
    def test_created(self, uri, alias, kms, context, key_type, bits):
        given = context()
        made = KMS.create_key(uri, given, key_type=key_type, bits=bits)

        described = kms.describe_key(KeyId=alias)["KeyMetadata"]
        assert made.uri == f"awskms:{described['Arn']}"
        assert described["KeyUsage"] == "SIGN_VERIFY"
        key = open_key(KeyUri.parse(made.uri), given)
        assert key.public_key == made.public_key
        assert made.public_key.key_type is key_type
        assert signs(key)

    def test_tags_and_backend(self, alias, kms, context):
        uri = KeyUri.parse(f"awskms:{alias}?backend=eu&tag.use=dkim&tag.owner=mail%20team")

        made = KMS.create_key(uri, context(), key_type=KeyType.ED25519, bits=0)

        assert made.uri.endswith("?backend=eu")
        tags = kms.list_resource_tags(KeyId=made.uri.partition(":")[2].partition("?")[0])["Tags"]
        assert {tag["TagKey"]: tag["TagValue"] for tag in tags} == {
            "use": "dkim",
            "owner": "mail team",
        }

    def test_an_alias_that_exists(self, uri, context, kms):
        given = context()
        KMS.create_key(uri, given, key_type=KeyType.ED25519, bits=0)
        before = len(kms.list_keys()["Keys"])

        for _ in range(2):
            with pytest.raises(KeyUnusable, match=r"is an alias of arn:aws:kms.* already"):
                KMS.create_key(uri, given, key_type=KeyType.ED25519, bits=0)
        assert len(kms.list_keys()["Keys"]) == before

    @pytest.mark.parametrize(
        "rest",
        [
            "1234abcd-12ab-34cd-56ef-1234567890ab?region=eu-west-1",
            "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:eu-west-1:111122223333:alias/s1",
        ],
    )
    def test_only_an_alias_names_what_does_not_exist_yet(self, context, rest):
        with pytest.raises(KeyUriError, match="name the alias"):
            KMS.create_key(
                KeyUri.parse(f"awskms:{rest}"), context(), key_type=KeyType.RSA, bits=2048
            )

    def test_lengths(self, uri, context):
        with pytest.raises(SettingsError, match="1024 bits"):
            KMS.create_key(uri, context(), key_type=KeyType.RSA, bits=1024)

    def test_options(self, alias, context):
        uri = KeyUri.parse(f"awskms:{alias}?tag.=x")
        with pytest.raises(KeyUriError, match=r"no option 'tag\.'"):
            KMS.create_key(uri, context(), key_type=KeyType.RSA, bits=2048)

    def test_a_section_that_is_wrong(self, uri, context):
        with pytest.raises(ConfigError, match="has no such key"):
            KMS.create_key(uri, context(user="x"), key_type=KeyType.RSA, bits=2048)


class TestWhatIsLeftBehind:
    def test_nothing_when_the_name_cannot_be_looked_up(self, uri, context, proxy, kms):
        before = len(kms.list_keys()["Keys"])
        with (
            proxy.broken(aws_error("AccessDeniedException"), match="DescribeKey"),
            pytest.raises(KeyDenied, match="kms:DescribeKey"),
        ):
            KMS.create_key(uri, context(url=proxy.url), key_type=KeyType.ED25519, bits=0)
        assert len(kms.list_keys()["Keys"]) == before

    def test_a_lost_answer_is_not_asked_for_again(self, uri, context, proxy, kms):
        before = len(kms.list_keys()["Keys"])
        with (
            proxy.broken(Reset(asked=True), match="CreateKey"),
            pytest.raises(KeyUnavailable, match="aws kms list-keys"),
        ):
            KMS.create_key(uri, context(url=proxy.url), key_type=KeyType.ED25519, bits=0)
        assert len(kms.list_keys()["Keys"]) == before + 1

    @pytest.mark.parametrize(
        ("action", "code", "kind"),
        [
            ("CreateAlias", "AccessDeniedException", KeyDenied),
            ("CreateAlias", "AlreadyExistsException", KeyUnusable),
            ("GetPublicKey", "AccessDeniedException", KeyDenied),
            ("GetPublicKey", "NotFoundException", KeyNotFound),
        ],
    )
    def test_a_key_that_is_named(self, uri, context, proxy, action, code, kind):
        with (
            proxy.broken(aws_error(code), match=action),
            pytest.raises(kind, match=r"delete it: aws kms schedule-key-deletion") as caught,
        ):
            KMS.create_key(uri, context(url=proxy.url), key_type=KeyType.ED25519, bits=0)
        assert caught.value.request_id

    @pytest.mark.parametrize("action", ["GetParametersForImport", "ImportKeyMaterial"])
    def test_a_key_without_material(self, uri, context, proxy, action):
        key = EphemeralKey.ed25519()._private_key
        with (
            proxy.broken(aws_error("KMSInternalException", status=500), match=action),
            pytest.raises(KeyUnavailable, match="schedule-key-deletion"),
        ):
            KMS.import_key(uri, context(url=proxy.url), key)


@pytest.mark.parametrize("action", ["GetPublicKey", "CreateAlias"])
def test_what_is_not_known_everywhere_at_once_is_waited_for(uri, context, proxy, action):
    proxy.inject(aws_error("NotFoundException"), match=action, times=3)
    given = context(url=proxy.url)

    made = KMS.create_key(uri, given, key_type=KeyType.ED25519, bits=0)

    assert signs(open_key(KeyUri.parse(made.uri), given))


class TestImport:
    @pytest.mark.parametrize(
        "key", [EphemeralKey.rsa(), EphemeralKey.rsa(3072), EphemeralKey.ed25519()]
    )
    def test_imported(self, uri, alias, kms, context, key):
        given = context()
        made = KMS.import_key(uri, given, key._private_key)

        described = kms.describe_key(KeyId=alias)["KeyMetadata"]
        assert (described["Origin"], described["KeyState"]) == ("EXTERNAL", "Enabled")
        assert made.uri == f"awskms:{described['Arn']}"
        assert made.public_key == key.public_key
        opened = open_key(KeyUri.parse(made.uri), given)
        assert opened.public_key == key.public_key
        assert signs(opened)

    def test_the_private_key_is_not_sent_in_the_open(self, uri, context, proxy):
        key = EphemeralKey.ed25519(b"\x5a" * 32)
        KMS.import_key(uri, context(url=proxy.url), key._private_key)

        assert not any(b"WlpaWlpa" in request.body for request in proxy.recent)

    def test_the_material_is_waited_for(self, uri, context, proxy):
        proxy.inject(aws_error("KMSInvalidStateException"), match="GetPublicKey", times=2)

        made = KMS.import_key(uri, context(url=proxy.url), EphemeralKey.ed25519()._private_key)

        assert made.public_key.bits == 256

    def test_kms_has_no_such_length(self, uri, context):
        with pytest.raises(SettingsError, match="1024 bits"):
            KMS.import_key(uri, context(), EphemeralKey.rsa(1024)._private_key)

    def test_an_alias_that_exists(self, uri, context):
        given = context()
        key = EphemeralKey.ed25519()._private_key
        KMS.import_key(uri, given, key)
        with pytest.raises(KeyUnusable, match="already"):
            KMS.import_key(uri, given, key)

    def test_another_key_than_was_given(self, uri, context, proxy, kms, make_key):
        other = kms.get_public_key(KeyId=make_key("ECC_NIST_EDWARDS25519"))["PublicKey"]
        text = base64.b64encode(other).decode()
        change = Rewrite(lambda body: json.dumps({**json.loads(body), "PublicKey": text}).encode())
        with (
            proxy.broken(change, match="GetPublicKey"),
            pytest.raises(KeyUnusable, match="KMS took another key"),
        ):
            KMS.import_key(uri, context(url=proxy.url), EphemeralKey.ed25519()._private_key)


class TestEnvelope:
    @pytest.mark.parametrize(("key_type", "bits"), TYPES)
    def test_created(self, envelope_uri, context, tmp_path, key_type, bits):
        given = context()
        made = ENVELOPE.create_key(envelope_uri, given, key_type=key_type, bits=bits)

        assert made.uri == str(envelope_uri)
        assert (tmp_path / "s1.blob").stat().st_mode & 0o777 == 0o600
        key = envelope.open_key(envelope_uri, given)
        assert key.public_key == made.public_key
        assert made.public_key.key_type is key_type
        assert signs(key)

    @pytest.mark.parametrize(
        "key", [EphemeralKey.rsa(1024), EphemeralKey.rsa(), EphemeralKey.ed25519()]
    )
    def test_imported(self, envelope_uri, context, key):
        given = context()
        made = ENVELOPE.import_key(envelope_uri, given, key._private_key)

        assert made.uri == str(envelope_uri)
        assert made.public_key == key.public_key
        assert envelope.open_key(envelope_uri, given).public_key == key.public_key

    def test_without_an_encryption_context(self, cmk, context, tmp_path):
        given = context()
        uri = KeyUri.parse(f"awskms-envelope:{tmp_path}/s2.blob?key={cmk}")
        made = ENVELOPE.create_key(uri, given, key_type=KeyType.ED25519, bits=0)

        assert envelope.open_key(uri, given).public_key == made.public_key

    @pytest.mark.parametrize("way", ["made", "imported"])
    @pytest.mark.parametrize("path", ["s1.blob", "./s1.blob", "~/s1.blob", "../here/s1.blob"])
    def test_it_is_found_from_another_folder_and_home(
        self, cmk, context, tmp_path, monkeypatch, path, way
    ):
        """As by the milter, which reads the row that is printed."""
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        there.mkdir()
        monkeypatch.chdir(here)
        monkeypatch.setenv("HOME", str(here))
        given = context()
        uri = KeyUri.parse(f"awskms-envelope:{path}?key={cmk}&context.d=example.com")
        if way == "made":
            made = ENVELOPE.create_key(uri, given, key_type=KeyType.ED25519, bits=0)
        else:
            made = ENVELOPE.import_key(uri, given, EphemeralKey.ed25519()._private_key)
        monkeypatch.chdir(there)
        monkeypatch.setenv("HOME", str(there))

        assert (here / "s1.blob").exists()
        assert envelope.open_key(KeyUri.parse(made.uri), given).public_key == made.public_key

    @pytest.mark.parametrize("folder", ["a#b", "a?b"])
    def test_a_folder_that_no_row_can_name(
        self, cmk, context, tmp_path, monkeypatch, proxy, folder
    ):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        given = context(url=proxy.url)
        uri = KeyUri.parse(f"awskms-envelope:s1.blob?key={cmk}")
        with pytest.raises(KeyUriError, match="choose another name or folder"):
            ENVELOPE.create_key(uri, given, key_type=KeyType.ED25519, bits=0)
        with pytest.raises(KeyUriError, match="choose another name or folder"):
            ENVELOPE.import_key(uri, given, EphemeralKey.ed25519()._private_key)
        assert proxy.requests == 0

    def test_a_file_that_exists(self, envelope_uri, context, tmp_path, proxy):
        (tmp_path / "s1.blob").write_bytes(b"old")
        given = context(url=proxy.url)
        with pytest.raises(KeyUnusable, match="exists already"):
            ENVELOPE.create_key(envelope_uri, given, key_type=KeyType.ED25519, bits=0)
        with pytest.raises(KeyUnusable, match="exists already"):
            ENVELOPE.import_key(envelope_uri, given, EphemeralKey.ed25519()._private_key)

        assert (tmp_path / "s1.blob").read_bytes() == b"old"
        assert proxy.requests == 0

    def test_a_key_too_long_for_encrypt(self, envelope_uri, context):
        pem = (CASES / "rsa8192.pem").read_bytes()
        key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        with pytest.raises(KeyUnusable, match="KMS encrypts 4096"):
            ENVELOPE.import_key(envelope_uri, context(), key)

    def test_lengths(self, envelope_uri, context):
        with pytest.raises(SettingsError, match="1024 bits"):
            ENVELOPE.create_key(envelope_uri, context(), key_type=KeyType.RSA, bits=1024)

    def test_encrypted_with_another_key(self, envelope_uri, context, proxy, tmp_path):
        change = Rewrite(lambda body: body.replace(b"arn:aws:kms", b"arn:aws:xxx"))
        given = context(url=proxy.url)
        key = EphemeralKey.ed25519()._private_key
        with proxy.broken(change):
            with pytest.raises(KeyUnusable, match="in place of"):
                ENVELOPE.import_key(envelope_uri, given, key)
            with pytest.raises(KeyUnusable, match="in place of"):
                ENVELOPE.create_key(envelope_uri, given, key_type=KeyType.ED25519, bits=0)
        assert list(tmp_path.glob("*.blob")) == []

    def test_no_frame_of_an_error_holds_the_key(self, envelope_uri, context, proxy, shown_locals):
        key = EphemeralKey.ed25519(b"\x5a" * 32)
        with proxy.broken(aws_error("DisabledException")), pytest.raises(KeyDenied) as caught:
            ENVELOPE.import_key(envelope_uri, context(url=proxy.url), key._private_key)
        assert "ZZZZZZZZ" not in shown_locals(caught)


def test_the_registry_finds_them():
    assert KeyMakers().get("awskms") is KMS
    assert KeyMakers().get("awskms-envelope") is ENVELOPE
