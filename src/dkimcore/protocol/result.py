"""Every way in which judging a signature can end (RFC 6376 sections 3.9, 6.1; RFC 8601).

`Cause` is the one table that maps a reason to a word of RFC 8601 section
2.7.1; ADR 0003 argues the mapping.  Text in ``detail`` is for people and is
never parsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkimcore.protocol.keyrecord import KeyRecord
    from dkimcore.protocol.signature import Signature

__all__ = ["Cause", "SignatureResult", "Status", "Unusable", "Usage", "VerifyResults"]


class Status(StrEnum):
    """The words of RFC 8601 section 2.7.1 for the method ``dkim``."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - RFC 8601's word, not a password
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Cause(Enum):
    """Why a signature did not pass: a status and the reason in the RFC's words.

    Phrases marked "ours" are not RFC 6376's.
    """

    SIGNATURE_SYNTAX_ERROR = (Status.PERMERROR, "signature syntax error")
    INCOMPATIBLE_VERSION = (Status.PERMERROR, "incompatible version")
    MISSING_REQUIRED_TAG = (Status.PERMERROR, "signature missing required tag")
    UNSUPPORTED_ALGORITHM = (Status.PERMERROR, "unsupported algorithm")  # ours
    HISTORIC_ALGORITHM = (Status.PERMERROR, "historic algorithm")  # ours; RFC 8301 section 3.1
    UNSUPPORTED_CANONICALIZATION = (Status.PERMERROR, "unsupported canonicalization")  # ours
    UNSUPPORTED_QUERY_METHOD = (Status.PERMERROR, "unsupported query method")  # ours
    DOMAIN_MISMATCH = (Status.PERMERROR, "domain mismatch")
    FROM_NOT_SIGNED = (Status.PERMERROR, "From field not signed")
    SIGNATURE_EXPIRED = (Status.PERMERROR, "signature expired")
    MESSAGE_SYNTAX_ERROR = (Status.PERMERROR, "message syntax error")  # ours
    SIGNATURE_IN_FUTURE = (Status.POLICY, "signature timestamp in the future")  # ours
    UNACCEPTABLE_SIGNATURE = (Status.POLICY, "unacceptable signature header")
    UNSIGNED_CONTENT = (Status.POLICY, "unsigned content")
    LIMIT_EXCEEDED = (Status.POLICY, "limit exceeded")  # ours
    KEY_UNAVAILABLE = (Status.TEMPERROR, "key unavailable")
    NO_KEY = (Status.PERMERROR, "no key for signature")
    KEY_SYNTAX_ERROR = (Status.PERMERROR, "key syntax error")
    KEY_REVOKED = (Status.PERMERROR, "key revoked")
    KEY_TOO_SHORT = (Status.PERMERROR, "key too short")  # ours; RFC 8301 section 3.2
    KEY_UNACCEPTABLE = (Status.PERMERROR, "key unacceptable")  # ours; RFC 6376 section 8.13
    INAPPROPRIATE_HASH_ALGORITHM = (Status.PERMERROR, "inappropriate hash algorithm")
    INAPPROPRIATE_KEY_ALGORITHM = (Status.PERMERROR, "inappropriate key algorithm")
    INAPPROPRIATE_SERVICE_TYPE = (Status.PERMERROR, "inappropriate service type")  # ours
    BODY_TOO_SHORT = (Status.PERMERROR, "body shorter than l=")  # ours; section 3.5
    BODY_HASH = (Status.FAIL, "body hash did not verify")
    SIGNATURE = (Status.FAIL, "signature did not verify")

    def __init__(self, status: Status, phrase: str) -> None:
        self.status = status
        self.phrase = phrase


class Unusable(Exception):
    """A parser's way to say that a signature or key record ends here.

    Raised only inside `dkimcore.protocol` and caught in `verify`; it never
    leaves the library.
    """

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureResult:
    """What verifying one DKIM-Signature field came to.

    Attributes:
        status: RFC 8601's word.
        cause: Why not; None exactly when the status is ``pass``.
        detail: The reason for people; never parsed.
        position: Which DKIM-Signature field of the message, counted from 0 at the top.
        signature: The parsed field, where it could be parsed.
        key_record: The key record that was used, where one was found.
        authentic: Whether the resolver says that DNSSEC validated the key record.
        body_signed: Canonical body octets that l= covers; None means all of them.
        body_octets: Canonical body octets there are; None where the body was not read to its
            end for this signature.
        testing: Whether the key record has the flag ``t=y``: a failure is then to be
            treated like an unsigned message (RFC 6376 section 3.6.1).
        unsigned_fields: Names of fields that stand several times in the message, not all of
            them covered by the signature, among those that people see (section 8.15).
    """

    status: Status
    cause: Cause | None
    detail: str
    position: int
    signature: Signature | None = None
    key_record: KeyRecord | None = None
    authentic: bool = False
    body_signed: int | None = None
    body_octets: int | None = None
    testing: bool = False
    unsigned_fields: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the signature verified."""
        return self.status is Status.PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What verifying one message cost, against its `Limits`.

    Attributes:
        signatures: DKIM-Signature fields in the message.
        evaluated: How many of them were evaluated.
        queries: Distinct key queries stated.
        body_octets: Body octets received.
        body_hashes: Distinct body hashes computed.
        limits: Which fields of `Limits` were exceeded, each once.
    """

    signatures: int = 0
    evaluated: int = 0
    queries: int = 0
    body_octets: int = 0
    body_hashes: int = 0
    limits: tuple[str, ...] = ()


# Which status speaks for the message when no signature passed: what may change with time
# first, then what was really checked, then what could not be.
_PRECEDENCE = (
    Status.PASS,
    Status.TEMPERROR,
    Status.FAIL,
    Status.POLICY,
    Status.NEUTRAL,
    Status.PERMERROR,
)


def _precedence(result: SignatureResult) -> int:
    return _PRECEDENCE.index(result.status)


class VerifyResults(tuple["SignatureResult", ...]):
    """The results of a message's signatures, top down; empty means ``dkim=none``.

    A tuple of `SignatureResult`, which also answers for the message as a whole.
    """

    usage: Usage
    best: SignatureResult | None
    """The result that speaks for the message; None when it has no signature."""

    def __new__(
        cls, results: Iterable[SignatureResult] = (), *, usage: Usage | None = None
    ) -> VerifyResults:
        self = super().__new__(cls, results)
        self.usage = Usage() if usage is None else usage
        # Not each time it is asked for: a milter asks four times, for 1 us each.
        self.best = min(self, key=_precedence, default=None)
        return self

    @property
    def status(self) -> Status:
        """The message's status: ``pass`` if any signature passed (RFC 6376 section 6.1)."""
        best = self.best
        return Status.NONE if best is None else best.status

    @property
    def cause(self) -> Cause | None:
        """Why the message did not pass; None for ``pass`` and ``none``."""
        best = self.best
        return None if best is None else best.cause

    @property
    def passed(self) -> bool:
        """Whether any signature passed."""
        return self.status is Status.PASS
