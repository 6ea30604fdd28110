"""Why there is no login."""

from __future__ import annotations

import botocore.exceptions as raised
import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable
from dkimcore.keys.aws.loginfailures import failure_of_client, failure_of_login, no_login


@pytest.mark.parametrize(
    ("exc", "kind", "words"),
    [
        (raised.PartialCredentialsError(provider="env", cred_var="x"), KeyDenied, "not whole"),
        (raised.ProfileNotFound(profile="mail"), KeyDenied, "does not exist"),
        (raised.InvalidConfigError(error_msg="bad"), KeyDenied, "not sound"),
        (
            raised.InfiniteLoopConfigError(source_profile="a", visited_profiles=[]),
            KeyDenied,
            "not sound",
        ),
        (raised.UnauthorizedSSOTokenError(), KeyDenied, "needs a role"),
        (
            raised.CredentialRetrievalError(provider="process", error_msg="CANARY"),
            KeyUnavailable,
            "credential_process=",
        ),
        (raised.MetadataRetrievalError(error_msg="CANARY"), KeyUnavailable, "metadata"),
        (raised.ReadTimeoutError(endpoint_url="http://x"), KeyUnavailable, "does not answer"),
        (raised.EndpointConnectionError(endpoint_url="http://x"), KeyUnavailable, "be reached"),
        (FileNotFoundError(2, "CANARY"), KeyUnavailable, "a file or a program"),
        (RuntimeError("CANARY are still expired"), KeyDenied, "RuntimeError"),
    ],
)
def test_the_chain(exc, kind, words):
    found = failure_of_login(exc)

    assert found.kind is kind
    assert words in found.problem
    assert type(exc).__name__ in found.problem
    assert "CANARY" not in found.problem


def test_nothing_found():
    assert no_login().kind is KeyDenied
    assert "profile=" in no_login().problem


def test_sts_refuses():
    response = {
        "Error": {"Code": "AccessDenied", "Message": "User mail may not assume the role"},
        "ResponseMetadata": {"RequestId": "77", "HTTPStatusCode": 403},
    }

    found = failure_of_client(raised.ClientError(response, "AssumeRole"))

    assert found.kind is KeyDenied
    assert "sts:AssumeRole" in found.problem
    assert "User mail may not assume the role" in found.problem
    assert found.request_id == "77"


def test_sts_without_details():
    assert failure_of_client(raised.ClientError({}, "AssumeRole")).request_id is None
