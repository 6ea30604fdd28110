"""Joins the signing table and the key table: which signatures an author's mail gets.

``%`` is replaced here.  Nothing is opened: a planned signature names its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.errors import MessageError, SettingsError, TableError
from dkimcore.protocol.names import Auid, DomainName

if TYPE_CHECKING:
    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.protocol.names import Selector
    from dkimcore.tables.keytable import KeyRow, KeyTable
    from dkimcore.tables.signingtable import SigningRow, SigningTable

__all__ = ["PlannedSignature", "author_domain", "plan", "plan_row"]


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
            first.

    Returns:
        Nothing if no row applies: the mail is not ours to sign.

    Raises:
        TableError: A row that applies names no key or an unknown one, its signer has no
            "@", or the key's row is malformed.
        MessageError: "%" stands for the author's domain, which cannot be a signing domain.
    """
    rows = signing_table.match(author, all_matches=all_matches)
    return tuple(plan_row(author, row, key_table) for row in rows)


def plan_row(author: Mailbox, row: SigningRow, key_table: KeyTable) -> PlannedSignature:
    """Return the signature that one row asks for; raises what `plan` does."""
    name = row.key_name
    if name == "%":
        name = author.domain
    if not key_table.has(name):
        raise TableError(
            f"signing table references unknown key {name!r}; add a row for it to the key "
            "table, or mend the name",
            file=row.file,
            line=row.line,
        )
    key_row = key_table.get(name)
    domain = author_domain(author) if key_row.domain is None else key_row.domain
    return PlannedSignature(
        domain=domain,
        selector=key_row.selector,
        key_uri=key_row.uri_for(domain),
        auid=_auid(author, row, domain),
        signing_row=row,
        key_row=key_row,
    )


def author_domain(author: Mailbox) -> DomainName:
    """Return an author's domain as a signing domain.

    Raises:
        MessageError: It cannot be one.
    """
    try:
        return DomainName.parse(author.domain_text.lower())
    except SettingsError:
        problem = f"the author's domain {author.domain!r} cannot be a signing domain"
    raise MessageError(problem)


def _auid(author: Mailbox, row: SigningRow, domain: DomainName) -> Auid | None:
    """Return i=, or None where it would not be within d= (RFC 6376 section 3.5)."""
    if row.signer is None:
        return None
    text = row.signer.replace("%", author.domain)
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
