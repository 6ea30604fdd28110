"""OpenDKIM's words for how a signature ended: one table of `Cause`.

Filters that read Authentication-Results, and people who read logs, know OpenDKIM's words; the
milter keeps them (ADR 0013).  The library's own mapping is that of ADR 0003.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from dkimcore.protocol.authres import Words
from dkimcore.protocol.result import Cause, Status
from dkimcore.settings.model import Action, KeyTrust
from dkimcore_milter.logline import Level

if TYPE_CHECKING:
    from dkimcore.protocol.result import SignatureResult
    from dkimcore.settings.model import Actions, Verifying

__all__ = ["IGNORED", "PASS", "WORDING", "Option", "Wording", "failure_line", "wording", "words"]


class Option(Enum):
    """Which option says what happens to a message, and what its client is told.

    Each is the field of `Actions`, the text of the reply ("" leaves it to the MTA), and the
    enhanced status code of a temporary one.
    """

    NONE = ("", "", "")
    BAD_SIGNATURE = ("bad_signature", "bad DKIM signature data", "4.7.0")
    SYNTAX = ("bad_signature", "DKIM signature syntax error", "4.7.0")
    REVOKED = ("bad_signature", "", "4.7.0")
    KEY_NOT_FOUND = ("key_not_found", "DKIM key retrieval failed", "4.7.5")
    DNS_ERROR = ("dns_error", "DKIM key retrieval failed", "4.7.5")
    NO_SIGNATURE = ("no_signature", "no DKIM signature data", "4.7.0")

    def __init__(self, field: str, text: str, temporary: str) -> None:
        self.field = field
        self.text = text
        self.temporary = temporary

    @property
    def is_bad_signature(self) -> bool:
        """Whether On-BadSignature decides."""
        return self.field == "bad_signature"

    def action(self, actions: Actions) -> Action:
        """Return what the settings say; ACCEPT where no option is about it."""
        if not self.field:
            return Action.ACCEPT
        action: Action = getattr(actions, self.field)
        return action


@dataclass(frozen=True, slots=True)
class Wording:
    """How the milter tells a result.

    Attributes:
        status: The word in Authentication-Results.
        reason: ``reason=`` there, or None.
        option: Which option decides about the message.
    """

    status: Status
    reason: str | None = None
    option: Option = Option.NONE


PASS = Wording(Status.PASS)
IGNORED = Wording(Status.NEUTRAL)

_FAILED = Wording(Status.FAIL, "signature verification failed", Option.BAD_SIGNATURE)
_SYNTAX = Wording(Status.PERMERROR, None, Option.SYNTAX)
_UNUSABLE = Wording(Status.PERMERROR)
_TOO_LITTLE = Wording(Status.FAIL, "not enough of the body is signed", Option.BAD_SIGNATURE)

WORDING = {
    Cause.SIGNATURE_SYNTAX_ERROR: _SYNTAX,
    Cause.INCOMPATIBLE_VERSION: _UNUSABLE,
    Cause.MISSING_REQUIRED_TAG: _SYNTAX,
    Cause.UNSUPPORTED_ALGORITHM: _UNUSABLE,
    Cause.HISTORIC_ALGORITHM: Wording(Status.PERMERROR, "historic algorithm"),  # ours
    Cause.UNSUPPORTED_CANONICALIZATION: _UNUSABLE,
    Cause.UNSUPPORTED_QUERY_METHOD: _UNUSABLE,
    Cause.DOMAIN_MISMATCH: _UNUSABLE,
    Cause.FROM_NOT_SIGNED: _UNUSABLE,
    Cause.SIGNATURE_EXPIRED: _UNUSABLE,
    Cause.MESSAGE_SYNTAX_ERROR: Wording(Status.PERMERROR, "message syntax error"),  # ours
    Cause.SIGNATURE_IN_FUTURE: _UNUSABLE,
    Cause.UNACCEPTABLE_SIGNATURE: Wording(Status.FAIL, "unprotected header field"),
    Cause.UNSIGNED_CONTENT: Wording(Status.POLICY, "unsigned content"),  # ours
    Cause.LIMIT_EXCEEDED: Wording(Status.POLICY, "limit exceeded"),  # ours
    Cause.KEY_UNAVAILABLE: Wording(Status.TEMPERROR, None, Option.DNS_ERROR),
    Cause.NO_KEY: Wording(Status.FAIL, "key not found in DNS", Option.KEY_NOT_FOUND),
    # OpenDKIM says permerror, temperror or fail, depending on what is wrong, and acts on none.
    Cause.KEY_SYNTAX_ERROR: _UNUSABLE,
    Cause.KEY_REVOKED: Wording(Status.FAIL, "key revoked", Option.REVOKED),
    Cause.KEY_TOO_SHORT: Wording(Status.POLICY, "signing key too small"),
    Cause.KEY_UNACCEPTABLE: Wording(Status.POLICY, "key unacceptable"),  # ours
    Cause.INAPPROPRIATE_HASH_ALGORITHM: Wording(Status.FAIL, "signature-key hash mismatch"),
    Cause.INAPPROPRIATE_KEY_ALGORITHM: _UNUSABLE,
    Cause.INAPPROPRIATE_SERVICE_TYPE: Wording(Status.FAIL, "not an e-mail key"),
    Cause.BODY_TOO_SHORT: Wording(
        Status.FAIL, "length tag value exceeds body size", Option.BAD_SIGNATURE
    ),
    Cause.BODY_HASH: _FAILED,
    Cause.SIGNATURE: _FAILED,
}

# What OpenDKIM calls otherwise, depending on whether it had a key: t=s, and an unknown k=.
_SPECIAL = {
    (Cause.DOMAIN_MISMATCH, True): Wording(Status.FAIL, "unauthorized subdomain"),
    (Cause.INAPPROPRIATE_KEY_ALGORITHM, False): Wording(Status.FAIL, "unknown key type"),
}

_UNPROTECTED = {
    KeyTrust.NONE: PASS,
    KeyTrust.NEUTRAL: Wording(Status.NEUTRAL, "unprotected key"),
    KeyTrust.FAIL: Wording(Status.POLICY, "unprotected key", Option.BAD_SIGNATURE),
}


def wording(result: SignatureResult, verifying: Verifying) -> Wording:
    """Return how the milter tells a result.

    Args:
        result: What verifying came to.
        verifying: Minimum and UnprotectedKey may refuse what passed.
    """
    if result.cause is not None:
        has_record = result.key_record is not None
        return _SPECIAL.get((result.cause, has_record)) or WORDING[result.cause]
    if verifying.minimum_body is not None and not _is_enough(result, verifying.minimum_body):
        return _TOO_LITTLE
    return PASS if result.authentic else _UNPROTECTED[verifying.unprotected_key]


_MINIMUM = re.compile(r"([0-9]+)([%+]?)")


def _is_enough(result: SignatureResult, minimum: str) -> bool:
    """Whether l= covers what Minimum wants: ``n`` octets, ``n%``, or all but ``n+``."""
    total, signed = result.body_octets, result.body_signed
    match = _MINIMUM.fullmatch(minimum)
    if signed is None or total is None or match is None:
        return True
    number = int(match[1])
    if match[2] == "%":
        return signed * 100 >= total * number
    if match[2] == "+":
        return signed + number >= total
    return signed >= min(number, total)


def words(result: SignatureResult, told: Wording) -> Words:
    """Return what Authentication-Results says about a result.

    Args:
        result: What verifying came to.
        told: Its wording.
    """
    record = result.key_record
    comment = None
    if record is not None and record.public_key is not None:
        comment = f"{record.public_key.bits}-bit key" + ("; secure" if result.authentic else "")
    return Words(status=told.status, reason=told.reason, comment=comment)


def failure_line(result: SignatureResult, told: Wording) -> tuple[Level, str, str]:
    """Return the level, the text and the event of the line about a message that did not pass.

    Args:
        result: The result that speaks for the message.
        told: Its wording.
    """
    signature = result.signature
    whose = ""
    if signature is not None:
        whose = f"s={signature.selector}, d={signature.domain}"
    if result.cause is Cause.KEY_REVOKED and signature is not None:
        text = f"key revoked ({whose}, a={signature.algorithm})"
        return Level.NOTICE, text, "key-revoked"
    if told.option in (Option.KEY_NOT_FOUND, Option.DNS_ERROR):
        return Level.ERR, f"key retrieval failed ({whose}): {result.detail}", "key-retrieval-failed"
    if told.option is Option.SYNTAX:
        return Level.ERR, f"syntax error: {result.detail}", "syntax-error"
    if told.option is Option.BAD_SIGNATURE:
        return Level.NOTICE, "bad signature data", "bad-signature"
    return Level.INFO, f"signature processing failed: {result.detail}", "signature-not-usable"
