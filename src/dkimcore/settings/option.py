"""What an option of opendkim.conf is: its kind, its fate, and the field it fills.

The rows themselves stand in ``rows_*.py``; `dkimcore.settings.options` collects them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Fate", "Importance", "Kind", "Option", "honoured", "refused", "without_effect"]


class Kind(StrEnum):
    """How the value of an option is written."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    STRING = "string"
    DATA_SET = "data set"
    INCLUDE = "include"


class Importance(StrEnum):
    """How often sites use an option."""

    CORE = "core"
    COMMON = "common"
    RARE = "rare"
    OBSOLETE = "obsolete"
    OURS = "ours"  # begins with Dkimcore; OpenDKIM does not know it


class Fate(StrEnum):
    """What becomes of an option."""

    HONOURED = "honoured"
    NO_EFFECT = "accepted without effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option.

    Attributes:
        name: As OpenDKIM's manual spells it; names compare without case.
        kind: How its value is written.
        importance: How often sites use it.
        default: What holds when it is not set, as it would be written; "-" for nothing.
        fate: What becomes of it.
        fields: The fields of `Settings` that it fills, such as ``signing.key_table``.
        effect: What it does, or did in OpenDKIM.
        reason: Why it is without effect or refused, and what to do instead.
    """

    name: str
    kind: Kind
    importance: Importance
    default: str
    fate: Fate
    fields: tuple[str, ...] = ()
    effect: str
    reason: str = ""


def honoured(
    name: str, kind: Kind, importance: Importance, default: str, fields: str, effect: str
) -> Option:
    """Return an option that does what it says.

    Args:
        name: Its name.
        kind: How its value is written.
        importance: How often sites use it.
        default: What holds when it is not set.
        fields: The fields that it fills, divided by blanks.
        effect: What it does.
    """
    return Option(
        name=name,
        kind=kind,
        importance=importance,
        default=default,
        fate=Fate.HONOURED,
        fields=tuple(fields.split()),
        effect=effect,
    )


def without_effect(
    name: str, kind: Kind, importance: Importance, effect: str, because: str
) -> Option:
    """Return an option that may stay in the file though nothing follows from it.

    Args:
        name: Its name.
        kind: How its value is written.
        importance: How often sites use it.
        effect: What it does in OpenDKIM.
        because: Why nothing is lost.
    """
    return _unread(name, kind, importance, effect, because, fate=Fate.NO_EFFECT)


def refused(name: str, kind: Kind, importance: Importance, effect: str, because: str) -> Option:
    """Return an option that must be taken out: without it other mail would be signed or accepted.

    Args:
        name: Its name.
        kind: How its value is written.
        importance: How often sites use it.
        effect: What it does in OpenDKIM.
        because: Why it is refused, and what to do instead.
    """
    return _unread(name, kind, importance, effect, because, fate=Fate.REFUSED)


def _unread(
    name: str, kind: Kind, importance: Importance, effect: str, because: str, *, fate: Fate
) -> Option:
    """Return an option that fills no setting."""
    return Option(
        name=name,
        kind=kind,
        importance=importance,
        default="no" if kind is Kind.BOOLEAN else "-",
        fate=fate,
        effect=effect,
        reason=because,
    )
