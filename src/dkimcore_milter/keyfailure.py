"""What becomes of mail whose key cannot be had or used (DkimcoreOnKeyFailure).

A data set of signing domains, each with an action.  The domain itself is looked for, then its
parents as ``.example.com``, then ``*``; whose domain is not there gets On-InternalError.  Doing
it is left to `signing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError, TableError
from dkimcore.protocol.names import fold_domain
from dkimcore.tables import DataSetType, PlannedSignature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.protocol.names import Auid, DomainName
    from dkimcore.settings.model import Source
    from dkimcore.tables import DataSet, KeyTable, Row
    from dkimcore.tables.keytable import KeyRow
    from dkimcore_milter.sources import Sources

__all__ = ["FailureAction", "FailureRule", "FailureRules", "parse_rule"]

# Signing domains whose rules, and signatures whose substitutes, are remembered.
_KNOWN = 1024


class FailureAction(StrEnum):
    """What becomes of a message one of whose keys fails."""

    TEMPFAIL = "tempfail"
    """What On-InternalError says."""

    UNSIGNED = "unsigned"
    FALLBACK = "fallback"
    OTHER_ALGORITHM = "other-algorithm"
    """The signatures that could be made suffice, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """What is done for a signing domain.

    Attributes:
        action: It.
        key_row: For `FailureAction.FALLBACK`, the row that signs instead.
    """

    action: FailureAction
    key_row: KeyRow | None = None

    def __str__(self) -> str:
        return self.action if self.key_row is None else f"{self.action}:{self.key_row.name}"


_DEFAULT = FailureRule(action=FailureAction.TEMPFAIL)


class FailureRules:
    """The rules of a site.  Safe to share between threads.

    Args:
        data_set: The rows; None if there are none.
        key_table: What names of keys stand for; None if there is none.

    Attributes:
        find: Returns the rule of a signing domain.
        may_fall_back: Whether a rule has other keys sign.

    Raises:
        TableError: A row says what cannot be.
    """

    __slots__ = ("_data_set", "_plan", "_rules", "find", "may_fall_back")

    def __init__(self, data_set: DataSet | None, key_table: KeyTable | None) -> None:
        self._data_set = data_set
        self._rules: dict[str | None, FailureRule] = {}
        for row in () if data_set is None else data_set.rows():
            if row.value not in self._rules:
                self._rules[row.value] = parse_rule(row, key_table)
        self.may_fall_back = any(rule.key_row is not None for rule in self._rules.values())
        self.find = lru_cache(_KNOWN)(self._find)
        self._plan = lru_cache(_KNOWN)(_planned)

    @classmethod
    def load(
        cls, source: Source | None, sources: Sources, key_table: KeyTable | None
    ) -> FailureRules:
        """Read the rules.

        Args:
            source: What the option says; None if it is not set.
            sources: Loads data sets.
            key_table: What names of keys stand for; None if there is none.

        Raises:
            TableError: The data set cannot be read, or a row says what cannot be.
        """
        return cls(sources.data_set(source, fold=fold_domain), key_table)

    def _find(self, domain: DomainName) -> FailureRule:
        data_set = self._data_set
        if data_set is None:
            return _DEFAULT
        names = _names(domain.ascii)
        if data_set.type is DataSetType.REFILE:
            names = iter((domain.ascii,))
        for name in names:
            row = data_set.find(name)
            if row is not None:
                return self._rules[row.value]
        return _DEFAULT

    def instead(self, planned: PlannedSignature, row: KeyRow) -> PlannedSignature:
        """Return the signature to make in the place of one whose key failed.

        Args:
            planned: The one that cannot be made.
            row: The row of the key table that signs instead; "%" stands for the signing domain.
        """
        # Always the same object for one signature, for the engine remembers its signer.
        return self._plan(planned, row)


def _names(domain: str) -> Iterator[str]:
    yield domain
    dot = domain.find(".")
    while dot > 0:
        yield domain[dot:]
        dot = domain.find(".", dot + 1)
    yield "*"


def _planned(planned: PlannedSignature, row: KeyRow) -> PlannedSignature:
    domain = planned.domain if row.domain is None else row.domain
    auid: Auid | None = planned.auid
    if auid is not None and not auid.domain.is_within(domain):
        auid = None
    return PlannedSignature(
        domain=domain,
        selector=row.selector,
        key_uri=row.uri_for(domain),
        auid=auid,
        signing_row=planned.signing_row,
        key_row=row,
    )


def parse_rule(row: Row, key_table: KeyTable | None) -> FailureRule:
    """Read what a row says is to be done.

    Args:
        row: The row.
        key_table: What names of keys stand for; None if there is none.

    Raises:
        TableError: It says what cannot be.
    """
    try:
        return _parsed(row, key_table)
    except (SettingsError, TableError) as exc:
        problem = f"DkimcoreOnKeyFailure: {row.key!r}: {exc.problem}"
    raise TableError(problem, file=row.file, line=row.line)


def _parsed(row: Row, key_table: KeyTable | None) -> FailureRule:
    word, colon, name = (row.value or "").partition(":")
    choices = "tempfail, unsigned, fallback:NAME or other-algorithm"
    try:
        action = FailureAction(word.lower())
    except ValueError:
        shown = repr(word[:60]) if word else "nothing"
        raise SettingsError(f"says {shown}; write one of: {choices}") from None
    if action is not FailureAction.FALLBACK:
        if colon:
            raise SettingsError(f"{action} takes nothing behind it; write one of: {choices}")
        return FailureRule(action=action)
    if not name:
        raise SettingsError("fallback needs the name of a key; write fallback:NAME")
    if key_table is None:
        raise SettingsError("fallback names a row of the KeyTable, and there is none; add one")
    if not key_table.has(name):
        problem = (
            f"fallback names the key {name!r}, which no row of the KeyTable defines; add one, "
        )
        raise SettingsError(f"{problem}or mend the name")
    return FailureRule(action=action, key_row=key_table.get(name))
