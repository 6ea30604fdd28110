"""What can go wrong with AWS KMS, and what it becomes: one table.

A failure is a value until somebody raises it, so that no traceback leads to the frames in which
credentials and answers stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable

if TYPE_CHECKING:
    from dkimcore.errors import KeyBackendError

__all__ = [
    "EXPIRED",
    "Failure",
    "failure_of_code",
    "failure_of_status",
]

_MAX_TEXT = 300  # of what AWS says: an ARN of a role and one of a key fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call brought nothing.

    Attributes:
        kind: Which of our errors it is.
        problem: The cause and the cure.
        code: AWS's name for it, where AWS answered.
        request_id: AWS's name for the request.
        retry_after: Seconds after which it may be tried again, where the answer says it.
    """

    kind: type[KeyBackendError]
    problem: str
    code: str | None = None
    request_id: str | None = None
    retry_after: float | None = None

    def error(self, uri: str) -> KeyBackendError:
        """Return it as an exception.

        Args:
            uri: The key that was asked for.
        """
        if issubclass(self.kind, KeyUnavailable):
            return self.kind(
                self.problem, uri=uri, request_id=self.request_id, retry_after=self.retry_after
            )
        return self.kind(self.problem, uri=uri, request_id=self.request_id)


_SEE_LOGIN = (
    "; see what the login is (aws sts get-caller-identity as the user we run as) and which one "
    "the section's profile= names"
)
_SEE_HEALTH = "; it is asked again, and AWS's Health Dashboard says whether it is at fault"
_SEE_STATE = "; see its state with aws kms describe-key"

# Code, kind, cause and cure; and whether what AWS says belongs to it.  What AWS says of a wrong
# signature is never shown: it repeats the request, the session token among its headers.
_TABLE: tuple[tuple[str, type[KeyBackendError], str, bool], ...] = (
    (
        "NotFoundException",
        KeyNotFound,
        "KMS has no such key in {region}; correct the ARN, the alias or the region. A key that "
        "was made just now may take some seconds",
        False,
    ),
    (
        "DisabledException",
        KeyDenied,
        "the KMS key is disabled; enable it: aws kms enable-key --key-id ...",
        False,
    ),
    (
        "KMSInvalidStateException",
        KeyDenied,
        "the state of the KMS key does not allow {action}: it is to be deleted, or waits for its "
        "material" + _SEE_STATE,
        True,
    ),
    (
        "InvalidKeyUsageException",
        KeyUnusable,
        "the KMS key is not for {action}; a DKIM key has KeyUsage SIGN_VERIFY, a key for "
        "envelopes ENCRYPT_DECRYPT",
        True,
    ),
    (
        "AccessDeniedException",
        KeyDenied,
        "the login may not do {action} with it; allow that in the policy of the role or of the key",
        True,
    ),
    (
        "ExpiredTokenException",
        KeyDenied,
        "the login has expired, and where it was found there is no newer one; renew it, or let "
        "us run with a role, which renews itself",
        False,
    ),
    (
        "UnrecognizedClientException",
        KeyDenied,
        "AWS does not know the access key of the login, or its session token is wrong" + _SEE_LOGIN,
        False,
    ),
    (
        "InvalidSignatureException",
        KeyDenied,
        "AWS does not accept the signature of the request: the secret access key is wrong, or "
        "the clock of this machine is wrong by more than 5 minutes",
        False,
    ),
    (
        "MissingAuthenticationTokenException",
        KeyDenied,
        "the request came to AWS without a login; see what stands in between, such as a proxy",
        False,
    ),
    (
        "OptInRequired",
        KeyDenied,
        "the account of the login may not use {region}; enable the region, or name another one",
        False,
    ),
    (
        "InvalidGrantTokenException",
        KeyDenied,
        "KMS does not accept the grant of the login; make it anew",
        False,
    ),
    (
        "IncorrectKeyException",
        KeyUnusable,
        "the file was not encrypted under the key that key= names; name the right one, or "
        "restore the right file",
        False,
    ),
    (
        "InvalidCiphertextException",
        KeyUnusable,
        "KMS cannot decrypt the file: it was encrypted with another encryption context (the "
        "context.NAME= options of the URI) or under another key, or is damaged",
        False,
    ),
    (
        "InvalidArnException",
        KeyUnusable,
        "KMS does not accept the ARN; correct it",
        True,
    ),
    (
        "UnsupportedOperationException",
        KeyUnusable,
        "KMS does not do {action} with such a key; DKIM needs one of RSA_2048, RSA_3072, "
        "RSA_4096 or ECC_NIST_EDWARDS25519 for SIGN_VERIFY",
        True,
    ),
    (
        "ValidationException",
        KeyUnusable,
        "KMS does not accept the request for {action}; correct the URI",
        True,
    ),
    (
        "AlreadyExistsException",
        KeyUnusable,
        "there is such an alias already; choose another name, for a selector has one key for ever",
        False,
    ),
    (
        "LimitExceededException",
        KeyUnusable,
        "the account may have no more of them in {region}; delete what is not used, or ask AWS "
        "for a higher quota",
        True,
    ),
    (
        "IncorrectKeyMaterialException",
        KeyUnusable,
        "KMS does not take this private key",
        True,
    ),
    (
        "TagException",
        KeyUnusable,
        "KMS does not accept the tags; correct the tag.NAME= options of the URI",
        True,
    ),
    (
        "KeyUnavailableException",
        KeyUnavailable,
        "KMS cannot reach the key just now" + _SEE_HEALTH,
        False,
    ),
    (
        "DependencyTimeoutException",
        KeyUnavailable,
        "KMS waited in vain for something behind it" + _SEE_HEALTH,
        False,
    ),
    (
        "KMSInternalException",
        KeyUnavailable,
        "KMS failed" + _SEE_HEALTH,
        False,
    ),
    (
        "ThrottlingException",
        KeyUnavailable,
        "KMS is asked too often in {region} by this account; sign fewer messages there, or ask "
        "AWS for a higher quota of {action}",
        False,
    ),
)
_RULES = {code: (kind, text, is_quoted) for code, kind, text, is_quoted in _TABLE}

