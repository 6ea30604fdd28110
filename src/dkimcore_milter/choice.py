"""Which signatures a message gets: from the tables, or with the single key.

Nothing is opened here: a choice names its keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.tables import PlannedSignature
from dkimcore_milter.singlekey import SingleKey

if TYPE_CHECKING:
    pass

__all__ = ["Choice", "Planned"]

Planned: TypeAlias = PlannedSignature | SingleKey
"""A signature to make; both have `domain`, `selector`, `key_uri` and `auid`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The signatures to make.

    Attributes:
        planned: In the order of the tables; the last ends up on top.
        findings: Why there is none, in OpenDKIM's words for LogWhy.
        domain: The listed domain that the author's belongs to, also where the origin does
            not allow signing: for "external host H attempted to send as D".  With tables
            that is only asked for mail of allowed origin.
    """

    planned: tuple[Planned, ...] = ()
    findings: tuple[str, ...] = ()
    domain: str | None = None
