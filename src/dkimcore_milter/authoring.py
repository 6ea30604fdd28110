"""Who the author of a message is (SenderMacro, SenderHeaders, DefaultSender).

SenderMacro goes first, then the fields of SenderHeaders in their order, then From; what is
there first decides, of several fields of one name the topmost.  DefaultSender stands in where
there is no address.  Reading an address is left to `dkimcore.protocol.mailbox`, and what
several From fields mean to the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import MessageError, SettingsError
from dkimcore.protocol.mailbox import Mailbox
from dkimcore_milter.origin import macro_name
from dkimcore_milter.printable import printable

if TYPE_CHECKING:
    from dkimcore.protocol.message import Header, HeaderField
    from dkimcore.settings.model import Signing
    from dkimcore_milter.peer import Macros
    from dkimcore_milter.sources import Sources

__all__ = ["AuthorRules", "BadAuthor", "NoAuthor"]

_SHOWN = 100  # characters of a value that is not understood


class NoAuthor(MessageError):
    """No field, macro or option names an author; the text is OpenDKIM's log line."""


class BadAuthor(MessageError):
    """A field or macro is there and holds no address; the text is OpenDKIM's log line."""


class AuthorRules:
    """Where the author stands.  Safe to share between threads.

    Args:
        signing: The settings.
        sources: Loads the data sets they name.

    Raises:
        TableError: SenderHeaders cannot be read.
        SettingsError: DefaultSender is no address.
    """

    __slots__ = ("_default", "_fields", "macro")

    def __init__(self, signing: Signing, sources: Sources) -> None:
        self.macro = None if signing.sender_macro is None else macro_name(signing.sender_macro)
        fields = sources.data_set(signing.sender_headers)
        names = () if fields is None else fields.names()
        self._fields = tuple(
            dict.fromkeys(
                name.lower().encode("utf-8", "surrogateescape") for name in (*names, "from")
            )
        )
        self._default = _default_sender(signing.default_sender, sources)

    def find(self, header: Header, macros: Macros) -> Mailbox:
        """Return the author of a message.

        Args:
            header: Its header.
            macros: Gives the MTA's macros.

        Raises:
            NoAuthor: Nothing names one.
            BadAuthor: What should name one holds no address.
        """
        what, value = self._source(header, macros)
        if not value.strip():
            if self._default is None:
                raise NoAuthor("can't determine message sender; accepting")
            return self._default
        try:
            return Mailbox.parse(value)
        except MessageError:
            if self._default is None:
                shown = printable(value, limit=_SHOWN)
                name = what if isinstance(what, str) else f"{printable(what.name)}:"
                raise BadAuthor(f"can't parse {name} header value '{shown}'") from None
            return self._default

    def _source(self, header: Header, macros: Macros) -> tuple[HeaderField | str, bytes]:
        """Return what decides, a field or as OpenDKIM calls it, and its value."""
        value = macros(self.macro) if self.macro is not None else None
        if value:
            return f"macro {self.macro}", value.encode("utf-8", "surrogateescape")
        for name in self._fields:
            positions = header.positions(name)
            if positions:
                field = header[positions[0]]
                return field, field.value
        return "From:", b""


def _default_sender(text: str | None, sources: Sources) -> Mailbox | None:
    if text is None:
        return None
    try:
        return Mailbox.parse(text.encode("utf-8", "surrogateescape"))
    except MessageError as exc:
        problem = f"DefaultSender is no address: {exc}"
    file, line = sources.where("defaultsender")
    raise SettingsError(problem, file=file, line=line)