# Other names of the same, some of other services that the login goes through.
_SYNONYMS = {
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "InvalidSignatureException",
    "IncompleteSignatureException": "InvalidSignatureException",
    "InternalFailure": "KMSInternalException",
    "InternalServerError": "KMSInternalException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "NotAuthorized": "AccessDeniedException",
    "RequestExpired": "InvalidSignatureException",
    "RequestLimitExceeded": "ThrottlingException",
    "RequestTimeTooSkewed": "InvalidSignatureException",
    "RequestTimeout": "DependencyTimeoutException",
    "RequestTimeoutException": "DependencyTimeoutException",
    "ServiceUnavailable": "KMSInternalException",
    "ServiceUnavailableException": "KMSInternalException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "SlowDown": "ThrottlingException",
    "TooManyRequestsException": "ThrottlingException",
}

EXPIRED = frozenset({"ExpiredTokenException", "UnrecognizedClientException"})
"""Codes that a login which was renewed elsewhere makes up for."""


def failure_of_code(code: str, said: str, *, status: int, action: str, region: str) -> Failure:
    """Return what an error of AWS means.

    Args:
        code: Its name for it.
        said: Its text.
        status: The status of the answer.
        action: What was asked for, as a policy calls it, such as ``kms:Sign``.
        region: Where.
    """
    code = _SYNONYMS.get(code, code)
    # Throttled, RequestThrottled, ThrottledException: there are many.
    if code not in _RULES and "Throttl" in code:
        code = "ThrottlingException"
    rule = _RULES.get(code)
    if rule is None:
        again = status == 429 or status >= 500
        problem = f"KMS answered {action} with {code[:64]}, status {status}"
        return Failure(kind=KeyUnavailable if again else KeyUnusable, problem=problem, code=code)
    kind, text, is_quoted = rule
    problem = text.format(action=action, region=region)
    told = " ".join(said.split())[:_MAX_TEXT]
    if is_quoted and told.isprintable() and told:
        problem += f". AWS says: {told}"
    return Failure(kind=kind, problem=problem, code=code)


def failure_of_status(status: int, *, action: str) -> Failure:
    """Return what an answer means in which no error of AWS is named.

    Args:
        status: The status.
        action: What was asked for.
    """
    if status == 429 or status >= 500:
        problem = f"KMS answered {action} with the status {status}"
    else:
        problem = (
            f"what answered {action} with the status {status} is not KMS; see what stands in "
            "between, such as a proxy, and endpoint_url="
        )
    return Failure(kind=KeyUnavailable, problem=problem)
