"""Where a message and a copy of it from before first differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.diagnosis.blocks import CanonicalLines
from dkimcore.diagnosis.finding import Certainty, Finding, excerpt
from dkimcore.protocol.canonical import Canonicalization, canonicalize_field

if TYPE_CHECKING:
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.signature import Signature

__all__ = ["compare_with_reference"]

_MOST_FIELDS = 20


def compare_with_reference(
    header: Header,
    body: bytes,
    signature: Signature,
    *,
    other_header: Header,
    other_body: bytes,
) -> list[Finding]:
    """Say which signed fields differ, and where the bodies first do.

    Args:
        header: The message's.
        body: The message's.
        signature: The signature that failed; its canonicalizations decide what differs.
        other_header: The copy's.
        other_body: The copy's.
    """
    findings = _compare_fields(header, signature, other_header)
    findings += _compare_bodies(body, signature, other_body)
    if not findings:
        findings.append(
            Finding(
                code="same-as-reference",
                text="The copy has the same body and the same signed fields: nothing that was "
                "signed was changed between the two.",
                certainty=Certainty.FACT,
                cure="Take a copy from nearer to the signer.",
            )
        )
    return findings


def _compare_fields(header: Header, signature: Signature, other: Header) -> list[Finding]:
    findings: list[Finding] = []
    canonicalization = signature.header_canonicalization
    for name in dict.fromkeys(field.lower() for field in signature.signed_fields):
        if name == b"dkim-signature":
            continue
        here, there = (
            [canonicalize_field(one[at].raw, canonicalization) for at in one.positions(name)]
            for one in (header, other)
        )
        if here == there or len(findings) >= _MOST_FIELDS:
            continue
        shown = name.decode("ascii", "replace").title()
        findings.append(
            Finding(
                code="field-differs",
                text=f"{shown} differs from the copy: {_values(there)} became {_values(here)}.",
                certainty=Certainty.FACT,
                data={"field": shown},
            )
        )
    return findings


def _values(fields: list[bytes]) -> str:
    if not fields:
        return "no field"
    return " and ".join(f"'{excerpt(field.partition(b':')[2].strip())}'" for field in fields[:3])


def _compare_bodies(body: bytes, signature: Signature, other: bytes) -> list[Finding]:
    here = CanonicalLines(body, signature.body_canonicalization)
    there = CanonicalLines(other, signature.body_canonicalization)
    if here.octets == there.octets:
        return []
    line = _first_difference(here.lines, there.lines)
    ours = here.lines[line] if line < len(here.lines) else None
    theirs = there.lines[line] if line < len(there.lines) else None
    column = _first_octet(ours or b"", theirs or b"")
    relaxed = signature.body_canonicalization is Canonicalization.RELAXED
    note = " (white space reduced as relaxed does)" if relaxed else ""
    return [
        Finding(
            code="body-differs",
            text=f"The body first differs from the copy at line {line + 1}, column {column + 1}"
            f"{note}: {_line(theirs, column)} became {_line(ours, column)}.",
            certainty=Certainty.FACT,
            data={
                "line": line + 1,
                "column": column + 1,
                "reference": None if theirs is None else excerpt(theirs, around=column),
                "message": None if ours is None else excerpt(ours, around=column),
            },
        )
    ]


def _line(line: bytes | None, column: int) -> str:
    return "the end of the body" if line is None else f"'{excerpt(line, around=column)}'"


def _first_difference(one: list[bytes] | bytes, other: list[bytes] | bytes) -> int:
    """Return the first index at which two sequences differ, or the shorter one's length."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


def _first_octet(one: bytes, other: bytes) -> int:
    """As `_first_difference`, quick on lines of megabytes."""
    step = 4096
    for start in range(0, min(len(one), len(other)), step):
        if one[start : start + step] != other[start : start + step]:
            pieces = one[start : start + step], other[start : start + step]
            return start + _first_difference(*pieces)
    return min(len(one), len(other))
