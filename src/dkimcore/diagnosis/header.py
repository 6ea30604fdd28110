"""Why a signature did not fit the header (RFC 6376 sections 3.7 and 5.4.2).

Tries what mail software does to header fields, one change at a time and then two, until
the signature fits.  What fits is proved; nothing else is claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dkimcore.diagnosis.copies import explain_copies
from dkimcore.diagnosis.finding import Certainty, Finding, excerpt
from dkimcore.diagnosis.keyfit import KeyFit
from dkimcore.diagnosis.trial import Trial
from dkimcore.diagnosis.variants import Variant, respellings, variants
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.message import HeaderField

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.diagnosis.finding import Budget
    from dkimcore.protocol.crypto import PublicKey
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.signature import Signature

__all__ = ["explain_header"]

_MOST_SINGLE = 2_000
_MOST_PAIRED = 150  # single changes of which every two are tried together

# What software adds to a message that lacks it, before it was signed or after.
_USUAL = {
    b"mime-version": (b"1.0",),
    b"content-transfer-encoding": (b"7bit", b"8bit"),
    b"content-type": (b"text/plain", b"text/plain; charset=us-ascii", b"text/plain; charset=utf-8"),
    b"subject": (b"",),
    b"to": (b"undisclosed-recipients:;",),
}


class _Change(NamedTuple):
    """One change undone: a signed field replaced, taken away (None) or put in."""

    at: int  # index in h=
    raw: bytes | None
    code: str
    text: str


def explain_header(
    header: Header,
    signature: Signature,
    public_key: PublicKey,
    *,
    own_position: int,
    budget: Budget,
) -> list[Finding]:
    """Say what happened to a header.

    Args:
        header: As it arrived.
        signature: The signature that did not fit.
        public_key: The key of its key record.
        own_position: Where the signature stands in the header.
        budget: What may be hashed.
    """
    fit = KeyFit(signature, public_key)
    if fit.is_other_key:
        return [_other_key(signature)]
    trial = Trial(header, signature, own_position=own_position, fit=fit, budget=budget)
    findings = [
        Finding(
            code="key-fits",
            text="The signature was made with this key; the header was changed since.",
            certainty=Certainty.PROVED,
        )
    ] * (fit.signed_hash is not None)
    other = _other_canonicalization(trial, signature)
    if other is not None:
        return [*findings, other]
    copies = explain_copies(header, signature, trial)
    proved = any(finding.certainty is Certainty.PROVED for finding in copies)
    return [*findings, *copies, *([] if proved else _search(header, trial, budget))]


def _other_key(signature: Signature) -> Finding:
    return Finding(
        code="other-key",
        text=f"The signature was not made with the key at {signature.key_query} or its b= was "
        "damaged: whatever the header was, it cannot fit.",
        certainty=Certainty.PROVED,
        cure="The signing domain has to publish the key it signs with (dkimcore testkey compares "
        "the two), and to use a new selector for each new key.",
    )


def _other_canonicalization(trial: Trial, signature: Signature) -> Finding | None:
    declared = signature.header_canonicalization
    other = (
        Canonicalization.RELAXED if declared is Canonicalization.SIMPLE else Canonicalization.SIMPLE
    )
    if not trial.fits_with(other):
        return None
    return Finding(
        code="header-canonicalization",
        text=f"With {other} header canonicalization it would have passed; c= says {declared}.",
        certainty=Certainty.PROVED,
        cure="This is a bug of the signer, or c= was changed on the way.",
        data={"would_pass": f"{other}/{signature.body_canonicalization}"},
    )


def _search(header: Header, trial: Trial, budget: Budget) -> list[Finding]:
    tried: list[_Change] = []
    for change in _single_changes(header, trial):
        if len(tried) >= _MOST_SINGLE or budget.exhausted:
            break
        if trial.fits({change.at: change.raw}):
            return [_proved((change,), trial)]
        tried.append(change)
    if trial.is_simple:
        for spelled in _all_respelled(trial):
            if trial.fits(dict(spelled)):
                return [_folded()]
    tried = tried[:_MOST_PAIRED]
    for number, first in enumerate(tried):
        for second in tried[:number]:
            if budget.exhausted:
                break
            if first.at != second.at and trial.fits({first.at: first.raw, second.at: second.raw}):
                return [_proved((second, first), trial)]
    return [_unknown(trial, budget)]


def _single_changes(header: Header, trial: Trial) -> Iterator[_Change]:
    """Give every single change that is worth a trial, the usual ones first."""
    yield from _variants_of(header, trial)
    for index, position in enumerate(trial.positions):
        if position is None:
            name = trial.names[index]
            for value in _USUAL.get(name, ()):
                text = f"{_title(name)}: '{excerpt(value)}' was taken out."
                yield _Change(index, name + b": " + value, "field-removed", text)
            continue
        name = trial.names[index]
        shown = f"{_title(name)} '{excerpt(header[position].value.strip())}'"
        yield _Change(index, None, "field-added", f"{shown} was added.")
        for other in header.positions(name)[-10:]:
            if other not in trial.positions:
                text = f"The {_title(name)} fields were added to, or their order changed."
                yield _Change(index, header[other].raw, "field-order", text)


def _variants_of(header: Header, trial: Trial) -> Iterator[_Change]:
    for index, field in trial.fields():
        for variant in variants(field, header, simple=trial.is_simple):
            yield _changed(index, field, variant)
    if trial.is_simple:
        for variant in respellings(trial.own_field):
            yield _changed(trial.own_index, trial.own_field, variant)


def _changed(index: int, field: HeaderField, variant: Variant) -> _Change:
    text = f"{_title(field.name)} {variant.change}: it was '{_value(variant.raw)}'."
    return _Change(index, variant.raw, "field-changed", text)


def _value(raw: bytes) -> str:
    return excerpt(raw.partition(b":")[2].strip(b" \t"))


def _all_respelled(trial: Trial) -> Iterator[list[tuple[int, bytes | None]]]:
    """Respell all fields in the same way: a relay folds every field, not one."""
    fields = [*trial.fields(), (trial.own_index, trial.own_field)]
    spellings = [[variant.raw for variant in respellings(field)] for _, field in fields]
    for way in zip(*spellings, strict=True):
        whole = [(index, raw) for (index, _), raw in zip(fields, way, strict=True)]
        yield whole[:-1]
        yield whole


def _title(name: bytes) -> str:
    return name.decode("ascii", "replace").title()


def _proved(changes: tuple[_Change, ...], trial: Trial) -> Finding:
    cure = "Whoever changes signed fields should sign the message anew."
    if trial.is_simple:
        cure = "Signers that use relaxed header canonicalization are not troubled by white space."
    return Finding(
        code=changes[0].code,
        text=" ".join(change.text for change in changes),
        certainty=Certainty.PROVED,
        cure=cure,
        data={"field": ", ".join(_title(trial.name_of(change.at)) for change in changes)},
    )


def _folded() -> Finding:
    return Finding(
        code="header-white-space",
        text="Header fields were folded anew, or only their white space or the case of their "
        "names was changed.",
        certainty=Certainty.PROVED,
        cure="Let the signer use relaxed header canonicalization.",
    )


def _unknown(trial: Trial, budget: Budget) -> Finding:
    names = ", ".join(dict.fromkeys(_title(name) for name in trial.names))
    ended = " The search was ended, because the header is large." if budget.exhausted else ""
    return Finding(
        code="header-changed",
        text=f"One or several of the signed fields ({names}) were changed, added or taken out, "
        f"in a way that cannot be guessed.{ended}",
        certainty=Certainty.FACT if trial.key_is_sure else Certainty.LIKELY,
        cure="Let the signer write z= (dkimcore sign --copied-fields), or give a copy of the "
        "original with --reference: both show the fields that differ.",
    )
