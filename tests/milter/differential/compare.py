"""Compares what two filters did, and knows which differences are meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .declared import DECLARED
from .model import OUTCOME
from .observe import summary
from .rules import RULES, Seen

if TYPE_CHECKING:
    from .model import Probe, Setting
    from .observe import Aspects

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came out.

    Attributes:
        problems: Differences that nobody declared, and declared ones that did not occur.
        rules: The titles of the rules that applied.
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
    declared = {
        case.aspect: case
        for difference in DECLARED
        for case in difference.cases
        if (case.setting, case.probe) == (setting.name, probe.name)
    }
    problems, rules = [], set()
    for aspect, (their, our) in _differing(theirs, ours, whole=OUTCOME in declared).items():
        if aspect in declared:
            meant = declared.pop(aspect)
            if (meant.theirs, meant.ours) != (their, our):
                problems.append(f"{aspect}: not as declared: theirs {their!r}, ours {our!r}")
            continue
        seen = Seen(
            setting=setting,
            aspect=aspect,
            theirs=their,
            ours=our,
            all_theirs=theirs,
            all_ours=ours,
        )
        rule = next((one for one in RULES if one.applies(seen)), None)
        if rule is None:
            problems.append(f"{aspect}: theirs {their!r}, ours {our!r}")
        else:
            rules.add(rule.title)
    problems += [f"{aspect}: declared, but alike" for aspect in declared]
    problems += [
        f"the rule {rule.title!r} does not apply here"
        for rule in RULES
        if rule.shown_by == (setting.name, probe.name) and rule.title not in rules
    ]
    return Comparison(problems=tuple(problems), rules=frozenset(rules))


def _differing(theirs: Aspects, ours: Aspects, *, whole: bool) -> dict[str, tuple[str, str]]:
    """The aspects that differ, or only the outcome if one did something else altogether."""
    found = {
        aspect: (theirs.get(aspect, ""), ours.get(aspect, ""))
        for aspect in sorted({*theirs, *ours})
        if theirs.get(aspect) != ours.get(aspect)
    }
    if whole or {"start", "dead"} & found.keys():
        lines = (summary(theirs), summary(ours))
        return {OUTCOME: lines} if lines[0] != lines[1] else {}
    return found
