"""Answers that are made wrong: what real servers signed, changed on its way."""

from __future__ import annotations

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from tests.servers.faultproxy import FaultProxy
from tests.servers.faults import aws_error, other_key, wrong_signature

DIGEST = b"d" * 32
PREHASHED = (padding.PKCS1v15(), Prehashed(SHA256()))


@pytest.mark.server("openbao")
@pytest.mark.parametrize("kind", ["ed25519", "rsa-2048"])
def test_signatures_of_transit_are_made_wrong_or_by_another_key(openbao, kind):
    mount, client = openbao.enable_secrets("transit"), openbao.client()
    client.secrets.transit.create_key("k", key_type=kind, mount_point=mount)
    text = client.secrets.transit.read_key("k", mount_point=mount)["data"]["keys"]["1"]
    if kind == "ed25519":
        own = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(text["public_key"]))
        other, how = ed25519.Ed25519PrivateKey.generate(), ()
    else:
        own = load_pem_public_key(text["public_key"].encode())
        other, how = rsa.generate_private_key(65537, 2048), PREHASHED
    digests = [bytes([number]) * 32 for number in range(3)]

    def sign(url):
        client.url = url
        made = client.secrets.transit.sign_data(
            "k",
            batch_input=[{"input": base64.b64encode(digest).decode()} for digest in digests],
            hash_algorithm="sha2-256",
            prehashed=True,
            signature_algorithm="pkcs1v15",
            mount_point=mount,
        )
        texts = [item["signature"] for item in made["data"]["batch_results"]]
        assert all(text.startswith("vault:v1:") for text in texts)
        return [base64.b64decode(text.split(":")[2], validate=True) for text in texts]

    with FaultProxy(openbao.address) as proxy:
        right = sign(proxy.url)
        for signature, digest in zip(right, digests, strict=True):
            own.verify(signature, digest, *how)
        with proxy.broken(wrong_signature(), match="/sign/"):
            wrong = sign(proxy.url)
        with proxy.broken(other_key(other), match="/sign/"):
            others = sign(proxy.url)
    for index, digest in enumerate(digests):
        assert len(wrong[index]) == len(others[index]) == len(right[index])
        for signature in (wrong[index], others[index]):
            with pytest.raises(InvalidSignature):
                own.verify(signature, digest, *how)
        other.public_key().verify(others[index], digest, *how)


@pytest.mark.server("ministack")
def test_signatures_and_errors_of_kms(ministack):
    from botocore.exceptions import ClientError

    arn = ministack.create_key("ECC_NIST_EDWARDS25519")
    own = load_der_public_key(ministack.kms().get_public_key(KeyId=arn)["PublicKey"])
    other = ed25519.Ed25519PrivateKey.generate()
    with FaultProxy(ministack.url) as proxy:
        kms = ministack.kms(url=proxy.url)

        def sign():
            return kms.sign(
                KeyId=arn, Message=DIGEST, MessageType="RAW", SigningAlgorithm="ED25519_SHA_512"
            )["Signature"]

        own.verify(sign(), DIGEST)
        with proxy.broken(wrong_signature()), pytest.raises(InvalidSignature):
            own.verify(sign(), DIGEST)
        with proxy.broken(other_key(other), match="TrentService.Sign"):
            other.public_key().verify(sign(), DIGEST)
        with proxy.broken(aws_error("ThrottlingException")), pytest.raises(ClientError) as error:
            sign()
    assert error.value.response["Error"]["Code"] == "ThrottlingException"
    assert error.value.response["ResponseMetadata"]["RequestId"]
