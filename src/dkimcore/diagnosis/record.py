"""Judge key records: what is wrong with one, what is unwise, and the cure.

Reads the text more generously than a verifier, to say what its author meant: zone-file
quoting pasted into a web form, a key that was cut off, PEM where base64 belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.diagnosis.artefacts import artefacts
from dkimcore.diagnosis.finding import Certainty, Finding, excerpt
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.keyrecord import KeyRecord, TxtStatus
from dkimcore.protocol.result import Unusable

if TYPE_CHECKING:
    from dkimcore.protocol.keyrecord import TxtAnswer
    from dkimcore.protocol.signature import Signature
    from dkimcore.resolvers import TxtResolver

__all__ = ["Judgement", "explain_key", "judge_answer", "judge_record"]

_MIN_BITS = 1024  # RFC 8301 section 3.2: verifiers refuse less
_GOOD_BITS = 2048
_MAX_BITS = 4096  # verifiers need not take more
_MOST_RECORDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a text is worth as a key record.

    Attributes:
        record: The record; None if it cannot be parsed.
        usable: Whether mail can be verified with it today.
        findings: What is wrong or unwise, the gravest first.
    """

    record: KeyRecord | None
    usable: bool
    findings: tuple[Finding, ...]


def judge_record(octets: bytes) -> Judgement:
    """Judge the text of one TXT record.

    Args:
        octets: Its character-strings, joined.
    """
    traces = artefacts(octets)
    try:
        record = KeyRecord.parse(octets)
    except Unusable as unusable:
        broken = Finding(
            code=unusable.cause.name.lower().replace("_", "-"),
            text=f"Verifiers cannot use it: {unusable.detail}.",
            certainty=Certainty.FACT,
            cure="" if traces else "Publish the text that 'dkimcore keygen --raw' prints.",
        )
        return Judgement(record=None, usable=False, findings=(broken, *traces))
    grave = _grave(record)
    return Judgement(
        record=record,
        usable=not grave,
        findings=(*grave, *traces, *_unwise(record)),
    )


def judge_answer(answer: TxtAnswer) -> tuple[list[Judgement], list[Finding]]:
    """Judge all TXT records at one name.

    Returns:
        A judgement for each record, and what is wrong with there being several, or none.
    """
    judgements = [judge_record(octets) for octets in answer.records[:_MOST_RECORDS]]
    findings: list[Finding] = []
    if answer.status is TxtStatus.FAILED:
        findings.append(
            _fact("key-unavailable", f"The DNS did not answer: {answer.detail}.", "Try again.")
        )
    elif not answer.records:
        findings.append(
            _fact("no-key", "There is no TXT record.", "Publish the key record at this name.")
        )
    elif len(answer.records) > 1:
        findings.append(
            _fact(
                "several-records",
                f"There are {len(answer.records)} TXT records at the name; verifiers may take "
                "any of them (RFC 6376 section 3.6.2.2).",
                "Leave one; give each key a selector of its own. A record of over 255 octets is "
                "one record of several strings, not several records.",
            )
        )
    return judgements, findings


def explain_key(signature: Signature, resolver: TxtResolver) -> list[Finding]:
    """Say what is wrong with the key record of a signature."""
    judgements, findings = judge_answer(resolver.lookup_txt(signature.key_query))
    findings = [one for one in findings if one.code == "several-records"]
    for judgement in judgements:
        findings += [one for one in judgement.findings if one.code not in _HARMLESS]
    return findings


# Said by `judge_record` to owners of a record, and no reason for a failure.
_HARMLESS = frozenset({"testing", "no-version", "key-short", "strict", "key-syntax-error"})


def _grave(record: KeyRecord) -> list[Finding]:
    findings = []
    key = record.public_key
    if key is None:
        findings.append(
            _fact(
                "key-revoked",
                "p= is empty: the key is revoked, and no signature made with it passes.",
                "Sign with a key under another selector.",
            )
        )
    elif key.key_type is KeyType.RSA and key.bits < _MIN_BITS:
        findings.append(
            _fact(
                "key-too-short",
                f"The RSA key has {key.bits} bits; verifiers refuse fewer than {_MIN_BITS} "
                "(RFC 8301 section 3.2).",
                "Make a key of 2048 bits under a new selector.",
            )
        )
    if record.hash_algorithms is not None and "sha256" not in record.hash_algorithms:
        named = ":".join(record.hash_algorithms)
        findings.append(
            _fact(
                "no-sha256",
                f"h={excerpt(named.encode())} does not allow sha256, and no other hash may be "
                "used (RFC 8301).",
                "Take h= out, or write h=sha256.",
            )
        )
    if not {"*", "email"} & set(record.service_types):
        findings.append(
            _fact(
                "not-for-email",
                "s= does not allow the key for mail.",
                "Take s= out, or write s=email.",
            )
        )
    return findings


def _unwise(record: KeyRecord) -> list[Finding]:
    findings = []
    key = record.public_key
    if key is not None and key.key_type is KeyType.RSA and _MIN_BITS <= key.bits < _GOOD_BITS:
        findings.append(
            _fact(
                "key-short",
                f"The RSA key has {key.bits} bits; signers should use at least {_GOOD_BITS} "
                "(RFC 8301 section 3.2).",
                "Make a key of 2048 bits under a new selector.",
            )
        )
    if key is not None and key.bits > _MAX_BITS:
        findings.append(
            _fact(
                "key-long",
                f"The RSA key has {key.bits} bits; verifiers need not take more than {_MAX_BITS}.",
                "2048 bits are good.",
            )
        )
    if record.is_testing:
        findings.append(
            _fact(
                "testing",
                "t=y: the domain is testing DKIM; verifiers may treat its mail as unsigned.",
                "Take t=y out when the tests are over.",
            )
        )
    if record.is_strict:
        findings.append(
            _fact("strict", "t=s: the AUID, i=, must be in the very domain d=, not below it.", "")
        )
    if record.hash_algorithms is not None and "sha1" in record.hash_algorithms:
        findings.append(
            _fact("sha1-allowed", "h= still allows sha1, which RFC 8301 forbids.", "Take it out.")
        )
    return findings


def _fact(code: str, text: str, cure: str) -> Finding:
    return Finding(code=code, text=text, certainty=Certainty.FACT, cure=cure)
