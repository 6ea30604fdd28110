"""Signing with one key, without tables (Domain, Selector, KeyFile, SubDomains).

The author's domain is looked for in Domain, then ``*``, then with SubDomains each parent of
it, written without a leading dot.  With SubDomains the listed parent signs, d=, and i= names
it too.  A KeyTable switches all this off.

``*`` does not stand for what cannot be a signing domain, such as ``localhost``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUriError, SettingsError
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.names import Auid, DomainName, Selector, fold_domain
from dkimcore.tables import DataSetType
from dkimcore.tables.plan import UnfitDomain, author_domain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.settings.model import Signing, Source
    from dkimcore.tables import Row
    from dkimcore_milter.sources import Sources

__all__ = ["SingleKey", "SingleKeyRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleKey:
    """A signature to make with the one key.

    Attributes:
        domain: ``d=``.
        selector: ``s=``.
        key_uri: The URI of the key.
        auid: ``i=``, or None.
        row: The row of Domain that asks for it; None for mail that is signed again.
    """

    domain: DomainName
    selector: Selector
    key_uri: str
    auid: Auid | None = None
    row: Row | None = None


class SingleKeyRules:
    """For whom the one key signs.  Safe to share between threads.

    Args:
        selector: The selector.
        key_file: The key.
        signing: The other settings.
        sources: Loads the data sets they name.

    Attributes:
        key_uri: The URI of the key.

    Raises:
        TableError: Domain cannot be read.
        SettingsError: The selector is none.
        KeyUriError: KeyFile is no key URI.
    """

    __slots__ = ("_domains", "_selector", "_subdomains", "key_uri")

    def __init__(
        self, selector: str, key_file: Source, *, signing: Signing, sources: Sources
    ) -> None:
        self._domains = sources.data_set(signing.domains, fold=fold_domain)
        self._subdomains = signing.subdomains
        self._selector = _selector(selector, sources)
        self.key_uri = _key_uri(key_file, sources)

    @classmethod
    def load(cls, signing: Signing, sources: Sources) -> SingleKeyRules | None:
        """Return the rules that the settings make; None if tables, or nothing, signs."""
        if signing.key_table is not None or signing.key_file is None or signing.selector is None:
            return None
        return cls(signing.selector, signing.key_file, signing=signing, sources=sources)

    @property
    def lists_domains(self) -> bool:
        """Whether Domain is set; without it nothing is signed but what is signed again."""
        return self._domains is not None

    def find(self, author: Mailbox) -> tuple[Row, str] | None:
        """Return the row of Domain that an author belongs to, and the domain that signs.

        Args:
            author: The author's address.
        """
        if self._domains is None:
            return None
        for name, domain in _names(author.domain, subdomains=self._subdomains):
            row = self._domains.find(name)
            if row is not None:
                return row, domain
        return None

    def planned(self, author: Mailbox, row: Row, domain: str) -> SingleKey:
        """Return the signature for an author.

        Args:
            author: The author's address.
            row: From `find`.
            domain: From `find`.

        Raises:
            UnfitDomain: The author's domain cannot be a signing domain, and Domain does not
                name it.
            SettingsError: What Domain names cannot be a signing domain.
        """
        if domain == author.domain:
            try:
                return self._signature(author_domain(author, self._selector), row=row)
            except UnfitDomain:
                if fold_domain(row.key).lower() != domain:
                    raise
        # What stands in Domain may lack a second label all the same.
        try:
            parent = DomainName.parse(domain)
        except SettingsError as exc:
            problem = exc.problem
        else:
            return self._signature(parent, row=row, auid=Auid(b"", parent))
        raise SettingsError(problem, file=row.file, line=row.line)

    def again(self, author: Mailbox) -> SingleKey:
        """Return the signature for mail that is signed again (ResignMailTo).

        The first domain of Domain signs; OpenDKIM would name the author's domain, for which
        the key record is rarely published.

        Args:
            author: The author's address, whose domain signs if Domain names none.

        Raises:
            UnfitDomain: The author's domain cannot be a signing domain.
        """
        rows = self._domains.rows() if self._domains is not None else iter(())
        if self._domains is not None and self._domains.type is DataSetType.REFILE:
            rows = iter(())
        for row in rows:
            try:
                return self._signature(DomainName.parse(row.key), row=row)
            except SettingsError:
                continue  # "*", or a mistake that `check` reports
        return self._signature(author_domain(author, self._selector))

    def _signature(
        self, domain: DomainName, *, row: Row | None = None, auid: Auid | None = None
    ) -> SingleKey:
        return SingleKey(
            domain=domain, selector=self._selector, key_uri=self.key_uri, auid=auid, row=row
        )


def _names(domain: str, *, subdomains: bool) -> Iterator[tuple[str, str]]:
    """Yield what to look for, and which domain signs if it is there."""
    yield domain, domain
    yield "*", domain
    dot = domain.find(".") if subdomains else -1
    while 0 <= dot < len(domain) - 1:
        yield domain[dot + 1 :], domain[dot + 1 :]
        dot = domain.find(".", dot + 1)


def _selector(text: str, sources: Sources) -> Selector:
    try:
        return Selector.parse(text)
    except SettingsError as exc:
        problem = exc.problem
    file, line = sources.where("selector")
    raise SettingsError(problem, file=file, line=line)


def _key_uri(source: Source, sources: Sources) -> str:
    try:
        uri = KeyUri.parse(source.text)
    except KeyUriError as exc:
        problem = f"KeyFile: {exc.problem}"
    else:
        if uri.scheme == "file" and sources.base and not uri.path.startswith("~"):
            uri = replace(uri, path=os.path.join(sources.base, uri.path))
        return str(uri)
    raise KeyUriError(problem, file=source.file, line=source.line)
