"""Checks a whole configuration and says everything that is wrong, for ``dkimcore-milter -n``.

All that `Engine.load` reads is read, piece by piece, so that one mistake does not hide the
next; then every row of the tables, every key, and what the filter needs to run.  No DNS is
asked, and nothing is changed.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError, TableError
from dkimcore.protocol.names import DomainName
from dkimcore.tables import DataSetType, Finding, KeyTable, SigningTable
from dkimcore.tables.location import Location
from dkimcore_milter.access import READ
from dkimcore_milter.authoring import AuthorRules
from dkimcore_milter.checkbackends import check_backends, check_failures
from dkimcore_milter.checkkeys import KeyCheck
from dkimcore_milter.checkprocess import check_process, find_visitor
from dkimcore_milter.findings import Findings
from dkimcore_milter.origin import OriginRules
from dkimcore_milter.profile import signing_profile, verify_policy
from dkimcore_milter.resolving import make_resolver
from dkimcore_milter.rewrite import Rewriter
from dkimcore_milter.singlekey import SingleKeyRules
from dkimcore_milter.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.settings.model import Settings, Source
    from dkimcore.tables import Row
    from dkimcore_milter.access import Visitor

__all__ = ["check"]

_NOTICE = re.compile(r"(?P<file>.+?):(?P<line>\d+): (?P<problem>.*)", re.DOTALL)
_EVERYONE = frozenset({"0.0.0.0/0", "::/0", "0/0"})


def check(settings: Settings) -> tuple[Finding, ...]:
    """Check everything that a configuration names.

    Args:
        settings: The settings.

    Returns:
        Errors and warnings, each with the place, the cause and the cure; none if all is well.
    """
    findings = Findings()
    findings.add(map(_notice, settings.notices))
    sources = Sources(settings)
    visitor = find_visitor(settings, findings)
    _check_parts(settings, sources, findings)
    _check_lists(settings, sources, findings)
    _check_hosts(settings, sources, findings)
    sections = check_backends(settings, sources, visitor, findings)
    keys = KeyCheck(settings, visitor, findings, sections)
    _check_tables(settings, sources, keys, findings)
    keys.close()
    check_process(settings, visitor, findings)
    _check_files(settings, sources, visitor, findings)
    return findings.all()


def _notice(text: str) -> Finding:
    match = _NOTICE.fullmatch(text)
    if match is None:
        return Finding(problem=text)
    return Finding(problem=match["problem"], file=match["file"], line=int(match["line"]))


def _check_parts(settings: Settings, sources: Sources, findings: Findings) -> None:
    """Make each part of an engine but the tables."""
    signing = settings.signing
    for make in (
        partial(OriginRules, settings.hosts, sources),
        partial(AuthorRules, signing, sources),
        partial(Rewriter, signing, sources),
        partial(signing_profile, signing, sources),
        partial(verify_policy, settings, sources),
        partial(make_resolver, settings, sources),
    ):
        findings.attempt(make)


def _check_lists(settings: Settings, sources: Sources, findings: Findings) -> None:
    signing, verifying = settings.signing, settings.verifying
    several = (signing.body_length_db, settings.resolving.test_dns_data, settings.hosts.macros)
    for source in _lists(settings):
        data_set = findings.attempt(partial(sources.data_set, source))
        if data_set is not None:
            findings.add(data_set.check(all_rows=source in several))
    if signing.domains is not None and signing.key_table is None:
        domains = findings.attempt(partial(sources.data_set, signing.domains))
        if domains is not None and not len(domains):
            findings.warning(
                f"Domain {signing.domains.text} has no row, so nothing is signed; list the "
                "domains to sign for",
                (signing.domains.file, signing.domains.line),
            )
        if domains is not None and domains.type is not DataSetType.REFILE:
            for row in domains.rows():
                _check_domain(row, findings)
    for listed in (signing.sign_headers, signing.omit_headers, signing.oversign_headers):
        for row in _rows(listed, sources, findings):
            if "*" in row.key and row.key != "*":
                findings.warning(
                    f"{row.key!r} names no field, for names are compared whole; list each field",
                    (row.file, row.line),
                )
    for listed, cure in (
        (signing.domains, "write it without the dot, and SubDomains yes"),
        (verifying.trusted_signers, "write each domain"),
        (verifying.exempt_domains, "write each domain"),
    ):
        for row in _rows(listed, sources, findings):
            if row.key.startswith("."):
                findings.warning(f"{row.key!r} never matches; {cure}", (row.file, row.line))


def _check_domain(row: Row, findings: Findings) -> None:
    """Look at a row of Domain: mail of a domain that cannot sign is refused for now."""
    if "*" in row.key or row.key.startswith("."):
        return
    try:
        DomainName.parse(row.key)
    except SettingsError as exc:
        findings.error(f"Domain: {exc.problem}", (row.file, row.line))


def _rows(source: Source | None, sources: Sources, findings: Findings) -> Iterator[Row]:
    data_set = findings.attempt(partial(sources.data_set, source))
    if data_set is not None:
        yield from data_set.rows()


def _lists(settings: Settings) -> Iterator[Source]:
    """Yield the data sets that are neither tables nor sets of hosts."""
    signing, verifying = settings.signing, settings.verifying
    for source in (
        *(signing.domains, signing.sign_headers, signing.omit_headers, signing.oversign_headers),
        *(signing.sender_headers, signing.exempt_recipients, signing.body_length_db),
        *(signing.resign_recipients, signing.replace_headers, settings.hosts.mta),
        *(settings.hosts.macros, verifying.remove_results_from, verifying.trusted_signers),
        *(verifying.must_be_signed, verifying.exempt_domains, settings.resolving.test_dns_data),
    ):
        if source is not None:
            yield source


def _check_hosts(settings: Settings, sources: Sources, findings: Findings) -> None:
    hosts = settings.hosts
    for source in (hosts.internal, hosts.external_ignore, hosts.peers):
        found = findings.attempt(partial(sources.hosts, source))
        if found is not None:
            findings.add(found.check())
            if source is hosts.internal and not len(found):
                findings.warning(
                    f"InternalHosts {source.text} has no row, so only mail of users who log in "
                    "is signed; list our networks",
                    (source.file, source.line),
                )
    for row in _rows(hosts.internal, sources, findings):
        if row.key in _EVERYONE:
            findings.warning(
                f"{row.key!r} makes every host internal: strangers' mail is signed as ours; "
                "list our networks",
                (row.file, row.line),
            )


def _check_tables(settings: Settings, sources: Sources, keys: KeyCheck, findings: Findings) -> None:
    signing, base = settings.signing, sources.base
    single = findings.attempt(lambda: SingleKeyRules.load(signing, sources))
    if single is not None:
        keys.single(single)
        if not single.lists_domains and signing.resign_recipients is None:
            findings.warning(
                "KeyFile is not used, for there is no Domain; list the domains to sign for",
                settings.origin("KeyFile"),
            )
    key_table = signing_table = None
    if (source := signing.key_table) is not None:
        load = partial(KeyTable.load, source.text, base=base, file=source.file, line=source.line)
        key_table = findings.attempt(load)
    if (source := signing.signing_table) is not None:
        load_rows = partial(
            SigningTable.load, source.text, base=base, file=source.file, line=source.line
        )
        signing_table = findings.attempt(load_rows)
    if signing_table is not None:
        findings.add(signing_table.check(key_table, all_matches=signing.multiple_signatures))
    if key_table is not None:
        findings.add(key_table.check())
        keys.table(key_table)
    if key_table is not None or signing.key_table is None:
        check_failures(settings, sources, key_table, findings)
    if settings.hosts.signs and single is None and signing.key_table is None:
        findings.warning(
            "nothing is signed, for there are neither tables nor a KeyFile; with Mode v that is "
            "what is meant",
            settings.origin("Mode"),
        )


def _check_files(
    settings: Settings, sources: Sources, visitor: Visitor, findings: Findings
) -> None:
    """Look whether a reload, which the user of UserID does, can read what the start read."""
    if visitor.uid == os.geteuid() or settings.process.root_directory is not None:
        return
    for path, place in _files(settings, sources):
        problem = visitor.problem(path, READ) if os.path.exists(path) else None
        if problem is not None:
            findings.warning(f"a reload would fail: {problem}", place)


def _files(
    settings: Settings, sources: Sources
) -> Iterator[tuple[str, tuple[str | None, int | None]]]:
    for file in settings.files:
        yield file, (file, None)
    signing, hosts = settings.signing, settings.hosts
    tables = (signing.signing_table, signing.key_table, settings.actions.key_failure)
    for source in (*tables, hosts.internal, hosts.external_ignore, hosts.peers, *_lists(settings)):
        if source is not None:
            try:
                location = Location.parse(source.text, base=sources.base)
            except TableError:
                continue  # said already
            if location.type is not DataSetType.CSL:
                yield location.rest, (source.file, source.line)
    plain = (signing.replace_rules, signing.key_backends, settings.resolving.test_public_keys)
    for source in plain:
        if source is not None:
            yield sources.path(source.text), (source.file, source.line)
