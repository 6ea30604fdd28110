"""The file of key backends and the files that it names, for ``-n``.

What a section means is its backend's, and found out by opening keys (`checkkeys`).  Here is what
the filter will need as the user of UserID: its workers log in as that user.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError, TableError
from dkimcore.keys.permissions import private_file_danger
from dkimcore.protocol.names import DomainName, fold_domain
from dkimcore.tables import DataSetType
from dkimcore_milter.access import READ
from dkimcore_milter.enginekeys import load_sections
from dkimcore_milter.keyfailure import parse_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.keys.sections import BackendSection, Sections
    from dkimcore.settings.model import Settings
    from dkimcore.tables import KeyTable
    from dkimcore_milter.access import Visitor
    from dkimcore_milter.findings import Findings
    from dkimcore_milter.sources import Sources

__all__ = ["check_backends", "check_failures"]

_NAMES = frozenset({"ca", "certificate", "key", "module"})
"""Keys of sections that name files, besides those that end in ``_file``."""

_PRIVATE = frozenset({"pin_file", "secret_id_file", "token_file"})
"""Those whose files no other user may read."""


def check_backends(
    settings: Settings, sources: Sources, visitor: Visitor, findings: Findings
) -> Sections | None:
    """Read the file of key backends, and look at the files that it names.

    Args:
        settings: The settings.
        sources: Where relative paths count from.
        visitor: The user that the filter will run as.
        findings: Takes what is found.

    Returns:
        The sections; None if there is a mistake.
    """
    sections = findings.attempt(lambda: load_sections(settings, sources))
    for section in () if sections is None else sections.backends.values():
        for key, path in _files(section):
            _check_file(settings, section, key, path, visitor=visitor, findings=findings)
    return sections


def _files(section: BackendSection) -> Iterator[tuple[str, str]]:
    for key, value in section.values.items():
        if isinstance(value, str) and value and (key in _NAMES or key.endswith("_file")):
            yield key, section.path(key) or value


def _check_file(
    settings: Settings,
    section: BackendSection,
    key: str,
    path: str,
    *,
    visitor: Visitor,
    findings: Findings,
) -> None:
    root = settings.process.root_directory
    if root is not None:
        path = os.path.join(root, os.path.abspath(path).lstrip("/"))
    place = (section.file, section.lines.get(key, section.line))
    what = f"backend {section.name}: {key}"
    problem = visitor.problem(path, READ)
    if problem is not None and os.path.exists(path):
        findings.error(f"{what}: {problem}", place)
    elif problem is not None:
        findings.warning(
            f"{what}: {problem}; that is right only if something makes it before the filter "
            "starts, such as an agent, or LoadCredential= of systemd",
            place,
        )
    elif key in _PRIVATE:
        uid = _owner(section, key, visitor.uid)
        danger = findings.attempt(lambda: private_file_danger(path, uid=uid), place)
        if danger is not None and settings.signing.require_safe_keys:
            findings.error(f"{what}: {danger}", place)
        elif danger is not None:
            findings.warning(f"{what} is used because of RequireSafeKeys no: {danger}", place)


def _owner(section: BackendSection, key: str, uid: int) -> int:
    """Return to whom a file may belong, besides root: the agent's, where the section names it."""
    owner = section.values.get("token_owner") if key == "token_file" else None
    if not isinstance(owner, str):
        return uid
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:  # its login says so
        return uid


def check_failures(
    settings: Settings, sources: Sources, key_table: KeyTable | None, findings: Findings
) -> None:
    """Look at every row of DkimcoreOnKeyFailure.

    Args:
        settings: The settings.
        sources: Loads data sets.
        key_table: What names of keys stand for; None if there is none.
        findings: Takes what is found.
    """
    source = settings.actions.key_failure
    data_set = findings.attempt(lambda: sources.data_set(source, fold=fold_domain))
    if data_set is None:
        return
    findings.add(data_set.check())
    for row in data_set.rows():
        try:
            parse_rule(row, key_table)
        except TableError as exc:
            findings.error(exc.problem, (exc.file, exc.line))
        if row.key == "*" or data_set.type is DataSetType.REFILE:
            continue
        try:
            DomainName.parse(row.key.removeprefix("."))
        except SettingsError:
            findings.warning(
                f"DkimcoreOnKeyFailure: {row.key!r} never matches; write a domain, .domain for all "
                "below it, or *",
                (row.file, row.line),
            )
