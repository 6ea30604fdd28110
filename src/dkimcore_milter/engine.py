"""What decisions need, loaded from the settings once and shared by all sessions.

An `Engine` answers the questions of a session: is this client ours, who is the author, which
keys sign.  It never changes after it was loaded, so that a reload is one new engine; only the
keys it opened are kept, and closed when the last session that uses it has ended.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dkimcore.protocol.names import fold_domain
from dkimcore_milter.authoring import AuthorRules, BadAuthor, NoAuthor
from dkimcore_milter.choice import Choice, ChoiceRules, Planned
from dkimcore_milter.diagnosticfile import DiagnosticDirectory
from dkimcore_milter.enginekeys import EngineKeys, KeyTooSmall
from dkimcore_milter.keyfailure import FailureRules
from dkimcore_milter.meter import measure
from dkimcore_milter.origin import Origin, OriginRules, find_host
from dkimcore_milter.profile import signing_profile, verify_policy
from dkimcore_milter.recipients import RecipientRules
from dkimcore_milter.resolving import make_resolver
from dkimcore_milter.rewrite import Rewriter
from dkimcore_milter.singlekey import SingleKey
from dkimcore_milter.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.policy import SigningProfile, VerifyPolicy
    from dkimcore.resolvers import TxtResolver
    from dkimcore.settings.model import Settings
    from dkimcore.signer import Signer
    from dkimcore_milter.freshkeys import FreshKeyStore
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.meter import Meter
    from dkimcore_milter.peer import Macros, Peer

__all__ = [
    "BadAuthor",
    "Choice",
    "Engine",
    "KeyTooSmall",
    "NoAuthor",
    "Origin",
    "Planned",
    "SingleKey",
]


class Engine:
    """What decisions need.  Safe to share between threads.  Made by `load`.

    Args:
        settings: The settings.
        clock: The time, in seconds since 1970.
        uid: As for `load`.
        log: As for `load`.

    Attributes:
        settings: The settings it was loaded from.
        profile: How to sign.
        policy: Which signatures are accepted.
        resolver: Answers key queries.
        diagnostics: Takes comparisons of z=.
        failures: What becomes of mail whose key fails.
        keys: The private keys.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float],
        uid: int | None,
        log: LogSink | None,
    ) -> None:
        sources = Sources(settings)
        signing, verifying, hosts = settings.signing, settings.verifying, settings.hosts
        self.settings = settings
        self.profile: SigningProfile = signing_profile(signing, sources)
        self.policy: VerifyPolicy = verify_policy(settings, sources)
        self.resolver: TxtResolver = make_resolver(settings, sources)
        self.diagnostics = DiagnosticDirectory(settings)
        self._clock = clock
        self._origin = OriginRules(hosts, sources)
        self._peers = sources.hosts(hosts.peers)
        self._ignored = sources.hosts(hosts.external_ignore)
        self._author = AuthorRules(signing, sources)
        self._exempt = sources.data_set(verifying.exempt_domains, fold=fold_domain)
        self._trusted = sources.data_set(verifying.trusted_signers, fold=fold_domain)
        self._removed = sources.data_set(verifying.remove_results_from)
        self._choice = ChoiceRules(signing, sources)
        self._recipients = RecipientRules(signing, sources)
        self._rewriter = Rewriter(signing, sources)
        self._lock = threading.Lock()
        self._users = 0
        self._replaced = False
        self.failures = FailureRules.load(
            settings.actions.key_failure, sources, self._choice.key_table
        )
        self.keys = EngineKeys(
            settings,
            sources,
            choice=self._choice,
            resolver=self.resolver,
            minimum=self.policy.min_rsa_bits,
            uid=uid,
            log=log,
        )

    @classmethod
    def load(
        cls,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        uid: int | None = None,
        log: LogSink | None = None,
    ) -> Engine:
        """Load all tables and lists; no key is opened (see `preload`).

        Args:
            settings: The settings.
            clock: The time, in seconds since 1970.
            uid: The user to whom keys may belong, besides root (RequireSafeKeys): that of
                UserID; None means the one we run as.
            log: Takes lines about keys that are kept elsewhere; None: nobody wants them.

        Raises:
            ConfigError: A data set cannot be read, or a value cannot be; names file and line.
        """
        return cls(settings, clock=clock, uid=uid, log=log)

    def now(self) -> int:
        """Return the time in seconds since 1970."""
        return int(self._clock())

    def is_peer(self, peer: Peer) -> bool:
        """Whether the client's connections are left alone (PeerList)."""
        return find_host(self._peers, peer) is not None

    def is_ignored_external(self, peer: Peer) -> bool:
        """Whether nothing is said about the client's use of our domains (ExternalIgnoreList)."""
        return find_host(self._ignored, peer) is not None

    def origin(self, peer: Peer, macros: Macros) -> Origin:
        """Say whether mail from there is signed (MTA, MacroList, InternalHosts, {auth_type})."""
        return self._origin.judge(peer, macros)

    def author(self, header: Header, macros: Macros) -> Mailbox:
        """Return the author (SenderMacro, SenderHeaders, From, DefaultSender).

        Of several fields of one name the first counts.

        Raises:
            NoAuthor: Nothing names one.
            BadAuthor: What should name one holds no address.
        """
        return self._author.find(header, macros)

    def is_exempt(self, author: Mailbox) -> bool:
        """Whether mail of the author's domain is left alone (ExemptDomains)."""
        return self._exempt is not None and self._exempt.find(author.domain) is not None

    def choose(self, author: Mailbox, origin: Origin) -> Choice:
        """Choose the signatures; opens no key.

        Raises:
            TableError: A row that applies is wrong.
            SettingsError: Domain lists a domain that cannot be a signing domain.
        """
        return self._choice.choose(author, allowed=origin.allowed)

    def signers(self, choice: Choice, profile: SigningProfile | None = None) -> tuple[Signer, ...]:
        """Open the keys of a choice.

        Files that the key table names are read again if they changed, as OpenDKIM reads them
        for each message; the single key's is not, for who reads it may be root only.

        Args:
            choice: The signatures to make.
            profile: How to sign; None means `Engine.profile`.

        Raises:
            TableError: A key cannot sign what its row says.
            ConfigError: A key's URI is malformed or its scheme unknown.
            KeyTooSmall: A key is shorter than MinimumKeyBits.
            KeyBackendError: A key cannot be opened.
        """
        return tuple(self.signer(planned, profile) for planned in choice.planned)

    def signer(self, planned: Planned, profile: SigningProfile | None = None) -> Signer:
        """Open the key of one signature; takes and raises what `signers` does."""
        return self.keys.signer(planned, self.profile if profile is None else profile)

    def waits_for_keys(self, choice: Choice) -> bool:
        """Whether opening the keys of a choice may wait for others, such as a key service."""
        return self.keys.waits(choice)

    @property
    def _keys(self) -> FreshKeyStore:
        return self.keys.store

    def exempt_recipient(self, recipients: Sequence[bytes]) -> str | None:
        """Return the first recipient whose mail is not signed (DontSignMailTo), or None."""
        found = self._recipients.exempt(recipients)
        return None if found is None else found.address

    def body_length_recipient(self, recipients: Sequence[bytes]) -> str | None:
        """Return the first recipient for whom l= is set (BodyLengthDB), or None."""
        found = self._recipients.body_length(recipients)
        return None if found is None else found.address

    def resign(self, recipients: Sequence[bytes], author: Mailbox | None = None) -> Choice | None:
        """Choose the signature for mail that is signed again (ResignMailTo).

        Args:
            recipients: The envelope's recipients; the first that is listed decides.
            author: Whom "%" in a row of the key table stands for.

        Returns:
            None if no recipient is listed.

        Raises:
            TableError: A row that applies is wrong.
        """
        found = self._recipients.resign(recipients)
        return None if found is None else self._choice.again(found.row, author)

    def rewritten(
        self, fields: Sequence[tuple[bytes, bytes]]
    ) -> Sequence[tuple[bytes, bytes]] | None:
        """Return fields as ReplaceRules make them; None where no rule changes any."""
        return self._rewriter.rewritten(fields)

    def trusts_signer(self, domain: str) -> bool:
        """Whether signatures of a domain are verified first (TrustSignaturesFrom)."""
        return self._trusted is not None and self._trusted.find(domain) is not None

    def removes_results_of(self, authserv_id: str) -> bool:
        """Whether another's Authentication-Results fields are deleted (RemoveARFrom).

        Unlike in OpenDKIM, but as its manual says, ``.example.com`` stands for all hosts
        below a domain.

        Args:
            authserv_id: The authserv-id, up to a "/".
        """
        if self._removed is None:
            return False
        names = [authserv_id]
        dot = authserv_id.find(".", 1)
        while dot > 0:
            names.append(authserv_id[dot:])
            dot = authserv_id.find(".", dot + 1)
        return any(self._removed.find(name) is not None for name in names)

    def symbols(self) -> str | None:
        """Return the macros to ask the MTA for at the end of the header; None: its own choice."""
        macro = self._author.macro
        return self._origin.symbols(*(() if macro is None else (macro,)))

    def preload(self) -> None:
        """Open the single key now, before privileges are dropped; not one kept elsewhere.

        Raises:
            ConfigError: Its URI is malformed or its scheme unknown.
            KeyBackendError: It cannot be opened.
        """
        self.keys.preload()

    def measure(self, meter: Meter) -> None:
        """Count there from now on."""
        measure(self.resolver, meter)
        measure(self.keys.observer, meter)

    def retain(self) -> None:
        """Count one more user."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Count one user less; closes the keys if this engine was replaced and none is left.

        Raises:
            KeyBackendError: A backend failed to close its key.
        """
        with self._lock:
            self._users -= 1
        self._close_if_unused()

    def close(self) -> None:
        """Say that the engine was replaced; its keys close with the last user's release.

        Raises:
            KeyBackendError: A backend failed to close its key.
        """
        with self._lock:
            self._replaced = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        with self._lock:
            if not self._replaced or self._users > 0:
                return
            # A session that took this engine at the very moment of a reload opens keys anew.
            store = self.keys.take_store()
        store.close()
