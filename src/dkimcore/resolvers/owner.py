"""Owner names of key queries: how they are compared and what goes onto the wire.

DNS names are octets: no IDNA, no escapes, no search lists here, because what asks
has A-labels already.  What a name of DKIM may look like is left to
`dkimcore.protocol.names`; this only says what DNS can carry (RFC 1035 section 2.3.4).
"""

from __future__ import annotations

__all__ = ["fold_name", "wire_labels"]

MAX_LABEL_OCTETS = 63
MAX_NAME_OCTETS = 255  # length octets and the root included


def fold_name(name: str) -> str:
    """Give the one spelling under which a name is kept: lower case, with the final dot.

    Args:
        name: A name with or without its final dot.

    Returns:
        The spelling.  A name that is not ASCII stays as it is: `str.lower` would make
        an ASCII letter of the Kelvin sign, and so another name.
    """
    absolute = name if name.endswith(".") else f"{name}."
    return absolute.lower() if absolute.isascii() else absolute


def wire_labels(name: str) -> tuple[bytes, ...] | None:
    """Split a name into the labels that a query carries (RFC 1035 section 3.1).

    Args:
        name: A name with or without its final dot.

    Returns:
        Its labels, the empty one of the root last; None when no DNS name is like that.
    """
    if not name.isascii():
        return None
    labels = (*name.removesuffix(".").encode("ascii").split(b"."), b"")
    if any(not 0 < len(label) <= MAX_LABEL_OCTETS for label in labels[:-1]):
        return None
    if sum(len(label) + 1 for label in labels) > MAX_NAME_OCTETS:
        return None
    return labels
