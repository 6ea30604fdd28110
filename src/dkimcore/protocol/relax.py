"""White space reduction of the relaxed canonicalizations (RFC 6376 sections 3.4.2, 3.4.4).

The one function that decides how fast relaxed mail is processed, alone here so
that a compiled one can take its place.  It knows nothing of chunk borders or
empty lines; `canonical` does.
"""

from __future__ import annotations

import re

__all__ = ["reduce_white_space"]

# In RFC 6376 WSP is SP and HTAB, nothing else: `bytes.split` and `bytes.strip` without
# arguments also take VT, FF, CR and LF, which are data.
_THREE_OR_MORE = re.compile(b"   +")

# On prose, where a SP stands every six octets, a pattern finds two of them faster than `in`
# does; for three octets `in` is faster.
_has_two = re.compile(b"  ").search


def reduce_white_space(octets: bytes) -> bytes:
    """Reduce every run of WSP to one SP and remove WSP before each CRLF.

    Args:
        octets: Any octets; the caller holds back a SP, HTAB or CR at the end
            whose meaning depends on what follows.

    Returns:
        The octets with WSP reduced; the very input when there is none to reduce.
    """
    # Each step is behind a search because most mail needs none of them.  `replace` beats a
    # pattern on runs of two, a pattern beats `replace` on longer ones; see benchmarks/.
    if b"\t" in octets:
        octets = octets.replace(b"\t", b" ")
    if b" " in octets:
        if _has_two(octets):
            if b"   " in octets:
                octets = _THREE_OR_MORE.sub(b" ", octets)
            octets = octets.replace(b"  ", b" ")
        if b" \r\n" in octets:
            octets = octets.replace(b" \r\n", b"\r\n")
    return octets
