"""Which signatures a message gets: from the tables, or with the single key.

Nothing is opened here: a choice names its keys.  Whether the origin allows signing at all is
`origin`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.errors import TableError
from dkimcore.protocol.mailbox import Mailbox
from dkimcore.tables import KeyTable, PlannedSignature, SigningRow, SigningTable, plan
from dkimcore.tables.plan import UnfitDomain, plan_row
from dkimcore_milter.printable import printable
from dkimcore_milter.singlekey import SingleKey, SingleKeyRules

if TYPE_CHECKING:
    from dkimcore.settings.model import Signing, Source
    from dkimcore.tables import Row
    from dkimcore_milter.sources import Sources

__all__ = ["Choice", "ChoiceRules", "Planned", "is_remote"]

_LOCAL = ("file:", "inline:")

Planned: TypeAlias = PlannedSignature | SingleKey
"""A signature to make; both have `domain`, `selector`, `key_uri` and `auid`."""

# Authors whose choices are remembered: those of a site's own mail come again and again, and
# asking the tables takes 12 us.  An address has 998 octets at most (`Mailbox`).
_AUTHORS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The signatures to make.

    Attributes:
        planned: In the order of the tables; the last ends up on top.
        findings: Why there is none, in OpenDKIM's words for LogWhy.
        domain: The listed domain that the author's belongs to, also where the origin does
            not allow signing: for "external host H attempted to send as D".  With tables
            that is only asked for mail of allowed origin.
        unfit: Why a row for everybody ("%", or "*" in Domain) does not apply: the author's
            domain cannot be a signing domain.  Nothing is planned then.
        is_remote: Whether a key is kept elsewhere, so that using it may wait for others.
    """

    planned: tuple[Planned, ...] = ()
    findings: tuple[str, ...] = ()
    domain: str | None = None
    unfit: str | None = None
    is_remote: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        remote = any(is_remote(planned.key_uri) for planned in self.planned)
        object.__setattr__(self, "is_remote", remote)


def is_remote(key_uri: str) -> bool:
    """Whether a key is kept elsewhere, so that using it may wait for others."""
    return not key_uri.startswith(_LOCAL)


_NOBODY = Choice()


class ChoiceRules:
    """Who is signed for, and with which keys.  Safe to share between threads.

    Args:
        signing: The settings.
        sources: Loads the tables they name.

    Attributes:
        single: The single key's rules, if there is no table.
        key_table: What names of keys stand for, if there is one.

    Raises:
        ConfigError: A table cannot be read, or the single key's settings are wrong.
    """

    __slots__ = ("_all_matches", "_known", "_signing_table", "key_table", "single")

    def __init__(self, signing: Signing, sources: Sources) -> None:
        self._known = lru_cache(_AUTHORS)(self._chosen)
        self._all_matches = signing.multiple_signatures
        self._signing_table = _signing_table(signing.signing_table, sources)
        self.key_table = _key_table(signing.key_table, sources)
        self.single = SingleKeyRules.load(signing, sources)

    def choose(self, author: Mailbox, *, allowed: bool) -> Choice:
        """Choose the signatures for an author's mail.

        Args:
            author: The author's address.
            allowed: Whether the origin allows signing.

        Returns:
            For an author whose mail came lately the same object, as far as it is allowed.

        Raises:
            TableError: A row that applies is wrong.
            SettingsError: Domain lists a domain that cannot be a signing domain.
        """
        if allowed:
            # By all that was written: a mailbox compares without `domain_text`.
            return self._known(author.local_part, author.domain, author.domain_text)
        return self._judged(author, allowed=False)

    def _chosen(self, local_part: bytes, domain: str, domain_text: str) -> Choice:
        return self._judged(Mailbox(local_part, domain, domain_text), allowed=True)

    def _judged(self, author: Mailbox, *, allowed: bool) -> Choice:
        try:
            return self._choose(author, allowed=allowed)
        except UnfitDomain as exc:
            return Choice(unfit=str(exc))

    def _choose(self, author: Mailbox, *, allowed: bool) -> Choice:
        if self.single is not None:
            return _with_single_key(self.single, author, allowed=allowed)
        if not allowed or self._signing_table is None or self.key_table is None:
            return _NOBODY
        planned = plan(author, self._signing_table, self.key_table, all_matches=self._all_matches)
        if planned:
            return Choice(planned=planned, domain=author.domain)
        return Choice(findings=(f"no signing table match for '{printable(str(author))}'",))

    def again(self, row: Row, author: Mailbox | None) -> Choice:
        """Choose the signature for mail that is signed again.

        Args:
            row: The row of ResignMailTo; its value names a key of the key table.
            author: Whom "%" in the key table stands for.

        Raises:
            TableError: The row, or that of the key, is wrong, or there is no key.
        """
        try:
            return self._again(row, author)
        except UnfitDomain as exc:
            return Choice(unfit=str(exc))

    def _again(self, row: Row, author: Mailbox | None) -> Choice:
        # Without an author "%" stands for a domain that cannot sign.
        author = author or Mailbox(b"", "", "")
        planned: Planned | None = None
        problem = "ResignMailTo needs a KeyTable, or KeyFile, Selector and Domain"
        if self.key_table is not None:
            problem = f"{row.key!r} names no key; write one of the KeyTable behind it"
            if row.value:
                planned = plan_row(author, _signing_row(row), self.key_table)
        elif self.single is not None:
            planned = self.single.again(author)
        if planned is None:
            raise TableError(problem, file=row.file, line=row.line)
        return Choice(planned=(planned,), domain=planned.domain.ascii)


def _signing_table(source: Source | None, sources: Sources) -> SigningTable | None:
    if source is None:
        return None
    return SigningTable.load(source.text, base=sources.base, file=source.file, line=source.line)


def _key_table(source: Source | None, sources: Sources) -> KeyTable | None:
    if source is None:
        return None
    return KeyTable.load(source.text, base=sources.base, file=source.file, line=source.line)


def _signing_row(row: Row) -> SigningRow:
    return SigningRow(pattern=row.key, key_name=row.value or "", file=row.file, line=row.line)


def _with_single_key(rules: SingleKeyRules, author: Mailbox, *, allowed: bool) -> Choice:
    if not rules.lists_domains:
        return _NOBODY
    found = rules.find(author)
    if found is None:
        shown = printable(author.domain)
        # OpenDKIM says both, with or without SubDomains.
        return Choice(
            findings=(
                f"no signing domain match for '{shown}'",
                f"no signing subdomain match for '{shown}'",
            )
        )
    row, domain = found
    planned = (rules.planned(author, row, domain),) if allowed else ()
    return Choice(planned=planned, domain=domain)
