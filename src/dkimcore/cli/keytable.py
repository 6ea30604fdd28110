"""All keys that a configuration signs with, for ``dkimcore testkey -x``.

A row of the key table that stands for any domain ("%") is tested for those domains that the
signing table names with it.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dkimcore.cli.fitness import fully_checked
from dkimcore.cli.keyevents import CommandObserver
from dkimcore.cli.options import patient
from dkimcore.errors import DkimError, KeyUnusable, SettingsError, TableError
from dkimcore.keys import KeyContext
from dkimcore.keys.secrets import secret_from
from dkimcore.keys.sections import Sections
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.names import DomainName, Selector
from dkimcore.signer import Signer
from dkimcore.signers import open_row
from dkimcore.tables import DataSet, KeyTable
from dkimcore_milter.resolving import make_resolver
from dkimcore_milter.singlekey import SingleKeyRules
from dkimcore_milter.sources import Sources, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dkimcore.keys import SigningKey
    from dkimcore.keys.events import KeyObserver
    from dkimcore.resolvers import TxtResolver
    from dkimcore.settings.model import Settings
    from dkimcore.tables import KeyRow

__all__ = ["ConfiguredKey", "ConfiguredKeys"]

# The domain of a pattern that stands for one: user@example.com, *@example.com, example.com.
_DOMAIN = re.compile(r"(?:.*@)?((?:[\w-]+\.)+[\w-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredKey:
    """A key to test.

    Attributes:
        name: Its name in the key table, or ``KeyFile``; "" if its row cannot be read.
        uri: Its URI.
        place: Where it is configured.
        signer: Who signs with it; None if it cannot be opened, or for nobody.
        error: Why it cannot be opened; None if nobody is known to sign with it.
    """

    name: str
    place: str
    uri: str = ""
    signer: Signer | None = None
    error: DkimError | None = None


class ConfiguredKeys:
    """The keys of a configuration; iterate over them once.

    Args:
        settings: The configuration.
        observer: Hears what happens to the keys; None: warnings are printed.

    Raises:
        ConfigError: A table cannot be read, or the configuration signs with no key.
    """

    def __init__(self, settings: Settings, *, observer: KeyObserver | None = None) -> None:
        signing = settings.signing
        self._settings = settings
        self._sources = Sources(settings)
        self._single = SingleKeyRules.load(signing, self._sources)
        self._table: KeyTable | None = None
        source = signing.key_table
        if source is not None:
            self._table = KeyTable.load(
                source.text, base=self._sources.base, file=source.file, line=source.line
            )
        elif self._single is None:
            raise SettingsError(
                "it signs with no key: there is neither a KeyTable nor a KeyFile; test a key with "
                "-d, -s and -k",
                file=settings.files[0] if settings.files else None,
            )
        safe = signing.require_safe_keys
        context = KeyContext(
            secret=secret_from(check_permissions=safe),
            check_permissions=safe,
            sections=self._sections(),
            observer=observer or CommandObserver(),
        )
        self._store = KeyStore(context=context)

    def _sections(self) -> Sections:
        source = self._settings.signing.key_backends
        if source is None:
            return patient(Sections())
        return patient(Sections.load(self._sources.path(source.text)))

    def resolver(self) -> TxtResolver:
        """Return the resolver that the configuration asks for.

        Raises:
            ConfigError: A file of key records cannot be read.
        """
        return make_resolver(self._settings, self._sources)

    def close(self) -> None:
        """Close the keys."""
        self._store.close()

    def __len__(self) -> int:
        return 1 if self._table is None else len(self._table)

    def __iter__(self) -> Iterator[ConfiguredKey]:
        if self._table is None:
            yield from self._single_key()
            return
        for finding in self._table.check():
            if finding.is_error:
                error = TableError(finding.problem, file=finding.file, line=finding.line)
                yield ConfiguredKey(name="", place=place(finding.file, finding.line), error=error)
        for row in self._table.rows():
            yield from self._of_row(row)

    def _of_row(self, row: KeyRow) -> Iterator[ConfiguredKey]:
        where = place(row.file, row.line)
        domains = [row.domain] if row.domain is not None else self._domains_of(row.name)
        if not domains:
            yield ConfiguredKey(name=row.name, place=where)
        for domain in domains:
            key = ConfiguredKey(name=row.name, place=where, uri=row.uri_for(domain))
            yield self._opened(key, domain, row.selector, row=row)

    def _domains_of(self, key_name: str) -> list[DomainName]:
        """Return the domains for which the signing table names a key."""
        source = self._settings.signing.signing_table
        if source is None:
            return []
        rows = DataSet.load(source.text, base=self._sources.base).rows()
        patterns = (row.key for row in rows if (row.value or "").partition(":")[0] == key_name)
        return _domains(patterns)

    def _single_key(self) -> Iterator[ConfiguredKey]:
        signing, rules = self._settings.signing, self._single
        if signing.key_file is None or rules is None:
            return
        where = place(signing.key_file.file, signing.key_file.line)
        key = ConfiguredKey(name="KeyFile", place=where, uri=rules.key_uri)
        listed = self._sources.data_set(signing.domains)
        domains = [] if listed is None else _domains(row.key for row in listed.rows())
        if not domains:
            yield key
        for domain in domains:
            yield self._opened(key, domain, Selector.parse(signing.selector or ""))

    def _opened(
        self,
        key: ConfiguredKey,
        domain: DomainName,
        selector: Selector,
        *,
        row: KeyRow | None = None,
    ) -> ConfiguredKey:
        try:
            store, uri = self._store, fully_checked(key.uri)
            opened = store.get(uri) if row is None else open_row(row, uri, store)
            self._refuse_short(opened, key.uri)
            signer = Signer(domain=domain, selector=selector, key=opened)
        except DkimError as exc:
            return replace(key, error=exc)
        return replace(key, signer=signer)

    def _refuse_short(self, key: SigningKey, uri: str) -> None:
        bits, minimum = key.public_key.bits, self._settings.verifying.minimum_key_bits
        if key.public_key.key_type is KeyType.RSA and bits < minimum:
            raise KeyUnusable(
                f"private key too small ({bits} bits, need at least {minimum})", uri=uri
            )


def _domains(patterns: Iterable[str]) -> list[DomainName]:
    """Return the domains that stand as such in patterns of addresses, each once."""
    found: dict[str, DomainName] = {}
    for pattern in patterns:
        match = _DOMAIN.fullmatch(pattern)
        if match is not None:
            with contextlib.suppress(SettingsError):
                domain = DomainName.parse(match[1])
                found.setdefault(domain.ascii, domain)
    return list(found.values())
