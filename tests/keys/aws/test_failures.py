"""What AWS's errors become."""

from __future__ import annotations

import json
from pathlib import Path

import botocore
import pytest

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.aws.failures import Failure, failure_of_code, failure_of_status

URI = "awskms:alias/s1?region=eu-west-1"


def failure(code, said="what AWS says", *, status=400):
    return failure_of_code(code, said, status=status, action="kms:Sign", region="eu-west-1")


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("NotFoundException", KeyNotFound, "no such key in eu-west-1"),
        ("DisabledException", KeyDenied, "aws kms enable-key"),
        ("KMSInvalidStateException", KeyDenied, "what AWS says"),
        ("InvalidKeyUsageException", KeyUnusable, "SIGN_VERIFY"),
        ("AccessDeniedException", KeyDenied, "may not do kms:Sign"),
        ("AccessDenied", KeyDenied, "may not do kms:Sign"),
        ("ExpiredTokenException", KeyDenied, "has expired"),
        ("ExpiredToken", KeyDenied, "has expired"),
        ("UnrecognizedClientException", KeyDenied, "aws sts get-caller-identity"),
        ("InvalidClientTokenId", KeyDenied, "does not know the access key"),
        ("InvalidSignatureException", KeyDenied, "the clock of this machine"),
        ("SignatureDoesNotMatch", KeyDenied, "the clock of this machine"),
        ("RequestTimeTooSkewed", KeyDenied, "the clock of this machine"),
        ("MissingAuthenticationTokenException", KeyDenied, "without a login"),
        ("OptInRequired", KeyDenied, "enable the region"),
        ("InvalidGrantTokenException", KeyDenied, "grant"),
        ("IncorrectKeyException", KeyUnusable, "key= names"),
        ("InvalidCiphertextException", KeyUnusable, "context.NAME="),
        ("InvalidArnException", KeyUnusable, "what AWS says"),
        ("UnsupportedOperationException", KeyUnusable, "ECC_NIST_EDWARDS25519"),
        ("ValidationException", KeyUnusable, "what AWS says"),
        ("AlreadyExistsException", KeyUnusable, "choose another name"),
        ("LimitExceededException", KeyUnusable, "quota"),
        ("IncorrectKeyMaterialException", KeyUnusable, "private key"),
        ("TagException", KeyUnusable, "tag.NAME="),
        ("ThrottlingException", KeyUnavailable, "quota of kms:Sign"),
        ("Throttling", KeyUnavailable, "quota of kms:Sign"),
        ("RequestThrottledException", KeyUnavailable, "quota of kms:Sign"),
        ("TooManyRequestsException", KeyUnavailable, "quota of kms:Sign"),
        ("RequestLimitExceeded", KeyUnavailable, "quota of kms:Sign"),
        ("KeyUnavailableException", KeyUnavailable, "cannot reach the key"),
        ("DependencyTimeoutException", KeyUnavailable, "waited in vain"),
        ("KMSInternalException", KeyUnavailable, "KMS failed"),
        ("InternalFailure", KeyUnavailable, "KMS failed"),
        ("ServiceUnavailableException", KeyUnavailable, "KMS failed"),
    ],
)
def test_codes(code, kind, words):
    found = failure(code)

    assert found.kind is kind
    assert words in found.problem


def test_every_error_that_the_api_declares_for_what_we_ask_has_a_rule():
    model = json.loads(_service_model())
    actions = (
        *("CreateAlias", "CreateKey", "Decrypt", "DescribeKey", "Encrypt", "GetPublicKey", "Sign"),
        *("GenerateDataKeyPairWithoutPlaintext", "GetParametersForImport"),
    )
    declared = {
        error["shape"] for action in actions for error in model["operations"][action]["errors"]
    }
    # Of parameters that we never send.
    unused = {
        *("DryRunOperationException", "MalformedPolicyDocumentException"),
        *("InvalidAliasNameException",),  # `reference` lets no such name through
    }
    unused |= {each for each in declared if each.startswith(("CloudHsm", "CustomKeyStore", "Xks"))}

    without = {each for each in declared - unused if "status 400" in failure(each).problem}

    assert without == set()


def _service_model():
    folder = Path(botocore.__file__).parent / "data" / "kms" / "2014-11-01"
    import gzip

    return gzip.decompress((folder / "service-2.json.gz").read_bytes())


def test_unknown_codes_go_by_their_status():
    assert failure("FutureException").kind is KeyUnusable
    assert failure("FutureException", status=500).kind is KeyUnavailable
    assert failure("FutureException", status=429).kind is KeyUnavailable
    assert "FutureException, status 500" in failure("FutureException", status=500).problem
    assert len(failure("x" * 1000).problem) < 200


@pytest.mark.parametrize(
    ("status", "words"),
    [(503, "status 503"), (429, "status 429"), (403, "is not KMS"), (200, "is not KMS")],
)
def test_answers_without_a_code_may_be_of_something_in_between(status, words):
    found = failure_of_status(status, action="kms:Sign")

    assert found.kind is KeyUnavailable
    assert words in found.problem


def test_a_wrong_signature_is_not_quoted_for_the_request_is_in_it():
    said = "The Canonical String should have been 'POST / x-amz-security-token:CANARY'"

    assert "CANARY" not in failure("InvalidSignatureException", said).problem
    assert "CANARY" not in failure("SignatureDoesNotMatch", said).problem


@pytest.mark.parametrize("said", ["", "\x1b[31mred", "a\0b", "‮"])
def test_what_cannot_be_printed_is_left_away(said):
    assert "AWS says" not in failure("AccessDeniedException", said).problem


def test_what_aws_says_is_shortened_to_one_line():
    problem = failure("AccessDeniedException", "not\nauthorized " + "x" * 1000).problem

    assert "AWS says: not authorized xxx" in problem
    assert len(problem) < 500


def test_as_an_exception():
    error = Failure(kind=KeyUnavailable, problem="slow", request_id="11-22", retry_after=2.0).error(
        URI
    )

    assert isinstance(error, KeyUnavailable)
    assert (error.uri, error.request_id, error.retry_after) == (URI, "11-22", 2.0)
    assert str(error) == f"{URI}: slow (request 11-22)"

    denied = Failure(kind=KeyDenied, problem="no", request_id="3", retry_after=2.0).error(URI)
    assert type(denied) is KeyDenied
    assert denied.request_id == "3"
