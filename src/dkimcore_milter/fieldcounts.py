"""How often header fields may stand in a message (RequiredHeaders, StrictHeaders).

The table of RFC 5322 section 3.6, for the fields of a message itself; resent blocks and
trace fields may repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dkimcore.protocol.message import Header

__all__ = ["wrong_counts"]

_ONCE = ("Date", "From")
_AT_MOST_ONCE = (
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
)


def wrong_counts(header: Header) -> tuple[str, ...]:
    """Say which fields are missing or stand too often (RFC 5322 section 3.6).

    Args:
        header: The message's header.

    Returns:
        One phrase for each, in OpenDKIM's words; nothing if all is well.
    """
    wrong = []
    for name in (*_ONCE, *_AT_MOST_ONCE):
        count = len(header.positions(name.lower().encode()))
        if name in _ONCE and count != 1:
            wrong.append(f"does not have exactly one {name} field")
        elif count > 1:
            wrong.append(f"has multiple {name} fields")
    return tuple(wrong)
