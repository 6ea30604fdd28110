"""Joins the signing table and the key table: which signatures an author's mail gets.

``%`` is replaced here.  Nothing is opened: a planned signature names its key.

A row in which ``%`` stands for a domain that cannot be a signing domain (``localhost``,
``[192.0.2.1]``) does not apply, so that a row for everybody takes no mail that nobody can sign;
OpenDKIM makes a signature that no verifier accepts.  For ``%`` a final dot is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from dkimcore.errors import MessageError, SettingsError, TableError
from dkimcore.protocol.names import Auid, DomainName
from dkimcore.protocol.signature import is_queryable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.protocol.names import Selector
    from dkimcore.tables.keytable import KeyRow, KeyTable
    from dkimcore.tables.signingtable import SigningRow, SigningTable

__all__ = ["PlannedSignature", "UnfitDomain", "author_domain", "plan", "plan_row"]

_SHOWN = 100  # characters of a domain


class UnfitDomain(MessageError):
    """The author's domain, which "%" stands for, cannot be a signing domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSignature:
    """A signature to make.

    Attributes:
        domain: ``d=``.
        selector: ``s=``.
        key_uri: The URI of the key.
        auid: ``i=``, or None.
        signing_row: The row of the signing table that asks for it.
        key_row: The row of the key table that names the key.
    """

    domain: DomainName
    selector: Selector
    key_uri: str
    auid: Auid | None
    signing_row: SigningRow
    key_row: KeyRow


def plan(
    author: Mailbox,
    signing_table: SigningTable,
    key_table: KeyTable,
    *,
    all_matches: bool = False,
) -> tuple[PlannedSignature, ...]:
    """Choose the signatures for an author's mail, in the tables' order.

    Args:
        author: The author's address.
        signing_table: Which keys sign for whom.
        key_table: What the keys' names stand for.
        all_matches: Use all rows that apply (OpenDKIM's MultipleSignatures), not only the
            first.  A row with "%" does not apply to a domain that cannot be a signing domain.

    Returns:
        Nothing if no row applies: the mail is not ours to sign.

    Raises:
        TableError: A row that applies names no key or an unknown one, its signer has no
            "@", or the key's row is malformed.
        UnfitDomain: Rows are there, but in all of them "%" stands for the author's domain,
            which cannot be a signing domain.
    """
    rows = signing_table.match(author, all_matches=all_matches)
    planned = tuple(_fit(author, rows, key_table))
    if rows and not planned and not all_matches:
        # The first row does not apply; the next one may.
        rows = signing_table.match(author, all_matches=True)
        planned = tuple(islice(_fit(author, rows, key_table), 1))
    if rows and not planned:
        raise _unfit(author)
    return planned


def _fit(
    author: Mailbox, rows: Iterable[SigningRow], key_table: KeyTable
) -> Iterator[PlannedSignature]:
    for row in rows:
        try:
            yield plan_row(author, row, key_table)
        except UnfitDomain:
            continue


def plan_row(author: Mailbox, row: SigningRow, key_table: KeyTable) -> PlannedSignature:
    """Return the signature that one row asks for; raises what `plan` does."""
    name = row.key_name
    if name == "%":
        name = author.domain.removesuffix(".")
        if not key_table.has(name):
            author_domain(author)  # cannot be one: then the row is not to blame
    if not key_table.has(name):
        raise TableError(
            f"signing table references unknown key {name!r}; add a row for it to the key "
            "table, or mend the name",
            file=row.file,
            line=row.line,
        )
    key_row = key_table.get(name)
    domain = key_row.domain
    if domain is None:
        domain = author_domain(author, key_row.selector)
    return PlannedSignature(
        domain=domain,
        selector=key_row.selector,
        key_uri=key_row.uri_for(domain),
        auid=_auid(author, row, domain),
        signing_row=row,
        key_row=key_row,
    )


def author_domain(author: Mailbox, selector: Selector | None = None) -> DomainName:
    """Return an author's domain as a signing domain.

    Args:
        author: The author's address.
        selector: With it the name of the key record must fit in the DNS; None: not asked.

    Raises:
        UnfitDomain: It cannot be one.
    """
    try:
        domain = DomainName.parse(author.domain_text.lower().removesuffix("."))
    except SettingsError:
        pass
    else:
        if selector is None or is_queryable(domain, selector):
            return domain
    raise _unfit(author)


def _unfit(author: Mailbox) -> UnfitDomain:
    shown = author.domain[:_SHOWN] + "..." * (len(author.domain) > _SHOWN)
    if not shown:
        return UnfitDomain("there is no author whose domain could sign")
    return UnfitDomain(f"{shown!r} cannot be a signing domain")


def _auid(author: Mailbox, row: SigningRow, domain: DomainName) -> Auid | None:
    """Return i=, or None where it would not be within d= (RFC 6376 section 3.5)."""
    if row.signer is None:
        return None
    text = row.signer.replace("%", author.domain.removesuffix("."))
    if "@" not in text:
        raise TableError(
            f"the signer {row.signer!r} has no '@'; write it as @example.com or @%",
            file=row.file,
            line=row.line,
        )
    try:
        auid = Auid.parse(text)
    except SettingsError:
        return None
    return auid if auid.domain.is_within(domain) else None
