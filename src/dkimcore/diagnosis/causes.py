"""Each cause of a failure in plain words, with the cure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dkimcore.diagnosis.finding import Certainty, Finding
from dkimcore.protocol.result import Cause

if TYPE_CHECKING:
    from dkimcore.protocol.policy import VerifyPolicy
    from dkimcore.protocol.result import SignatureResult

__all__ = ["explain_cause"]

_SIGNER = "The signer has to mend this; nothing can be done where the mail is received."
_MAKE_KEY = "The signing domain should publish a sound key under a new selector and sign with it."

# What each cause means and what to do; those that need a search are said by it.
_WORDS: dict[Cause, tuple[str, str]] = {
    Cause.SIGNATURE_SYNTAX_ERROR: (
        "The DKIM-Signature field is not written as RFC 6376 section 3.5 says.",
        "Look for a tag that stands twice, a missing ';' or a field that was cut off. " + _SIGNER,
    ),
    Cause.INCOMPATIBLE_VERSION: ("v= is not 1, the only version there is.", _SIGNER),
    Cause.MISSING_REQUIRED_TAG: ("A tag that every signature needs is absent.", _SIGNER),
    Cause.UNSUPPORTED_ALGORITHM: ("a= names no algorithm of DKIM.", _SIGNER),
    Cause.HISTORIC_ALGORITHM: (
        "rsa-sha1 proves nothing any more (RFC 8301).",
        "The signer has to use rsa-sha256. For old archives there is --allow-historic.",
    ),
    Cause.UNSUPPORTED_CANONICALIZATION: ("c= names no canonicalization of DKIM.", _SIGNER),
    Cause.UNSUPPORTED_QUERY_METHOD: ("q= names no way to get the key but unknown ones.", _SIGNER),
    Cause.DOMAIN_MISMATCH: (
        "i= must name the signing domain d= or a subdomain of it, and that domain itself where "
        "the key record has t=s.",
        "Let the signer leave i= away, or the domain take t=s out of its key record.",
    ),
    Cause.FROM_NOT_SIGNED: (
        "h= does not name From, without which a signature says nothing about the author.",
        _SIGNER,
    ),
    Cause.SIGNATURE_EXPIRED: (
        "The signature had a limited lifetime, x=, and it is over.",
        "Mail that waited in a queue needs a longer lifetime. To judge an archive, give the time "
        "of reception with --at.",
    ),
    Cause.MESSAGE_SYNTAX_ERROR: (
        "The header has a bare CR or LF, which some software takes for a line end and some does "
        "not: they would see different fields.",
        "If the file was converted on the way, verify the original; --line-ends lf reads a file "
        "of mixed line ends as one whose lines end in LF.",
    ),
    Cause.SIGNATURE_IN_FUTURE: (
        "t= lies ahead of the time of reception.",
        "Compare the clocks of the signer and of this machine; --at gives another time.",
    ),
    Cause.UNACCEPTABLE_SIGNATURE: (
        "The policy here demands that a field be signed which this signature leaves out.",
        _SIGNER,
    ),
    Cause.UNSIGNED_CONTENT: (
        "l= covers only the beginning of the body: anybody may append to it unnoticed.",
        "The signer should leave l= away. --allow-body-length accepts it.",
    ),
    Cause.LIMIT_EXCEEDED: (
        "The message asks for more work than any honest one.",
        "--max-signatures raises one of the limits.",
    ),
    Cause.KEY_UNAVAILABLE: (
        "The DNS did not answer; the signature may be good.",
        "Try again, or ask another name server with --nameserver.",
    ),
    Cause.NO_KEY: (
        "There is no key record where the signature says.",
        "If the mail is old, the key was taken out. Otherwise the signing domain has to publish "
        "it, or the signer to use another selector.",
    ),
    Cause.KEY_SYNTAX_ERROR: (
        "The key record is not written as RFC 6376 section 3.6.1 says.",
        "The signing domain has to correct it; 'dkimcore record' says what is wrong.",
    ),
    Cause.KEY_REVOKED: (
        "The signing domain has withdrawn the key: its p= is empty.",
        "Mail signed before may be genuine. New mail must be signed with a key in use.",
    ),
    Cause.KEY_TOO_SHORT: (
        "The RSA key is so short that others can compute its private half.",
        _MAKE_KEY,
    ),
    Cause.KEY_UNACCEPTABLE: ("The public key is one that proves nothing.", _MAKE_KEY),
    Cause.INAPPROPRIATE_HASH_ALGORITHM: (
        "The key record's h= does not allow the hash that the signature uses.",
        "The domain should take h= out of its key record, or add sha256.",
    ),
    Cause.INAPPROPRIATE_KEY_ALGORITHM: (
        "The key record holds a key of another type than the signature needs.",
        "Each type of key needs a selector of its own.",
    ),
    Cause.INAPPROPRIATE_SERVICE_TYPE: (
        "The key record's s= does not allow the key for mail.",
        "The domain should take s= out of its key record, or add email.",
    ),
    Cause.BODY_TOO_SHORT: (
        "The body is shorter than what was signed, l=: its end was lost.",
        "Look for software that cuts messages off.",
    ),
}


def explain_cause(result: SignatureResult, *, policy: VerifyPolicy | None) -> list[Finding]:
    """Say in plain words why a signature did not pass."""
    cause = result.cause
    words = None if cause is None else _WORDS.get(cause)
    if words is None or cause is None:
        return []
    text, cure = words
    signature = result.signature
    if signature is not None:
        moment = {
            Cause.SIGNATURE_EXPIRED: signature.expiration,
            Cause.SIGNATURE_IN_FUTURE: signature.timestamp,
        }.get(cause)
        if moment is not None:
            text += f" It says {_time(moment)}."
        if cause is Cause.NO_KEY:
            text += f" That is {signature.key_query}"
    if cause is Cause.KEY_TOO_SHORT and policy is not None and policy.min_rsa_bits > 1024:
        text = f"The RSA key is shorter than the {policy.min_rsa_bits} bits demanded here."
    code = cause.name.lower().replace("_", "-")
    return [Finding(code=code, text=text, certainty=Certainty.FACT, cure=cure)]


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} seconds"
