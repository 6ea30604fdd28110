"""Which fields changed, by the copies that ``z=`` holds (RFC 6376 section 3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.diagnosis.finding import Certainty, Finding, excerpt
from dkimcore.protocol.canonical import Canonicalization, canonicalize_field
from dkimcore.protocol.result import Cause, Unusable
from dkimcore.protocol.taglist import decode_quoted_printable

if TYPE_CHECKING:
    from dkimcore.diagnosis.trial import Trial
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.signature import Signature

__all__ = ["explain_copies", "read_copies"]

_MOST_COPIES = 200


def explain_copies(header: Header, signature: Signature, trial: Trial) -> list[Finding]:
    """Compare the signed fields with their copies.

    Args:
        header: As it arrived.
        signature: Its ``z=``, which may be absent.
        trial: Tells whether the signature fits with the copies put back.
    """
    copies = _parse(signature.copied_fields)
    if not copies:
        return []
    replaced: dict[int, bytes | None] = {}
    differing: list[tuple[bytes, bytes, bytes | None]] = []
    for index, name in enumerate(trial.names):
        position = trial.positions[index]
        here = None if position is None else header[position].raw
        queue = copies.get(name)
        copy = queue.pop(0) if queue else None
        if copy is None and here is None:
            continue
        if copy is None or here is None or _relaxed(copy) != _relaxed(here):
            replaced[index] = copy
            differing.append((name, copy or b"", here))
    if not replaced:
        return []
    proved = trial.fits(replaced)
    return [_finding(*one, proved=proved) for one in differing]


def _relaxed(raw: bytes) -> bytes:
    return canonicalize_field(raw, Canonicalization.RELAXED)


def read_copies(copied_fields: bytes | None) -> list[bytes]:
    """Return the fields that ``z=`` holds, in its order; none if it is malformed.

    Args:
        copied_fields: The value of ``z=``; None if there is none.
    """
    copies: list[bytes] = []
    for part in (copied_fields or b"").split(b"|"):
        try:
            raw = decode_quoted_printable(part, Cause.SIGNATURE_SYNTAX_ERROR)
        except Unusable:
            return []
        name, colon, value = raw.partition(b":")
        if colon:
            copies.append(name.rstrip(b" \t") + b": " + value.lstrip(b" \t"))
    return copies


def _parse(copied_fields: bytes | None) -> dict[bytes, list[bytes]]:
    """Return fields by name, in the order of ``z=``."""
    copies: dict[bytes, list[bytes]] = {}
    for field in read_copies(copied_fields)[:_MOST_COPIES]:
        copies.setdefault(field.partition(b":")[0].lower(), []).append(field)
    return copies


def _finding(name: bytes, copy: bytes, here: bytes | None, *, proved: bool) -> Finding:
    shown = name.decode("ascii", "replace").title()
    before, after = _value(copy), "" if here is None else _value(here)
    if not copy:
        text = f"{shown} '{after}' was added: z= has no copy of it."
        code = "field-added"
    elif here is None:
        text = f"{shown} was taken out; it was '{before}' (z=)."
        code = "field-removed"
    else:
        text = f"{shown} was changed from '{before}' (z=) to '{after}'."
        code = "field-changed"
    return Finding(
        code=code,
        text=text,
        certainty=Certainty.PROVED if proved else Certainty.LIKELY,
        cure="Whoever changes signed fields should sign the message anew.",
        data={"field": shown, "before": before, "after": after},
    )


def _value(raw: bytes) -> str:
    return excerpt(raw.partition(b":")[2].strip(b" \t\r\n"))
