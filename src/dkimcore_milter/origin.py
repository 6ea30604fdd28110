"""Whether a message comes from where mail is signed (MTA, MacroList, InternalHosts).

One of four suffices, asked in OpenDKIM's order: the MTA's own name for the socket
({daemon_name}) is in MTA, a macro of MacroList has a listed value, the client is in
InternalHosts, or it authenticated ({auth_type}).  Which domains are signed for is left to
`choice`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dkimcore_milter.peer import Macros, Peer

__all__ = ["Origin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whether mail of this origin is signed, and by which rule.

    Attributes:
        allowed: Whether it is.
        reason: The rule that allows it, with file and line, such as ``192.0.2.1 is in
            InternalHosts (/etc/opendkim/TrustedHosts:3)``; empty if none does.
        findings: Why not, one line for each rule, in OpenDKIM's words for LogWhy.
    """

    allowed: bool
    reason: str = ""
    findings: tuple[str, ...] = ()
