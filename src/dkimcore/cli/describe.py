"""What `dkimcore verify` says about a result: to people, and as JSON to programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.cli.output import printable, styled
from dkimcore.protocol.result import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.diagnosis.finding import Finding
    from dkimcore.protocol.result import SignatureResult

__all__ = ["finding_json", "finding_lines", "result_json", "result_line", "status_text"]

_COLOURS = {
    Status.PASS: "green",
    Status.FAIL: "red",
    Status.PERMERROR: "red",
    Status.POLICY: "yellow",
    Status.NEUTRAL: "yellow",
    Status.TEMPERROR: "yellow",
    Status.NONE: "yellow",
}


def status_text(status: Status) -> str:
    """The status in its colour."""
    return styled(str(status), _COLOURS[status])


def result_line(result: SignatureResult) -> str:
    """Describe a result in one line."""
    parts = [f"signature {result.position + 1}: {status_text(result.status)}"]
    if result.cause is not None:
        parts.append(f" ({result.cause.phrase}: {printable(result.detail)})")
    signature = result.signature
    if signature is not None:
        canonicalization = f"{signature.header_canonicalization}/{signature.body_canonicalization}"
        about = f"d={signature.domain} s={signature.selector} a={signature.algorithm}"
        parts.append(f" {printable(about)} c={canonicalization}")
    key = None if result.key_record is None else result.key_record.public_key
    notes = [] if key is None else [f"{key.bits}-bit key"]
    notes += ["DNSSEC"] * result.authentic + ["testing"] * result.testing
    if notes:
        parts.append(f" ({', '.join(notes)})")
    return "".join(parts)


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Describe findings, a cure below each."""
    lines = []
    for finding in findings:
        sure = "" if finding.certainty == "fact" else f" [{finding.certainty}]"
        lines.append(f"- {printable(finding.text)}{sure}")
        if finding.cure:
            lines.append(f"  {printable(finding.cure)}")
    return lines


def finding_json(finding: Finding) -> dict[str, object]:
    """A finding as JSON has it."""
    return {
        "code": finding.code,
        "certainty": str(finding.certainty),
        "text": finding.text,
        "cure": finding.cure or None,
        "data": dict(finding.data),
    }


def result_json(
    result: SignatureResult, findings: Sequence[Finding] | None = None
) -> dict[str, object]:
    """A result as JSON has it; docs/reference/commands.md explains each name."""
    value: dict[str, object] = {
        "position": result.position,
        "status": str(result.status),
        "cause": None if result.cause is None else result.cause.name.lower(),
        "reason": None if result.cause is None else result.cause.phrase,
        "detail": result.detail or None,
        **_signature_json(result),
        **_key_json(result),
        "unsigned_fields": list(result.unsigned_fields),
    }
    if findings is not None:
        value["findings"] = [finding_json(finding) for finding in findings]
    return value


def _signature_json(result: SignatureResult) -> dict[str, object]:
    signature = result.signature
    if signature is None:
        return {"domain": None, "selector": None, "algorithm": None}
    return {
        "domain": signature.domain.ascii,
        "selector": signature.selector.ascii,
        "algorithm": str(signature.algorithm),
        "canonicalization": (
            f"{signature.header_canonicalization}/{signature.body_canonicalization}"
        ),
        "auid": None if signature.auid is None else str(signature.auid),
        "timestamp": signature.timestamp,
        "expiration": signature.expiration,
        "body_length": signature.body_length,
        "signed_fields": [name.decode("ascii") for name in signature.signed_fields],
    }


def _key_json(result: SignatureResult) -> dict[str, object]:
    record = result.key_record
    key = None if record is None else record.public_key
    return {
        "key_type": None if record is None else str(record.key_type),
        "key_bits": None if key is None else key.bits,
        "dnssec": result.authentic,
        "testing": result.testing,
    }
