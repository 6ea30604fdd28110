"""Opens every private key of a site and says what is wrong with it, for ``-n``.

Keys are opened by whoever runs the check, usually root; what the user of UserID may do with
their files is judged by modes.  Root loads no code that others can replace: such a key is not
opened.  Whether the key records are published is `dkimcore testkey`'s.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from dkimcore.errors import DkimError, SettingsError, TableError
from dkimcore.keys import KeyContext
from dkimcore.keys.permissions import private_file_danger
from dkimcore.keys.pkcs11.module import module_danger
from dkimcore.keys.secrets import secret_from
from dkimcore.keys.sections import Sections
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType
from dkimcore.signer import Signer
from dkimcore.signers import open_row
from dkimcore_milter.access import READ
from dkimcore_milter.choice import is_remote
from dkimcore_milter.imports import BELOW_ROOT
from dkimcore_milter.keyobserver import MilterKeyObserver
from dkimcore_milter.keyparts import KeyParts

if TYPE_CHECKING:
    from dkimcore.keys import SigningKey
    from dkimcore.settings.model import Settings
    from dkimcore.tables import KeyRow, KeyTable
    from dkimcore_milter.access import Visitor
    from dkimcore_milter.findings import Findings
    from dkimcore_milter.singlekey import SingleKeyRules

__all__ = ["KeyCheck"]

# Each takes 50 ms and more; the others are tested by signing with them, in 2 ms.
_FULL_CHECKS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A key to look at: what to call it, its URI, where that stands, and its row."""

    what: str
    uri: str
    place: tuple[str | None, int | None]
    row: KeyRow | None = None

    @property
    def is_inline(self) -> bool:
        """Whether the row holds the key itself."""
        return self.row is not None and self.row.inline_key is not None


