"""Whose name servers a key query goes to, roughly: so that dead ones hold up their own mail.

Where a zone begins only its servers know, and they may be dead.  A name's last two labels say it
well enough, or its last three below such as ``co.uk``: a domain has its servers to itself there.
"""

from __future__ import annotations

__all__ = ["zone"]

_COUNTRY, _KIND = 2, 3
"""How many letters a country's label has, and the one of a kind of domains (``co``, ``com``)."""


def zone(name: str) -> str:
    """Return the part of a domain name that has name servers of its own, as far as it shows."""
    labels = name.lower().rstrip(".").split(".")
    is_of_kind = len(labels[-1]) == _COUNTRY and len(labels[-2:][0]) <= _KIND
    return ".".join(labels[-3 if is_of_kind else -2 :])
