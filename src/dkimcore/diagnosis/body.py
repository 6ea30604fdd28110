"""Why a body hash did not verify (RFC 6376 sections 3.4.3, 3.4.4 and 3.7).

Undoes what `undo` knows, tries the other canonicalization, and looks with `blocks` for
lines that were added.  A fitting hash is proof; without one only traces remain.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dkimcore.diagnosis.blocks import CanonicalLines, find_added_block
from dkimcore.diagnosis.finding import Certainty, Finding, excerpt
from dkimcore.diagnosis.undo import undoings
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.hashing import BodyHash

if TYPE_CHECKING:
    from dkimcore.diagnosis.blocks import Block
    from dkimcore.diagnosis.finding import Budget
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.signature import Signature

__all__ = ["explain_body"]

_BOUNDARY = re.compile(rb'(?i)boundary[ \t]*=[ \t]*(?:"([^"\r\n]{1,100})"|([^\s";]{1,100}))')

# Services that write links anew, which changes a body where nobody can undo it from outside.
_REWRITTEN_LINKS = {
    b"safelinks.protection.outlook.com": "Microsoft Defender (Safe Links)",
    b"urldefense.proofpoint.com": "Proofpoint URL Defense",
    b"urldefense.com/v3": "Proofpoint URL Defense",
    b"protect-us.mimecast.com": "Mimecast",
    b"secure-web.cisco.com": "Cisco Secure Email",
    b"linkprotect.cudasvc.com": "Barracuda",
}


def explain_body(
    body: bytes, signature: Signature, header: Header, *, budget: Budget
) -> list[Finding]:
    """Say what happened to a body.

    Args:
        body: As it arrived.
        signature: Its ``bh=`` is looked for.
        header: The message's header.
        budget: What may be hashed.
    """
    if _fits(body, signature, signature.body_canonicalization):
        return [
            Finding(
                code="body-unchanged",
                text="The body is as it was signed; what is wrong is in the header."
                if signature.body_length is None
                else f"The first {signature.body_length} octets of the body, l=, are as they were "
                "signed; what is wrong is in the header.",
                certainty=Certainty.PROVED,
            )
        ]
    finding = (
        _other_canonicalization(body, signature)
        or _added(body, signature, budget, only_at_the_end=True)
        or _undone(body, signature, header, budget)
        or _added(body, signature, budget)
    )
    if finding is not None:
        return [finding]
    return _traces(body, signature, header, budget)


def _fits(body: bytes, signature: Signature, canonicalization: Canonicalization) -> bool:
    body_hash = BodyHash(
        canonicalization, signature.algorithm.hash_algorithm, signature.body_length
    )
    body_hash.feed(body)
    return body_hash.finish() == signature.body_hash


def _other_canonicalization(body: bytes, signature: Signature) -> Finding | None:
    declared = signature.body_canonicalization
    other = (
        Canonicalization.RELAXED if declared is Canonicalization.SIMPLE else Canonicalization.SIMPLE
    )
    if not _fits(body, signature, other):
        return None
    if other is Canonicalization.RELAXED:
        text = (
            "Only white space was changed in the body: with relaxed body canonicalization it "
            "would have passed."
        )
        cure = f"Let the signer use c={signature.header_canonicalization}/relaxed."
    else:
        text = (
            "The signer computed bh= with simple body canonicalization, and c= says relaxed: "
            "with simple it would have passed."
        )
        cure = "This is a bug of the signer, or c= was changed on the way."
    return Finding(
        code="body-canonicalization",
        text=text,
        certainty=Certainty.PROVED,
        cure=cure,
        data={"would_pass": f"{signature.header_canonicalization}/{other}"},
    )


def _undone(body: bytes, signature: Signature, header: Header, budget: Budget) -> Finding | None:
    as_is = CanonicalLines(body, signature.body_canonicalization).octets
    for undoing in undoings(body, header):
        if not budget.spend(3 * len(undoing.body)):
            return None
        if CanonicalLines(undoing.body, signature.body_canonicalization).octets == as_is:
            continue  # such a change breaks no signature of this canonicalization
        also = ""
        if not _fits(undoing.body, signature, signature.body_canonicalization):
            block = _find_block(undoing.body, signature, budget, only_at_the_end=True)
            if block is None:
                continue
            also = f" And {block.count} lines were added at the end of the body."
        return Finding(
            code=undoing.code,
            text=undoing.text + also,
            certainty=Certainty.PROVED,
            cure=undoing.cure,
        )
    return _as_local_text(body, signature, budget)


def _as_local_text(body: bytes, signature: Signature, budget: Budget) -> Finding | None:
    """Whether the signer hashed lines that end in LF, which no verifier can know."""
    lines = CanonicalLines(body, signature.body_canonicalization)
    if not budget.spend(len(lines.octets)) or not lines.fits_with_lf(signature):
        return None
    return Finding(
        code="line-ends",
        text="The signer hashed a body whose lines end in LF; messages are signed with CRLF "
        "(RFC 6376 section 5.3).",
        certainty=Certainty.PROVED,
        cure="Let the signer convert line ends before it signs, as dkimcore.to_crlf does.",
    )


def _find_block(
    body: bytes, signature: Signature, budget: Budget, *, only_at_the_end: bool = False
) -> Block | None:
    if signature.body_length is not None:
        return None  # an appended text is outside of l= and not what broke it
    lines = CanonicalLines(body, signature.body_canonicalization)
    return find_added_block(
        lines,
        signature.body_hash,
        signature.algorithm.hash_algorithm,
        budget=budget,
        only_at_the_end=only_at_the_end,
    )


def _added(
    body: bytes, signature: Signature, budget: Budget, *, only_at_the_end: bool = False
) -> Finding | None:
    block = _find_block(body, signature, budget, only_at_the_end=only_at_the_end)
    if block is None:
        return None
    count = "A line was" if block.count == 1 else f"{block.count} lines were"
    shown = f"'{excerpt(block.first_line)}'"
    data: dict[str, str | int | bool | None] = {
        "line": block.line,
        "count": block.count,
        "first_line": excerpt(block.first_line),
    }
    if block.at_end:
        return Finding(
            code="footer-added",
            text=f"A footer was added: {count.lower()} appended at the end of the body, from line "
            f"{block.line} on, beginning with {shown}.",
            certainty=Certainty.PROVED,
            cure="Mailing lists and gateways should leave signed mail alone, or sign it anew.",
            data=data,
        )
    where = "at the top of the body" if block.line == 1 else f"at line {block.line} of the body"
    return Finding(
        code="lines-added",
        text=f"{count} added {where}, beginning with {shown}.",
        certainty=Certainty.PROVED,
        cure="Mailing lists and gateways should leave signed mail alone, or sign it anew.",
        data=data,
    )


def _traces(body: bytes, signature: Signature, header: Header, budget: Budget) -> list[Finding]:
    """What may have happened, where no hash can prove it."""
    findings = []
    boundary = _open_boundary(body, header)
    if boundary is not None:
        findings.append(
            Finding(
                code="body-truncated",
                text="The body seems to be cut off: the multipart boundary "
                f"'{excerpt(boundary)}' is never closed.",
                certainty=Certainty.LIKELY,
                cure="Look for software that limits the size of messages.",
            )
        )
    start = body[:1_048_576]
    services = sorted({name for trace, name in _REWRITTEN_LINKS.items() if trace in start})
    if services:
        findings.append(
            Finding(
                code="links-rewritten",
                text=f"Links in the body were written anew by {', '.join(services)}.",
                certainty=Certainty.LIKELY,
                cure="Verify before that service, and trust its Authentication-Results field "
                "afterwards.",
            )
        )
    text = "The body is not the one that was signed, or bh= is not its hash."
    text += (
        " The search for what was changed was ended, because the message is large."
        if budget.exhausted
        else " No known change by mail software explains it."
    )
    if signature.body_canonicalization is Canonicalization.SIMPLE:
        text += " Signed with simple body canonicalization, it may be white space alone."
    cure = "With a copy of the original, --reference shows where they differ."
    findings.append(Finding(code="body-changed", text=text, certainty=Certainty.FACT, cure=cure))
    return findings


def _open_boundary(body: bytes, header: Header) -> bytes | None:
    for position in header.positions(b"content-type")[-1:]:
        value = header[position].value
        match = _BOUNDARY.search(value) if b"multipart" in value.lower() else None
        if match is not None:
            boundary = match[1] or match[2]
            opened = b"--" + boundary in body
            if opened and b"--" + boundary + b"--" not in body:
                return boundary
    return None
