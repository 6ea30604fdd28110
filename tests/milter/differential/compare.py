"""Compares what two filters did, and knows which differences are meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .observe import summary
from .rules import RULES

if TYPE_CHECKING:
    from .model import Probe, Setting
    from .observe import Aspects

__all__ = ["WHOLE", "Comparison", "compare"]

WHOLE = "outcome"  # the aspect that stands for all: one filter did something else altogether


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came out.

    Attributes:
        problems: Differences that nobody declared, and declared ones that did not occur.
        rules: The names of the rules that applied.
    """

    problems: tuple[str, ...]
    rules: frozenset[str]


def compare(setting: Setting, probe: Probe, *, theirs: Aspects, ours: Aspects) -> Comparison:
    """Compares two filters on one message.

    Args:
        setting: The configuration.
        probe: The message.
        theirs: What OpenDKIM did.
        ours: What we did.
    """
    problems, rules = [], set()
    declared = {difference.aspect: difference for difference in probe.differences}
    found = {
        aspect: (theirs.get(aspect, ""), ours.get(aspect, ""))
        for aspect in sorted({*theirs, *ours})
        if theirs.get(aspect) != ours.get(aspect)
    }
    if WHOLE in declared or {"start", "dead"} & found.keys():
        found = {WHOLE: (summary(theirs), summary(ours))}
        found = {} if found[WHOLE][0] == found[WHOLE][1] else found
    for aspect, (their, our) in found.items():
        if aspect in declared:
            meant = declared.pop(aspect)
            if (meant.theirs, meant.ours) != (their, our):
                problems.append(f"{aspect}: not as declared: theirs {their!r}, ours {our!r}")
            continue
        rule = next((one for one in RULES if one.applies(setting, aspect, their, our)), None)
        if rule is None:
            problems.append(f"{aspect}: theirs {their!r}, ours {our!r}")
        else:
            rules.add(rule.name)
    problems += [f"{aspect}: declared, but alike" for aspect in declared]
    problems += [f"the rule {name!r} does not apply" for name in set(probe.shows) - rules]
    return Comparison(problems=tuple(problems), rules=frozenset(rules))
