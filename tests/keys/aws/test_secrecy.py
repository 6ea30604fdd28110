"""No key and no credential in any log record, whatever levels are set."""

from __future__ import annotations

import base64
import logging
import traceback
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dkimcore.errors import KeyBackendError
from dkimcore.keys.aws.envelope import open_key as open_envelope
from dkimcore.keys.aws.kms import open_key
from dkimcore.keys.aws.making import ENVELOPE, KMS
from dkimcore.keys.uri import KeyUri
from dkimcore.testing import EphemeralKey
from tests.servers.faults import Answer, Cut, Hang, aws_error
from tests.servers.ministack import SECRET_KEY

DIGEST = sha256(b"a header").digest()
LIBRARIES = ("botocore", "boto3", "urllib3", "s3transfer")
ASSUMED = """\
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIATEMPORARY</AccessKeyId>
<SecretAccessKey>CANARY-secret-of-the-role</SecretAccessKey>
<SessionToken>CANARY-token-of-the-role</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
<AssumedRoleUser><AssumedRoleId>A:b</AssumedRoleId>
<Arn>arn:aws:sts::111122223333:assumed-role/mail/b</Arn></AssumedRoleUser>
</AssumeRoleResult></AssumeRoleResponse>"""


@pytest.fixture
def everything():
    """All records of all loggers, of those that come later too, as text."""

    class Everything(logging.Handler):
        def __init__(self):
            super().__init__(logging.NOTSET)
            self.names, self.texts = set(), []

        def emit(self, record):
            self.names.add(record.name)
            self.texts += [record.getMessage(), repr(record.msg), repr(record.args)]
            if record.exc_info:
                self.texts += traceback.format_exception(*record.exc_info)
                self.texts.append(str(record.exc_text))

        def shows(self, secret):
            return [text for text in self.texts if secret in text]

    handler = Everything()
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in (*LIBRARIES, "botocore.parsers", "botocore.auth", "botocore.hooks", "dkimcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)
    for name in (*LIBRARIES, "botocore.parsers", "botocore.auth", "botocore.hooks", "dkimcore"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def der(key):
    return key._private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_a_run_with_every_step_and_some_faults(
    everything, store, context, proxy, kms, make_key, tmp_path, monkeypatch
):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "CANARY-session-token")
    cmk = make_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")
    key = EphemeralKey.ed25519(b"\x5a" * 32)
    given = context(url=proxy.url, read_timeout=0.2, connect_timeout=0.2)
    uris = [KeyUri.parse(f"awskms-envelope:{tmp_path}/{name}?key={cmk}") for name in "ab"]
    alias = f"alias/{tmp_path.name.replace('.', '_')}"

    ENVELOPE.import_key(uris[0], given, key._private_key)
    KMS.import_key(KeyUri.parse(f"awskms:{alias}?region=eu-west-1"), given, key._private_key)
    opened = [open_envelope(uris[0], given), open_key(KeyUri.parse(f"awskms:{alias}"), given)]
    keys = store(url=proxy.url, read_timeout=0.2, connect_timeout=0.2)
    stored = [keys.get(str(uris[0])), keys.get(f"awskms:{alias}")]
    for each in (*opened, *stored):
        assert key.public_key.verifies(each.sign_digest(DIGEST), DIGEST, key.algorithm)
    steps = [
        lambda: open_envelope(uris[0], given),
        lambda: stored[1].sign_digest(DIGEST),
        lambda: ENVELOPE.import_key(uris[1], given, key._private_key),
    ]
    # Who imports a key waits 30 s for KMS.
    for fault, count in (
        (Hang(), 2),
        (Cut(octets=-5), 3),
        (aws_error("ExpiredTokenException"), 3),
        (Answer(status=500), 3),
    ):
        for step in steps[:count]:
            with proxy.broken(fault), pytest.raises(KeyBackendError):
                step()

    secrets = (SECRET_KEY, "CANARY", "ZZZZZZZZ", base64.b64encode(der(key)).decode(), "WlpaWlpa")
    for secret in secrets:
        assert everything.shows(secret) == []
    assert "dkimcore.keys" in everything.names


def test_the_answer_of_sts(
    everything, context, proxy, make_key, monkeypatch, tmp_path, unused_port
):
    arn = make_key("ECC_NIST_EDWARDS25519")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    (tmp_path / "aws-credentials").write_text(
        "[base]\naws_access_key_id=AKIABASE\naws_secret_access_key=CANARY-secret-of-the-base\n"
    )
    (tmp_path / "aws-config").write_text(
        "[profile mail]\nregion = eu-west-1\nsource_profile = base\nexternal_id = 42\n"
        "role_arn = arn:aws:iam::111122223333:role/mail\n"
    )
    proxy.inject(Answer(status=200, body=ASSUMED.encode()), times=1)

    key = open_key(KeyUri.parse(f"awskms:{arn}"), context(url=proxy.url, profile="mail"))

    assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)
    assert b"ExternalId=42" in proxy.recent[0].body
    assert proxy.recent[-1].fields[b"x-amz-security-token"] == b"CANARY-token-of-the-role"
    assert everything.shows("CANARY") == []


def test_no_logger_of_a_library_that_there_is_says_debug(everything, context, make_key):
    arn = make_key("ECC_NIST_EDWARDS25519")
    open_key(KeyUri.parse(f"awskms:{arn}"), context())

    for name in tuple(logging.root.manager.loggerDict):
        if name.split(".")[0] in LIBRARIES:
            logging.getLogger(name).debug("CANARY of %s", name)

    assert everything.shows("CANARY") == []
