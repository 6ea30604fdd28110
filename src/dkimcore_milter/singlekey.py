"""Signing with one key, without tables (Domain, Selector, KeyFile, SubDomains)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dkimcore.protocol.names import Auid, DomainName, Selector

__all__ = ["SingleKey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleKey:
    """A signature to make with the one key.

    Attributes:
        domain: ``d=``.
        selector: ``s=``.
        key_uri: The URI of the key.
        auid: ``i=``, or None.
    """

    domain: DomainName
    selector: Selector
    key_uri: str
    auid: Auid | None = None
