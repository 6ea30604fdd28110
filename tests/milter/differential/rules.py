"""Differences that occur in many places, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Setting

__all__ = ["RULES", "Rule"]

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
class Rule:
    """A difference that is meant wherever it occurs.

    Attributes:
        name: What probes call it that must show it.
        theirs: What OpenDKIM does, for the documentation.
        ours: What we do.
        reason: Why.
        applies: Tells from configuration, aspect, theirs and ours whether this is it.
    """

    name: str
    theirs: str
    ours: str
    reason: str
    applies: Callable[[Setting, str, str, str], bool]


def _sets(setting: Setting, option: str) -> bool:
    return any(line.lower().startswith(option.lower() + " ") for line in setting.conf.splitlines())


def _counts(text: str) -> dict[str, int]:
    parts = [word.partition("*") for word in text.split()]
    return {name: int(count or 1) for name, _, count in parts}


def _more_fields(setting: Setting, aspect: str, theirs: str, ours: str) -> bool:
    if not (aspect.startswith("signature ") and aspect.endswith((" h", " z"))):
        return False
    if _sets(setting, "SignHeaders") and "SignHeaders *" not in setting.conf:
        return False
    if aspect.endswith(" z"):
        names = {name.strip(":").lower() for name in ours.split(":")} - {""}
        return names - {name.strip(":").lower() for name in theirs.split(":")} <= MORE_FIELDS
    old, new = _counts(theirs), _counts(ours)
    if _sets(setting, "OverSignHeaders"):
        return {name: n for name, n in new.items() if name not in MORE_FIELDS} == {
            name: n for name, n in old.items() if name not in MORE_FIELDS
        } and all(new.get(name, 0) >= n for name, n in old.items())
    return all(
        new.get(name, 0) - old.get(name, 0) == (name in OVERSIGNED)
        or (name in MORE_FIELDS and name not in old)
        for name in {*old, *new}
    )


def _canonicalization(setting: Setting, aspect: str, theirs: str, ours: str) -> bool:
    return (
        aspect.startswith("signature ")
        and (aspect.endswith(" c"))
        and not _sets(setting, "Canonicalization")
        and (theirs, ours) == ("simple/simple", "relaxed/relaxed")
    )


def _atps(setting: Setting, aspect: str, theirs: str, ours: str) -> bool:
    return "dkim-atps" in aspect and not ours


def _algorithm(setting: Setting, aspect: str, theirs: str, ours: str) -> bool:
    return aspect.endswith(" header.a") and theirs == "rsa-sha1"


def _product(setting: Setting, aspect: str, theirs: str, ours: str) -> bool:
    return (
        aspect.startswith("DKIM-Filter")
        and theirs.startswith("OpenDKIM Filter v")
        and theirs.split()[3:] == ours.split()[3:]
    )


RULES = (
    Rule(
        name="more fields",
        theirs="`h=` has 20 names by default, without Message-ID, MIME-Version, Content-Type",
        ours="they are signed, and List-Unsubscribe-Post; without OverSignHeaders ten fields "
        "are named once more than present",
        reason="RFC 6376 section 5.4.1 advises it; a Content-Type or Subject that is put in "
        "on the way changes what is read. SignHeaders and OverSignHeaders, where set, win.",
        applies=_more_fields,
    ),
    Rule(
        name="canonicalization",
        theirs="without Canonicalization: `c=simple/simple`",
        ours="`c=relaxed/relaxed`",
        reason="Relays fold fields anew and trim blanks, and simple signatures break.",
        applies=_canonicalization,
    ),
    Rule(
        name="dkim-atps",
        theirs="each result is followed by `dkim-atps=neutral`",
        ours="nothing is said",
        reason="RFC 6541 (ATPS) was an experiment, and Debian's opendkim says neutral of all "
        "mail. Nothing reads it.",
        applies=_atps,
    ),
    Rule(
        name="algorithm",
        theirs="`header.a=rsa-sha1` where the signature was not read as far as `a=`",
        ours="the value of `a=`, or nothing",
        reason="A bug of OpenDKIM's: the zero value of its variable is rsa-sha1.",
        applies=_algorithm,
    ),
    Rule(
        name="product",
        theirs="`DKIM-Filter: OpenDKIM Filter v2.11.0 HOST JOB`",
        ours="the same form with our name and version",
        reason="It says which software it was.",
        applies=_product,
    ),
)
