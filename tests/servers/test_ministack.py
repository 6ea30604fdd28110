"""The KMS harness: it signs as AWS does, keeps its keys, and stays on loopback."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.servers.ministack import MinistackServer

pytestmark = pytest.mark.server("ministack")

DIGEST = b"d" * 32


def check(kms, arn):
    key = load_der_public_key(kms.get_public_key(KeyId=arn)["PublicKey"])
    if key.__class__.__name__.startswith("RSA"):
        kind, name = "DIGEST", "RSASSA_PKCS1_V1_5_SHA_256"
        how = (padding.PKCS1v15(), Prehashed(SHA256()))
    else:
        kind, name, how = "RAW", "ED25519_SHA_512", ()
    made = kms.sign(KeyId=arn, Message=DIGEST, MessageType=kind, SigningAlgorithm=name)
    key.verify(made["Signature"], DIGEST, *how)
    return made["Signature"]


def test_it_signs_with_both_kinds_of_keys_and_is_gone_afterwards():
    with MinistackServer() as server:
        for spec in ("RSA_2048", "ECC_NIST_EDWARDS25519"):
            check(server.kms(), server.create_key(spec))
        pid, folder = server.pid, server.folder
        if os.geteuid() == 0:
            assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()


def test_it_has_its_keys_when_it_was_stopped_and_started_again():
    with MinistackServer() as server:
        arns = [server.create_key(spec) for spec in ("RSA_2048", "ECC_NIST_EDWARDS25519")]
        wrapping = server.create_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")
        blob = server.kms().encrypt(KeyId=wrapping, Plaintext=b"x")["CiphertextBlob"]
        before, url = [check(server.kms(), arn) for arn in arns], server.url
        server.stop()
        server.start()
        assert server.url == url
        assert [check(server.kms(), arn) for arn in arns] == before
        assert server.kms().decrypt(CiphertextBlob=blob, KeyId=wrapping)["Plaintext"] == b"x"


def test_it_listens_on_loopback_alone(ministack):
    ministack.create_key("ECC_NIST_EDWARDS25519")  # what it loads then could listen too
    own = {
        os.readlink(number).removeprefix("socket:[").rstrip("]")
        for number in Path(f"/proc/{ministack.pid}/fd").iterdir()
        if os.path.islink(number)
    }
    addresses = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{ministack.pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            # A listening TCP socket, or any of UDP.
            if words[9] in own and (words[3] == "0A" or table.startswith("udp")):
                addresses.add(words[1])
    assert addresses == {f"0100007F:{ministack.port:04X}"}  # 127.0.0.1


def test_unknown_access_keys_are_refused_when_it_is_told_to():
    from botocore.exceptions import ClientError

    with MinistackServer(AUTH="true") as server, pytest.raises(ClientError) as refused:
        server.kms().list_keys()
    assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_a_child_process_finds_it_through_its_environment(ministack):
    import subprocess
    import sys

    arn = ministack.create_key("ECC_NIST_EDWARDS25519")
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import boto3, sys\n"
            "print(boto3.client('kms').describe_key(KeyId=sys.argv[1])['KeyMetadata']['Arn'])",
            arn,
        ],
        env={**os.environ, **ministack.environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.strip() == arn
