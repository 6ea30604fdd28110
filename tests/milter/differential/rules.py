"""Differences that occur in many places, each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Setting
    from .observe import Aspects

__all__ = ["RULES", "Rule", "Seen"]

# Names that OpenDKIM does not sign unless told to, and we do.
MORE_FIELDS = frozenset(
    {
        *("message-id", "mime-version", "content-type", "content-transfer-encoding"),
        *("content-id", "content-description", "list-unsubscribe-post", "sender"),
    }
)
OVERSIGNED = frozenset(
    {
        *("from", "subject", "date", "to", "cc", "reply-to", "message-id", "mime-version"),
        *("content-type", "content-transfer-encoding"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A difference, and where it was seen."""

    setting: Setting
    aspect: str
    theirs: str
    ours: str
    all_theirs: Aspects
    all_ours: Aspects


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A difference that is meant wherever it occurs.

    Attributes:
        title: What differs, in a few words.
        shown_by: The configuration and the message that show it, so that no rule outlives its
            purpose.
        theirs: What OpenDKIM does, for the documentation.
        ours: What we do.
        reason: Why.
        applies: Tells whether this is it.
    """

    title: str
    shown_by: tuple[str, str]
    theirs: str
    ours: str
    reason: str
    applies: Callable[[Seen], bool]


def _sets(setting: Setting, option: str) -> bool:
    return any(line.lower().startswith(option.lower() + " ") for line in setting.conf.splitlines())


def _counts(text: str) -> dict[str, int]:
    parts = [word.partition("*") for word in text.split()]
    return {name: int(count or 1) for name, _, count in parts}


def _more_fields(seen: Seen) -> bool:
    if not (seen.aspect.startswith("signature ") and seen.aspect.endswith((" h", " z"))):
        return False
    if _sets(seen.setting, "SignHeaders") and "SignHeaders *" not in seen.setting.conf:
        return False
    old, new = _counts(seen.theirs), _counts(seen.ours)
    oversigned = set() if _sets(seen.setting, "OverSignHeaders") else OVERSIGNED
    if seen.aspect.endswith(" z"):
        oversigned = set()
    return all(
        new.get(name, 0) - old.get(name, 0) == (name in oversigned)
        or (name in MORE_FIELDS and name not in old)
        for name in {*old, *new}
    )


def _canonicalization(seen: Seen) -> bool:
    return (
        re.fullmatch(r"signature \d+ c", seen.aspect) is not None
        and not _sets(seen.setting, "Canonicalization")
        and (seen.theirs, seen.ours) == ("simple/simple", "relaxed/relaxed")
    )


def _atps(seen: Seen) -> bool:
    return "dkim-atps" in seen.aspect and not seen.ours


def _algorithm(seen: Seen) -> bool:
    return seen.aspect.endswith(" header.a") and seen.theirs == "rsa-sha1"


def _product(seen: Seen) -> bool:
    return (
        seen.aspect.startswith("DKIM-Filter")
        and seen.theirs.startswith("OpenDKIM Filter v")
        and seen.theirs.split()[-2:] == seen.ours.split()[-2:]
    )


def _skip(seen: Seen) -> bool:
    return seen.aspect == "body" and (seen.theirs, seen.ours) == ("", "skipped")


def _step(seen: Seen) -> bool:
    told = [text.partition(": ")[2] for text in (seen.theirs, seen.ours)]
    if seen.aspect == "body":  # of a message that was decided before it
        return not seen.ours and seen.all_ours["reply"].startswith("eoh: ")
    return seen.aspect == "reply" and told[0] == told[1]


def _malformed(seen: Seen) -> bool:
    found = re.fullmatch(r"(results \d+ dkim \d+) header\.[abdis]", seen.aspect)
    return found is not None and not seen.ours and seen.all_ours.get(found[1]) == "permerror"


def _quarantine(seen: Seen) -> bool:
    return seen.aspect == "envelope" and seen.ours.startswith("quarantine: dkimcore: ")


def _size(seen: Seen) -> bool:
    if not seen.aspect.endswith(" comment"):
        return False
    return not seen.theirs and re.fullmatch(r"\(\d+-bit key\)", seen.ours) is not None


RULES = (
    Rule(
        title="Which fields are signed",
        shown_by=("no option but the key", "many fields"),
        theirs="`h=` has 20 names by default, without Message-ID, MIME-Version, Content-Type",
        ours="they are signed, and List-Unsubscribe-Post; without OverSignHeaders ten fields "
        "are named once more than present",
        reason="RFC 6376 section 5.4.1 advises it; a Content-Type or Subject that is put in "
        "on the way changes what is read. SignHeaders and OverSignHeaders, where set, win.",
        applies=_more_fields,
    ),
    Rule(
        title="Canonicalization by default",
        shown_by=("no option but the key", "many fields"),
        theirs="without Canonicalization: `c=simple/simple`",
        ours="`c=relaxed/relaxed`",
        reason="Relays fold fields anew and trim blanks, and simple signatures break.",
        applies=_canonicalization,
    ),
    Rule(
        title="ATPS",
        shown_by=("no option", "a good signature"),
        theirs="each result is followed by `dkim-atps=neutral`",
        ours="nothing is said",
        reason="RFC 6541 (ATPS) was an experiment, and Debian's opendkim says neutral of all "
        "mail. Nothing reads it.",
        applies=_atps,
    ),
    Rule(
        title="header.a",
        shown_by=("no option", "expired"),
        theirs="`header.a=rsa-sha1` where the signature was not read as far as `a=`",
        ours="the value of `a=`, or nothing",
        reason="A bug of OpenDKIM's: the zero value of its variable is rsa-sha1.",
        applies=_algorithm,
    ),
    Rule(
        title="The name of the software",
        shown_by=("SoftwareHeader", "signing"),
        theirs="`DKIM-Filter: OpenDKIM Filter v2.11.0 HOST JOB`",
        ours="the same form with our name and version",
        reason="It says which software it was.",
        applies=_product,
    ),
    Rule(
        title="SKIP",
        shown_by=("no option", "the subject was changed"),
        theirs="all of the body is read although no signature can pass any more",
        ours="the MTA is told to send no more of it",
        reason="It saves work, and what is decided is the same.",
        applies=_skip,
    ),
    Rule(
        title="The step of a decision",
        shown_by=("On-BadSignature reject", "a malformed signature"),
        theirs="some decisions fall at the end of the header",
        ours="at the end of the message, or the other way round",
        reason="Fields can be changed at the end of the message only, so that is where forged "
        "results are removed. The MTA's client is told at the same time: after its final dot.",
        applies=_step,
    ),
    Rule(
        title="Malformed signatures",
        shown_by=("signatures of all kinds", "i= elsewhere"),
        theirs="`header.d`, `header.i`, `header.s`, `header.a` and `header.b` of a signature "
        "that is not well-formed",
        ours="`dkim=permerror` without them",
        reason="Nothing vouches for what stands in a malformed field; text of strangers is not "
        "copied into a field that others trust (as in CVE-2020-12272).",
        applies=_malformed,
    ),
    Rule(
        title="Quarantine",
        shown_by=("On-BadSignature quarantine", "the body was changed"),
        theirs='the reason "opendkim", and only with CaptureUnknownErrors; else no quarantine',
        ours="the message is held, and the reason says why",
        reason="An action that is configured must act.",
        applies=_quarantine,
    ),
    Rule(
        title="The size of the key",
        shown_by=("signatures of all kinds", "Ed25519"),
        theirs="`(2048-bit key)` is written of RSA keys that were used",
        ours="of every key that was read",
        reason="It is known, and helps whoever looks for the reason.",
        applies=_size,
    ),
)
