"""Whether an Authentication-Results field holds a dkim result (RFC 8601 section 2.2).

By its resinfo, and as the most generous reader would see it.  Whose the field is is left to
`authres`.
"""

from __future__ import annotations

import re

__all__ = ["comment_end", "holds_dkim_result"]

# A result is methodspec "=" result, and what follows says on what it is based; "none" says
# that there is none (RFC 8601 section 2.2).  White space is taken out before.
_SURE_RESULT = re.compile(rb"[a-z0-9_-]++(?:/[0-9]++)?=[a-z]")
_SURE_START = re.compile(rb"[^ ]++(?: [0-9]++)? ?")
_DKIM_RESULT = re.compile(rb"(?<![a-z0-9.@=_/-])dkim[a-z0-9_/-]*+ *+=")
_PIECE = re.compile(rb'"((?:[^"\\]|\\.)*+)"|([ \t\r\n]++)|([^ \t\r\n"()\\;]++)|;', re.DOTALL)
_COMMENT_PART = re.compile(rb"((?:[^()\\]|\\.)*+)([()])", re.DOTALL)


def holds_dkim_result(value: bytes) -> bool:
    """Whether an Authentication-Results field holds, or may be read to hold, a dkim result.

    Only a field that every reader takes for results of other methods holds none: a result
    within a comment or a quoted-string counts, and so does what cannot be parsed.

    Args:
        value: The field's body.
    """
    segments = _segments(value.lower())
    if segments is None:
        return True
    if not _SURE_START.fullmatch(segments[0]):
        return True
    return any(
        _DKIM_RESULT.search(segment)
        or segment.replace(b" ", b"").startswith(b"dkim")
        or not (segment.strip() in (b"", b"none") or _SURE_RESULT.match(segment.replace(b" ", b"")))
        for segment in segments[1:]
    )


def _segments(value: bytes) -> list[bytes] | None:
    """Split a field's body at ";", without comments; None if it is unsafe to do so.

    Runs of white space become one space, and quoted-strings a quotation mark.
    """
    segments: list[list[bytes]] = [[]]
    position = 0
    while position < len(value):
        if value[position : position + 1] == b"(":
            end = comment_end(value, position + 1)
            texts = _COMMENT_PART.finditer(value[position:end])
            if end < 0 or any(_mentions_dkim(text[1]) for text in texts):
                return None
            position = end
            continue
        match = _PIECE.match(value, position)
        if match is None or (match[1] is not None and _mentions_dkim(match[1])):
            return None
        position = match.end()
        if match[0] == b";":
            segments.append([])
        elif match[1] is not None:
            segments[-1].append(b'"')
        elif match[3] is not None:
            segments[-1].append(match[3])
        elif segments[-1]:
            segments[-1].append(b" ")
    return [b"".join(segment) for segment in segments]


def comment_end(value: bytes, position: int) -> int:
    """Return where a comment ends; -1 if it does not.

    Args:
        value: A field's body.
        position: Where the comment's text begins, behind its "(".
    """
    depth = 1
    while depth:
        match = _COMMENT_PART.match(value, position)
        if match is None:
            return -1
        depth += 1 if match[2] == b"(" else -1
        position = match.end()
    return position


def _mentions_dkim(text: bytes) -> bool:
    """Whether a reader that does not know comments may find "dkim=..." in it."""
    before_equals = text.replace(b"\\", b"").split(b"=")[:-1]
    return any(b"dkim" in part.rpartition(b";")[2] for part in before_equals)