class KeyCheck:
    """Checks keys.

    Args:
        settings: The settings.
        visitor: The user that the filter will run as.
        findings: Takes what is found.
        sections: Where keys are kept elsewhere; None: that is wrong, and such keys are left out.
    """

    def __init__(
        self,
        settings: Settings,
        visitor: Visitor,
        findings: Findings,
        sections: Sections | None,
    ) -> None:
        self._signing = settings.signing
        self._minimum = settings.verifying.minimum_key_bits
        self._root = settings.process.root_directory
        self._root_place = settings.origin("ChangeRootDirectory")
        self._algorithm_place = settings.origin("SignatureAlgorithm")
        self._visitor = visitor
        self._findings = findings
        self._uris: dict[str, str] = {}
        self._skips_remote = sections is None
        self._schemes: set[str] = set()
        is_strict = self._signing.require_safe_keys
        self._context = KeyContext(
            secret=secret_from(check_permissions=is_strict),
            check_permissions=is_strict,
            uid=visitor.uid,
            sections=Sections() if sections is None else sections,
            observer=MilterKeyObserver(None),
        )
        self._elsewhere = KeyStore(context=self._context)
        # Files are judged by themselves, so that one finding does not hide the next.
        self._store = KeyStore(context=replace(self._context, check_permissions=False))

    def table(self, table: KeyTable) -> None:
        """Check the keys of a key table, but those whose path depends on the author."""
        for row in table.rows():
            uri = row.key_uri
            if row.per_domain and "%" in uri:
                if row.domain is None:
                    continue
                uri = row.uri_for(row.domain)
            what = f"the key {row.name!r}"
            self._check(_Candidate(what=what, uri=uri, place=(row.file, row.line), row=row))

    def single(self, rules: SingleKeyRules) -> None:
        """Check the one key."""
        source = self._signing.key_file
        place = (None, None) if source is None else (source.file, source.line)
        self._check(_Candidate(what="KeyFile", uri=rules.key_uri, place=place))

    def close(self) -> None:
        """Close the keys."""
        if self._schemes and self._root is not None:
            schemes = ", ".join(sorted(self._schemes))
            self._findings.warning(
                f"ChangeRootDirectory: keys of {schemes} need their files below it: {BELOW_ROOT}",
                self._root_place,
            )
        for store in (self._store, self._elsewhere):
            self._findings.attempt(store.close)

    def _check(self, candidate: _Candidate) -> None:
        if is_remote(candidate.uri):
            self._schemes.add(candidate.uri.partition(":")[0])
            if self._skips_remote or not self._may_open(candidate):
                return
        key = self._open(candidate)
        if isinstance(key, TableError):
            self._findings.error(key.problem, candidate.place)
            return
        if isinstance(key, DkimError):
            problem = getattr(key, "problem", str(key))
            request = getattr(key, "request_id", None)
            problem += "" if request is None else f" (request {request})"
            if is_remote(candidate.uri):
                problem = f"{candidate.uri}: {problem}"
            self._findings.error(f"{candidate.what}: {problem}", candidate.place)
            return
        self._judge(candidate, key)
        if not candidate.is_inline:
            self._permissions(candidate)

    def _open(self, candidate: _Candidate) -> SigningKey | DkimError:
        row = candidate.row
        store = self._elsewhere if is_remote(candidate.uri) else self._store
        try:
            if row is None:
                return store.get(self._openable(candidate))
            uri = candidate.uri if candidate.is_inline else self._openable(candidate)
            return open_row(row, uri, store)
        except DkimError as exc:
            return exc

    def _openable(self, candidate: _Candidate) -> str:
        """Return the URI by which a key is opened here; always the same for one key."""
        known = self._uris.get(candidate.uri)
        if known is not None:
            return known
        uri = KeyUri.parse(candidate.uri)
        if uri.scheme == "file":
            options = dict(uri.options)
            if len(self._uris) < _FULL_CHECKS:
                options.setdefault("check", "full")
            path = self._path(candidate, uri)
            uri = replace(uri, path=path, options=MappingProxyType(options))
        return self._uris.setdefault(candidate.uri, str(uri))

    def _path(self, candidate: _Candidate, uri: KeyUri) -> str:
        """Return a key's path; those of tables are opened below ChangeRootDirectory."""
        path = os.path.expanduser(uri.path)
        if self._root is None or candidate.row is None:
            return path
        return os.path.join(self._root, os.path.abspath(path).lstrip("/"))

    def _judge(self, candidate: _Candidate, key: SigningKey) -> None:
        public_key, algorithm = key.public_key, key.algorithm
        wanted, row = self._signing.algorithm, candidate.row
        if wanted is not None and wanted is not algorithm:
            self._findings.warning(
                f"SignatureAlgorithm says {wanted}, but {candidate.what} makes {algorithm}, "
                "which is what it signs with; take the option out",
                self._algorithm_place,
            )
        if public_key.key_type is KeyType.RSA and public_key.bits < self._minimum:
            self._findings.error(
                f"{candidate.what}: private key too small ({public_key.bits} bits, need at "
                f"least {self._minimum}); make a longer one under a new selector",
                candidate.place,
            )
        elif public_key.key_type is KeyType.RSA and public_key.bits < 2048:
            self._findings.warning(
                f"{candidate.what} has {public_key.bits} bits; RFC 8301 section 3.2 wants 2048: "
                "make a new key under a new selector",
                candidate.place,
            )
        if row is not None and row.domain is not None:
            try:
                Signer(domain=row.domain, selector=row.selector, key=key)
            except SettingsError as exc:
                self._findings.error(f"{candidate.what}: {exc.problem}", candidate.place)

    def _may_open(self, candidate: _Candidate) -> bool:
        """Look at what a key elsewhere needs on this host; false: it is not opened here."""
        try:
            parts = KeyParts.of(KeyUri.parse(candidate.uri), self._context)
        except DkimError:
            return True  # opening it says what is wrong
        for path in parts.files:
            path = os.path.join(self._root or "/", path.lstrip("/"))
            problem = self._visitor.problem(path, READ)
            if problem is not None and os.path.exists(path):  # else opening the key says it
                self._findings.error(f"{candidate.what}: {problem}", candidate.place)
        return parts.module is None or self._may_load(parts.module, candidate)

    def _may_load(self, module: str, candidate: _Candidate) -> bool:
        """Look whether a module's code may run as whoever we are."""
        danger = module_danger(module, uid=0) if os.geteuid() == 0 else None
        if danger is None:
            return True
        theirs = module_danger(module, uid=self._visitor.uid)
        if theirs is not None and (self._visitor.uid == 0 or self._signing.require_safe_keys):
            self._findings.error(f"{candidate.what}: its module {theirs}", candidate.place)
        else:
            self._findings.warning(
                f"{candidate.what} was not opened, for root does not run code that others can "
                f"change: its module {danger}; or check it as its user: "
                f"runuser -u {self._visitor.name} -- dkimcore-milter -n",
                candidate.place,
            )
        return False

    def _permissions(self, candidate: _Candidate) -> None:
        uri = KeyUri.parse(candidate.uri)
        if uri.scheme != "file":
            return
        path = self._path(candidate, uri)
        problem = self._visitor.problem(path, READ)
        if problem is not None and candidate.row is not None:
            self._findings.error(f"{candidate.what}: {problem}", candidate.place)
        elif problem is not None:
            self._findings.warning(
                f"{candidate.what} can be read at the start but not at a reload: {problem}",
                candidate.place,
            )
        if uri.options.get("permissions") == "ignore":
            return
        # The one key is opened by the user that starts the filter, and is to be safe for the
        # one that it becomes, as with OpenDKIM.
        uid = self._visitor.uid
        danger = self._findings.attempt(lambda: private_file_danger(path, uid=uid), candidate.place)
        if danger is not None and self._signing.require_safe_keys:
            self._findings.error(f"{candidate.what}: {danger}", candidate.place)
        elif danger is not None:
            self._findings.warning(
                f"{candidate.what} is used because of RequireSafeKeys no: {danger}",
                candidate.place,
            )
