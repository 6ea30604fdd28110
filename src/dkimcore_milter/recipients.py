"""What the envelope's recipients change (DontSignMailTo, BodyLengthDB, ResignMailTo).

Each option looks for other forms of an address, as OpenDKIM does.  Of several recipients
that are listed the first decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dkimcore.protocol.mailbox import Mailbox
from dkimcore.tables.signingtable import fold_address
from dkimcore_milter.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dkimcore.settings.model import Signing
    from dkimcore.tables import DataSet, Row
    from dkimcore_milter.sources import Sources

__all__ = ["ListedRecipient", "RecipientRules"]


class ListedRecipient(NamedTuple):
    """A recipient that an option lists.

    Attributes:
        address: The recipient, printable.
        row: The row that lists it.
    """

    address: str
    row: Row


class RecipientRules:
    """Which recipients are listed.  Safe to share between threads.

    Args:
        signing: The settings.
        sources: Loads the data sets they name.

    Raises:
        TableError: One cannot be read.
    """

    __slots__ = ("_body_length", "_exempt", "_resign")

    def __init__(self, signing: Signing, sources: Sources) -> None:
        self._exempt = sources.data_set(signing.exempt_recipients, fold=fold_address)
        self._body_length = sources.data_set(signing.body_length_db, fold=fold_address)
        self._resign = sources.data_set(signing.resign_recipients, fold=fold_address)

    def exempt(self, recipients: Sequence[bytes]) -> ListedRecipient | None:
        """Return the first recipient of DontSignMailTo: by the whole address only."""
        return _first(self._exempt, recipients, _whole_address)

    def body_length(self, recipients: Sequence[bytes]) -> ListedRecipient | None:
        """Return the first recipient of BodyLengthDB.

        By ``user@host``, ``*@host``, for each parent ``user@.parent`` and ``*@.parent``,
        ``user@*`` and ``*``, in this order.
        """
        return _first(self._body_length, recipients, _body_length_keys)

    def resign(self, recipients: Sequence[bytes]) -> ListedRecipient | None:
        """Return the first recipient of ResignMailTo: by address, host, and ``.parent``."""
        return _first(self._resign, recipients, _resign_keys)


def _first(
    data_set: DataSet | None,
    recipients: Sequence[bytes],
    keys: Callable[[str, str], Iterator[str]],
) -> ListedRecipient | None:
    if data_set is None:
        return None
    for recipient in recipients:
        user, host = _parts(recipient)
        for key in keys(user, host):
            row = data_set.find(key)
            if row is not None:
                return ListedRecipient(printable(recipient.strip(b"<> ")), row)
    return None


def _parts(recipient: bytes) -> tuple[str, str]:
    """Divide an envelope address; the local part has its "@", the domain A-labels."""
    address = recipient.strip(b" ").removeprefix(b"<").removesuffix(b">")
    user, at, host = address.rpartition(b"@")
    if not at:
        return address.decode("utf-8", "surrogateescape"), ""
    return f"{user.decode('utf-8', 'surrogateescape')}@", Mailbox.make(user, host).domain


def _parents(host: str) -> Iterator[str]:
    dot = host.find(".", 1)
    while dot > 0:
        yield host[dot:]
        dot = host.find(".", dot + 1)


def _whole_address(user: str, host: str) -> Iterator[str]:
    yield user + host


def _body_length_keys(user: str, host: str) -> Iterator[str]:
    yield user + host
    if host:
        yield "*@" + host
        for parent in _parents(host):
            yield user + parent
            yield "*@" + parent
        yield user + "*"
    yield "*"


def _resign_keys(user: str, host: str) -> Iterator[str]:
    yield user + host
    if host:
        yield host
        yield from _parents(host)
