"""Why a signature failed, told to a person.

`explain` takes a message and one of its results, and looks for what happened on the way:
it undoes what mail software is known to do and looks whether the hashes fit then.  It says
what is proved, what is a fact and what is only likely; it judges nothing, and never makes
a signature pass.  Whatever the message holds, it ends in bounded time and raises nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.diagnosis.body import explain_body
from dkimcore.diagnosis.causes import explain_cause
from dkimcore.diagnosis.compare import compare_with_reference
from dkimcore.diagnosis.finding import Budget, Certainty, Finding
from dkimcore.diagnosis.header import explain_header
from dkimcore.diagnosis.record import explain_key
from dkimcore.protocol.message import MessageReader
from dkimcore.protocol.result import Cause

if TYPE_CHECKING:
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.policy import VerifyPolicy
    from dkimcore.protocol.result import SignatureResult
    from dkimcore.resolvers import TxtResolver

__all__ = ["MAX_MESSAGE_OCTETS", "Certainty", "Finding", "explain"]

# Larger messages are held in memory for nothing: the searches below would not end in them.
MAX_MESSAGE_OCTETS = 32 << 20

# A second or two of hashing, for the body and for the header each.
_BUDGET = 400_000_000

_KEY_CAUSES = frozenset(
    {
        Cause.NO_KEY,
        Cause.KEY_SYNTAX_ERROR,
        Cause.KEY_REVOKED,
        Cause.KEY_TOO_SHORT,
        Cause.KEY_UNACCEPTABLE,
        Cause.KEY_UNAVAILABLE,
        Cause.INAPPROPRIATE_HASH_ALGORITHM,
        Cause.INAPPROPRIATE_KEY_ALGORITHM,
        Cause.INAPPROPRIATE_SERVICE_TYPE,
    }
)


def explain(
    message: bytes,
    result: SignatureResult,
    *,
    resolver: TxtResolver | None = None,
    policy: VerifyPolicy | None = None,
    reference: bytes | None = None,
) -> tuple[Finding, ...]:
    """Say why a signature of a message did not pass.

    Args:
        message: The message that was verified, in wire form.
        result: The result of one of its signatures.
        resolver: Whom to ask again for the key record, to look at its text; nobody if None.
        policy: What the message was verified with.
        reference: A copy of the message as it was before something happened to it.

    Returns:
        Findings, the most certain and important first; empty for a signature that passed
        and has nothing remarkable.
    """
    header, body = _divide(message)
    findings = [_unsigned_field(name) for name in result.unsigned_fields]
    if result.cause is not None:
        findings += explain_cause(result, policy=policy)
    if result.cause in _KEY_CAUSES and result.signature is not None and resolver is not None:
        findings += explain_key(result.signature, resolver)
    if result.cause in (Cause.BODY_HASH, Cause.BODY_TOO_SHORT, Cause.SIGNATURE):
        findings += _explain_hashes(header, body, result)
        if reference is not None and result.signature is not None:
            # The copy that this finding asks for is there.
            findings = [replace(f, cure="") if f.code == "body-changed" else f for f in findings]
            other_header, other_body = _divide(reference)
            findings += compare_with_reference(
                header, body, result.signature, other_header=other_header, other_body=other_body
            )
    return tuple(findings)


def _divide(message: bytes) -> tuple[Header, bytes]:
    reader = MessageReader(max_header_octets=MAX_MESSAGE_OCTETS)
    body = reader.feed(message)
    return reader.finish(), body


def _explain_hashes(header: Header, body: bytes, result: SignatureResult) -> list[Finding]:
    signature, record = result.signature, result.key_record
    if signature is None:
        return []
    findings: list[Finding] = []
    if result.cause is Cause.SIGNATURE and record is not None and record.public_key is not None:
        fields = header.positions(b"dkim-signature")
        findings += explain_header(
            header,
            signature,
            record.public_key,
            own_position=fields[result.position],
            budget=Budget(_BUDGET),
        )
    return findings + explain_body(body, signature, header, budget=Budget(_BUDGET))


def _unsigned_field(name: str) -> Finding:
    return Finding(
        code="unsigned-field",
        text=f"The message has more {name.title()} fields than the signature covers: one of "
        "them was added by somebody else, and mail programs may show that one.",
        certainty=Certainty.FACT,
        cure="Signers prevent it by oversigning: naming the field once more in h=.",
        data={"field": name},
    )
