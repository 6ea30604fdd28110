"""A key record as a zone file has it: quoted strings of at most 255 octets.

The layout is that of Debian's opendkim-genkey 2.11, for scripts that read its ``SEL.txt``.
"""

from __future__ import annotations

__all__ = ["zone_entry"]

_PIECE = 250  # octets of p= per string, as opendkim-genkey; RFC 1035 section 3.3 allows 255


def zone_entry(owner: str, record: bytes, *, comment: str = "") -> str:
    """Print a TXT record for a zone file (RFC 1035 section 5.1).

    Args:
        owner: The name, relative or with a final dot.
        record: The text of the key record; ``p=`` is its last tag or absent.
        comment: What stands behind it, for people.
    """
    head, found, key = record.rpartition(b"p=")
    pieces = [head] if head else []
    data = found + key
    first = _PIECE + len(found)
    pieces.append(data[:first])
    pieces += [data[start : start + _PIECE] for start in range(first, len(data), _PIECE)]
    strings = [_quoted(part) for piece in pieces for part in _divided(piece)]
    end = f"  ; {comment}" if comment else ""
    return f"{owner}\tIN\tTXT\t( " + "\n\t  ".join(strings) + f" ){end}\n"


def _divided(piece: bytes) -> list[bytes]:
    return [piece[start : start + 255] for start in range(0, len(piece), 255)]


def _quoted(octets: bytes) -> str:
    text = "".join(
        f"\\{chr(octet)}"
        if octet in b'"\\'
        else chr(octet)
        if 0x20 <= octet < 0x7F
        else f"\\{octet:03d}"
        for octet in octets
    )
    return f'"{text}"'
