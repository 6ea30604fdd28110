"""Who the author of a message is (SenderMacro, SenderHeaders, DefaultSender).

Reading an address is left to `dkimcore.protocol.mailbox`, and what several From fields mean
to the session.
"""

from __future__ import annotations

from dkimcore.errors import MessageError

__all__ = ["BadAuthor", "NoAuthor"]


class NoAuthor(MessageError):
    """No field, macro or option names an author; the text is OpenDKIM's log line."""


class BadAuthor(MessageError):
    """A field or macro is there and holds no address; the text is OpenDKIM's log line."""
