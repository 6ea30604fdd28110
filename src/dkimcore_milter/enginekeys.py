"""The private keys of an engine: opened, checked against the DNS, made into signers, closed.

Keys in files are opened where they are used; the single key once, at the start, when its file
may be readable for root alone.  Keys that are kept elsewhere are opened by each worker, for what
they hold (connections, logins, threads) belongs to one process.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import replace
from logging import WARNING
from typing import TYPE_CHECKING, NamedTuple

from dkimcore.errors import ConfigError, DkimError, KeyUnusable, SettingsError, TableError
from dkimcore.keys import KeyContext
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.secrets import secret_from
from dkimcore.keys.sectioncheck import check_sections
from dkimcore.keys.sections import RecordMode, Sections
from dkimcore.keys.selfcheck import ShortKey
from dkimcore.keys.turns import TURNS
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType
from dkimcore.recordcheck import RecordCheck
from dkimcore.signer import Signer
from dkimcore.signers import open_row
from dkimcore_milter.choice import is_remote
from dkimcore_milter.freshkeys import FreshKeyStore
from dkimcore_milter.imports import import_backends
from dkimcore_milter.keyobserver import MilterKeyObserver
from dkimcore_milter.singlekey import SingleKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.keys import SigningKey
    from dkimcore.protocol.policy import SigningProfile
    from dkimcore.resolvers import TxtResolver
    from dkimcore.settings.model import Settings
    from dkimcore.tables.keytable import KeyRow
    from dkimcore_milter.choice import Choice, ChoiceRules, Planned
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.sources import Sources

__all__ = ["EngineKeys", "KeyTooSmall", "load_sections"]


# Signers that are remembered, with their keys: making one takes 7 us.
_SIGNERS = 1024

_OPENED_EARLY = 500
"""Keys that a worker opens when it starts; others are opened by the first message that needs
them.  A site with more has so many domains that most are idle."""

_OPENERS = 4
"""How many of them at once, so that mail finds the backend free."""


class KeyTooSmall(KeyUnusable):
    """An RSA key is shorter than MinimumKeyBits: OpenDKIM's On-SignatureError.

    Its `problem` is "private key too small (N bits, need at least M)".
    """


class _Known(NamedTuple):
    """A signer that was made; with what was planned, so that no other object can have its id."""

    planned: Planned
    signer: Signer
    is_checked: bool


def load_sections(settings: Settings, sources: Sources) -> Sections:
    """Read where key backends are (DkimcoreKeyBackends).

    Raises:
        ConfigError: The file cannot be read, or what it says cannot be.
    """
    source = settings.signing.key_backends
    if source is None:
        return Sections()
    path = sources.path(source.text)
    try:
        sections = Sections.load(path)
        check_sections(sections)
    except ConfigError as exc:
        if exc.line is not None:
            raise
        problem = f"DkimcoreKeyBackends: {path}: {exc.problem}"
    else:
        return sections
    raise SettingsError(problem, file=source.file, line=source.line)


class EngineKeys:
    """The keys of one configuration.  Safe to share between threads.

    Args:
        settings: The settings.
        sources: Where relative paths count from.
        choice: Which keys there are.
        resolver: Asked for key records.
        minimum: Bits of an RSA key, at least.
        uid: The user to whom keys may belong, besides root; None means the one we run as.
        log: Takes lines about keys that are kept elsewhere; None: nobody wants them.

    Attributes:
        observer: Hears of such keys.
        sections: Where they are.

    Raises:
        ConfigError: The file of DkimcoreKeyBackends cannot be read, or is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        sources: Sources,
        *,
        choice: ChoiceRules,
        resolver: TxtResolver,
        minimum: int,
        uid: int | None,
        log: LogSink | None,
    ) -> None:
        self._settings = settings
        self._choice = choice
        self._minimum = minimum
        self._uid = uid
        self.observer = MilterKeyObserver(log)
        self.sections = load_sections(settings, sources)
        store = self.sections.store
        self._records = RecordCheck(
            resolver, store.record_check, settings=store, observer=self.observer
        )
        self._refuses = store.record_check is RecordMode.REFUSE
        self._elsewhere = tuple(self._find_elsewhere())
        self._signers: dict[int, _Known] = {}
        self.store = self._new_store()

    def _new_store(self) -> FreshKeyStore:
        check = self._settings.signing.require_safe_keys
        context = KeyContext(
            secret=secret_from(check_permissions=check),
            check_permissions=check,
            uid=self._uid,
            sections=self.sections,
            observer=self.observer,
        )
        return FreshKeyStore(context=context)

    def take_store(self) -> FreshKeyStore:
        """Return the open keys, for whoever closes them; from now on they are opened anew."""
        store = self.store
        self.store = self._new_store()
        self._signers = {}
        return store

    def signer(self, planned: Planned, profile: SigningProfile) -> Signer:
        """Open the key of one signature; raises what `Engine.signers` does.

        A signer is made once: it stays what it is while its key does.  Threads may make one
        twice, which does no harm.
        """
        key = self._key(planned)
        known = self._signers.get(id(planned))
        if known is not None:
            _, signer, is_checked = known
            if signer.key is key and signer.profile is profile:
                if is_checked:
                    self._records.admit(signer)
                return signer
        signer = self._made(planned, key, profile)
        is_checked = self._records.mode_of(planned.key_uri) is not RecordMode.IGNORE
        if len(self._signers) >= _SIGNERS:
            self._signers.clear()
        self._signers[id(planned)] = _Known(planned, signer, is_checked)
        if is_checked:
            self._records.admit(signer)
        return signer

    def waits(self, choice: Choice) -> bool:
        """Whether `signer` may wait for others: a key service, or the DNS."""
        if not choice.is_remote and not self._refuses:
            return False
        return not all(map(self.is_at_hand, choice.planned))

    def is_at_hand(self, planned: Planned) -> bool:
        """Whether `signer` waits for nobody."""
        if is_remote(planned.key_uri) and not self.store.is_open(planned.key_uri):
            return False
        if not self._refuses:
            return True
        known = self._signers.get(id(planned))
        try:
            key = self._key(planned)
            if known is None:
                return False
            signer = known.signer if known.signer.key is key else replace(known.signer, key=key)
        except DkimError:
            return True  # `signer` says why
        return self._records.is_known(signer)

    def _key(self, planned: Planned) -> SigningKey:
        row = None if isinstance(planned, SingleKey) else planned.key_row
        return self._opened(row, planned.key_uri)

    def _opened(self, row: KeyRow | None, uri: str) -> SigningKey:
        store = self.store
        try:
            if row is None:
                return store.get_once(uri)
            return open_row(row, uri, store)
        except ShortKey as exc:
            raise _too_small(exc.bits, self._minimum, exc.uri) from None

    def _made(self, planned: Planned, key: SigningKey, profile: SigningProfile) -> Signer:
        public_key = key.public_key
        if public_key.key_type is KeyType.RSA and public_key.bits < self._minimum:
            raise _too_small(public_key.bits, self._minimum, planned.key_uri)
        auid = planned.auid
        try:
            # RFC 8616 section 5 allows U-labels in internationalised mail, but verifiers that
            # know nothing of it look the key up under them, and find none.
            return Signer(
                domain=planned.domain.a_labels,
                selector=planned.selector.a_labels,
                key=key,
                auid=None if auid is None else auid.a_labels,
                profile=profile,
            )
        except SettingsError as exc:
            problem = exc.problem
        if isinstance(planned, SingleKey):
            raise SettingsError(problem)
        raise TableError(problem, file=planned.key_row.file, line=planned.key_row.line)

    # --- The start ------------------------------------------------------------------------

    def _find_elsewhere(self) -> Iterator[tuple[KeyRow | None, str]]:
        """Yield rows and URIs of keys that are kept elsewhere, each key once."""
        single, table = self._choice.single, self._choice.key_table
        if not self._settings.hosts.signs:
            return
        if single is not None and is_remote(single.key_uri):
            yield None, single.key_uri
        found: set[tuple[str, str | None]] = set()
        for row in () if table is None else table.rows_elsewhere():
            name = (row.key_uri, None if row.domain is None else row.domain.ascii)
            if name not in found and len(found) < _OPENED_EARLY:
                found.add(name)
                yield row, row.key_uri

    @property
    def schemes(self) -> frozenset[str]:
        """The schemes of keys that are kept elsewhere."""
        return frozenset(uri.partition(":")[0].lower() for _, uri in self._elsewhere)

    def preload(self) -> None:
        """Open the single key, if it is a file; import what keys elsewhere need.

        Raises:
            ConfigError: The single key's URI is malformed or its scheme unknown.
            KeyBackendError: It cannot be opened.
        """
        single = self._choice.single
        if not self._settings.hosts.signs:
            return
        if "pkcs11" in self.schemes or any(
            section.kind == "pkcs11" for section in self.sections.backends.values()
        ):
            TURNS.share()
        if single is not None and is_remote(single.key_uri):
            problem = import_backends([KeyUri.parse(single.key_uri).scheme])
            if problem:
                raise problem[0]
        elif single is not None:
            self.store.get_once(single.key_uri)
        for error in import_backends(self.schemes):
            self.observer.event(
                KeyEvent(level=WARNING, event="backend-missing", text=error.problem)
            )

    def warm_up(self) -> None:
        """Begin to open keys that are kept elsewhere, and to look at their records.

        Done in the background: neither mail nor the start waits for it, and what fails is tried
        again by the message that needs it.
        """
        waiting = deque(self._elsewhere)
        for number in range(min(_OPENERS, len(waiting))):
            with contextlib.suppress(RuntimeError):  # the system has no more threads
                threading.Thread(
                    target=self._open_all, args=(waiting,), daemon=True, name=f"opens-{number}"
                ).start()

    def _open_all(self, waiting: deque[tuple[KeyRow | None, str]]) -> None:
        while waiting:
            with contextlib.suppress(IndexError, DkimError):  # the observer was told
                row, uri = waiting.popleft()
                key = self._opened(row, uri)
                if row is not None and row.domain is not None:
                    self._records.admit(
                        Signer(domain=row.domain.a_labels, selector=row.selector.a_labels, key=key)
                    )


def _too_small(bits: int, minimum: int, uri: str) -> KeyTooSmall:
    return KeyTooSmall(f"private key too small ({bits} bits, need at least {minimum})", uri=uri)
