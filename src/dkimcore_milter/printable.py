"""What strangers wrote, in a form that may stand in one line of a log."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str | bytes, *, limit: int = 200) -> str:
    """Return a text on one line, without control characters, and not too long.

    Args:
        text: The text; octets are read as UTF-8.
        limit: Characters at most.
    """
    if isinstance(text, bytes):
        text = text[: 4 * limit].decode("utf-8", "replace")
    # Surrogates, which stand for octets that are no UTF-8, cannot be written to a log.
    words = " ".join(text[: 4 * limit].split())
    # Most texts need no "?": asking one by one took 2 us of each of a message's six texts.
    if words.isprintable():
        line = words
    else:
        line = "".join(char if char.isprintable() else "?" for char in words)
    return line if len(line) <= limit else line[: limit - 3] + "..."
