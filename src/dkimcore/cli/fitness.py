"""Whether a private key and a published key record fit each other.

A message is signed with the one and verified with the other; comparing public keys would not
find a record that a verifier cannot use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.blocking import sign, verify
from dkimcore.cli.exits import Exit
from dkimcore.diagnosis.record import judge_answer
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.keyrecord import TxtStatus
from dkimcore.protocol.result import Cause
from dkimcore.resolvers.static import StaticResolver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.diagnosis.finding import Finding
    from dkimcore.protocol.keyrecord import TxtAnswer
    from dkimcore.signer import Signer

__all__ = ["Fitness", "fully_checked", "judge_key"]

_PROBE = b"From: testkey@%s\r\nSubject: key test\r\n\r\nDo they fit each other?\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """Whether a key fits its record.

    Attributes:
        status: OK, or why not.
        problem: The same in one line; "" if all is well.
        findings: What else there is to say about the record.
    """

    status: Exit
    problem: str = ""
    findings: Sequence[Finding] = ()


def fully_checked(text: str) -> str:
    """Return a key URI that asks the backend for files to validate an RSA key's numbers.

    Raises:
        KeyUriError: The URI is malformed.
    """
    uri = KeyUri.parse(text)
    if uri.scheme != "file" or "check" in uri.options:
        return text
    return f"{uri}{'&' if uri.options else '?'}check=full"


def judge_key(answer: TxtAnswer, name: str, signer: Signer | None) -> Fitness:
    """Judge a key record, and a private key by it.

    Args:
        answer: What the DNS answered.
        name: The name of the record, without a final dot.
        signer: The private key; None judges the record alone.
    """
    if answer.status is TxtStatus.FAILED:
        problem = f"'{name}' {answer.detail or 'query failed'}"
        return Fitness(status=Exit.TEMPORARY, problem=problem)
    if not answer.records:
        return Fitness(status=Exit.UNAVAILABLE, problem=f"'{name}' record not found")
    judgements, findings = judge_answer(answer)
    for judgement in judgements:
        findings += judgement.findings
    if signer is not None:
        return _sign_and_verify(answer, name, signer, findings)
    if any(judgement.usable for judgement in judgements):
        return Fitness(status=Exit.OK, findings=findings)
    return Fitness(status=Exit.UNAVAILABLE, problem=f"'{name}' cannot be used", findings=findings)


def _sign_and_verify(
    answer: TxtAnswer, name: str, signer: Signer, findings: Sequence[Finding]
) -> Fitness:
    message = _PROBE % signer.domain.ascii.encode("ascii")
    (field,) = sign(message, [signer], now=0)
    resolver = StaticResolver({name: answer})
    (result,) = verify(field.raw + b"\r\n" + message, resolver=resolver, now=0)
    if result.passed:
        return Fitness(status=Exit.OK, findings=findings)
    if result.cause in (Cause.SIGNATURE, Cause.INAPPROPRIATE_KEY_ALGORITHM):
        return Fitness(status=Exit.DATA, problem="keys do not match", findings=findings)
    reason = "" if result.cause is None else result.cause.phrase
    return Fitness(
        status=Exit.UNAVAILABLE, problem=f"'{name}' {reason}: {result.detail}", findings=findings
    )
