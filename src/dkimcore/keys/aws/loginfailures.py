"""Why botocore finds no login, and what that becomes.

None of its texts is shown: some quote what a program printed that was to print a secret.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyUnavailable
from dkimcore.keys.aws.failures import Failure, failure_of_code

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

    from dkimcore.errors import KeyBackendError

__all__ = ["failure_of_client", "failure_of_login", "no_login"]

_CONFIG = "~/.aws/config of the user we run as"
_ROLE = "a mail server needs a role instead"

# By the name of the exception's class: not every version of botocore has all of them.
_CHAIN: dict[str, tuple[type[KeyBackendError], str]] = {
    "PartialCredentialsError": (
        KeyDenied,
        "the login for AWS is not whole: an access key and its secret access key belong together",
    ),
    "ProfileNotFound": (
        KeyDenied,
        f"a profile that the login for AWS is made from does not exist; correct {_CONFIG}",
    ),
    "InvalidConfigError": (
        KeyDenied,
        f"the profile of the login for AWS is not sound; correct it in {_CONFIG}",
    ),
    "SSOError": (KeyDenied, f"the single sign-on of the login for AWS is over; {_ROLE}"),
    "LoginError": (KeyDenied, f"the session of the login for AWS is over; {_ROLE}"),
    "CredentialRetrievalError": (
        KeyUnavailable,
        "the login for AWS cannot be fetched; see what gives it: credential_process=, or the "
        "metadata of the container or the instance",
    ),
    "MetadataRetrievalError": (
        KeyUnavailable,
        "the metadata of the container or the instance does not give the login for AWS",
    ),
    "HTTPClientError": (
        KeyUnavailable,
        "what gives the login for AWS (STS, SSO or metadata) does not answer",
    ),
    "ConnectionError": (
        KeyUnavailable,
        "what gives the login for AWS (STS, SSO or metadata) cannot be reached",
    ),
    "OSError": (
        KeyUnavailable,
        "a file or a program that the login for AWS is made from cannot be used",
    ),
}


def no_login() -> Failure:
    """Return what it means that botocore finds no credentials."""
    return Failure(
        kind=KeyDenied,
        problem="there is no login for AWS: let us run with a role (of the instance, the "
        f"container or the pod), or name with profile= one of {_CONFIG}",
    )


def failure_of_login(exc: Exception) -> Failure:
    """Return what it means that botocore's chain fails.

    Args:
        exc: What it raised.
    """
    name = type(exc).__name__
    for each in type(exc).__mro__:
        if each.__name__ in _CHAIN:
            kind, problem = _CHAIN[each.__name__]
            return Failure(kind=kind, problem=f"{problem} ({name})")
    problem = f"botocore cannot make the login for AWS ({name}); see its profile and its role"
    return Failure(kind=KeyDenied, problem=problem)


def failure_of_client(exc: ClientError) -> Failure:
    """Return what it means that STS or SSO refuses.

    Args:
        exc: What botocore's client raised.
    """
    error = exc.response.get("Error", {})
    metadata = exc.response.get("ResponseMetadata", {})
    failure = failure_of_code(
        str(error.get("Code", "")),
        str(error.get("Message", "")),
        status=int(metadata.get("HTTPStatusCode", 400)),
        action=f"sts:{exc.operation_name}",
        region="its region",
    )
    return replace(failure, request_id=metadata.get("RequestId"))
