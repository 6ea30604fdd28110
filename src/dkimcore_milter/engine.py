"""What decisions need, loaded from the settings once and shared by all sessions.

An `Engine` answers the questions of a session: is this client ours, who is the author, which
keys sign.  It never changes after it was loaded, so that a reload is one new engine; only the
keys it opened are kept, and closed when the last session that uses it has ended.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUnusable, StateError
from dkimcore.protocol.policy import SigningProfile, VerifyPolicy
from dkimcore_milter.authoring import BadAuthor, NoAuthor
from dkimcore_milter.choice import Choice, Planned
from dkimcore_milter.origin import Origin
from dkimcore_milter.singlekey import SingleKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.protocol.mailbox import Mailbox
    from dkimcore.protocol.message import Header
    from dkimcore.resolvers import TxtResolver
    from dkimcore.settings.model import Settings
    from dkimcore.signer import Signer
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


class KeyTooSmall(KeyUnusable):
    """An RSA key is shorter than MinimumKeyBits: OpenDKIM's On-SignatureError.

    Its `problem` is "private key too small (N bits, need at least M)".
    """


class Engine:
    """What decisions need.  Safe to share between threads.

    Attributes:
        settings: The settings it was loaded from.
        profile: How to sign.
        policy: Which signatures are accepted.
        resolver: Answers key queries.
    """

    settings: Settings
    profile: SigningProfile
    policy: VerifyPolicy
    resolver: TxtResolver

    @classmethod
    def load(
        cls,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        trace: Callable[[str], None] | None = None,
    ) -> Engine:
        """Load all tables and lists; no key is opened (see `preload`).

        Args:
            settings: The settings.
            clock: The time, in seconds since 1970.
            trace: Takes a line about each key query, if ResolverTracing is set; None: nothing
                is traced.

        Raises:
            ConfigError: A data set cannot be read, or a value cannot be; names file and line.
        """
        raise StateError("not built yet")

    def now(self) -> int:
        """Return the time in seconds since 1970."""
        raise StateError("not built yet")

    def is_peer(self, peer: Peer) -> bool:
        """Whether the client's connections are left alone (PeerList)."""
        raise StateError("not built yet")

    def is_ignored_external(self, peer: Peer) -> bool:
        """Whether nothing is said about the client's use of our domains (ExternalIgnoreList)."""
        raise StateError("not built yet")

    def origin(self, peer: Peer, macros: Macros) -> Origin:
        """Say whether mail from there is signed (MTA, MacroList, InternalHosts, {auth_type})."""
        raise StateError("not built yet")

    def author(self, header: Header, macros: Macros) -> Mailbox:
        """Return the author (SenderMacro, SenderHeaders, From, DefaultSender).

        Of several fields of one name the first counts.

        Raises:
            NoAuthor: Nothing names one.
            BadAuthor: What should name one holds no address.
        """
        raise StateError("not built yet")

    def is_exempt(self, author: Mailbox) -> bool:
        """Whether mail of the author's domain is left alone (ExemptDomains)."""
        raise StateError("not built yet")

    def choose(self, author: Mailbox, origin: Origin) -> Choice:
        """Choose the signatures; opens no key.

        Raises:
            TableError: A row that applies is wrong.
            MessageError: The author's domain cannot be a signing domain, and is to be one.
        """
        raise StateError("not built yet")

    def signers(self, choice: Choice, profile: SigningProfile | None = None) -> tuple[Signer, ...]:
        """Open the keys of a choice.

        Args:
            choice: The signatures to make.
            profile: How to sign; None means `Engine.profile`.

        Raises:
            TableError: A key cannot sign what its row says.
            ConfigError: A key's URI is malformed or its scheme unknown.
            KeyTooSmall: A key is shorter than MinimumKeyBits.
            KeyBackendError: A key cannot be opened.
        """
        raise StateError("not built yet")

    def exempt_recipient(self, recipients: Sequence[bytes]) -> str | None:
        """Return the first recipient whose mail is not signed (DontSignMailTo), or None."""
        raise StateError("not built yet")

    def body_length_recipient(self, recipients: Sequence[bytes]) -> str | None:
        """Return the first recipient for whom l= is set (BodyLengthDB), or None."""
        raise StateError("not built yet")

    def resign(self, recipients: Sequence[bytes], author: Mailbox | None = None) -> Choice | None:
        """Choose the signature for mail that is signed again (ResignMailTo).

        Args:
            recipients: The envelope's recipients; the first that is listed decides.
            author: Whom "%" in a row of the key table stands for.

        Returns:
            None if no recipient is listed.

        Raises:
            TableError: A row that applies is wrong.
            MessageError: As `choose`.
        """
        raise StateError("not built yet")

    def rewrite(self, name: bytes, value: bytes) -> bytes:
        """Return a field's value as ReplaceRules make it; itself where none applies."""
        raise StateError("not built yet")

    def trusts_signer(self, domain: str) -> bool:
        """Whether signatures of a domain are verified first (TrustSignaturesFrom)."""
        raise StateError("not built yet")

    def removes_results_of(self, authserv_id: str) -> bool:
        """Whether another's Authentication-Results fields are deleted (RemoveARFrom).

        Also ``.domain`` entries and patterns; so rather ask this than `removes_results_from`.
        """
        raise StateError("not built yet")

    def removes_results_from(self) -> frozenset[str]:
        """Return the listed authserv-ids in lower case (RemoveARFrom)."""
        raise StateError("not built yet")

    def symbols(self) -> str | None:
        """Return the macros to ask the MTA for at the end of the header; None: its own choice."""
        raise StateError("not built yet")

    def preload(self) -> None:
        """Open the single key now, before privileges are dropped.

        Raises:
            ConfigError: Its URI is malformed or its scheme unknown.
            KeyBackendError: It cannot be opened.
        """
        raise StateError("not built yet")

    def retain(self) -> None:
        """Count one more user."""
        raise StateError("not built yet")

    def release(self) -> None:
        """Count one user less; closes the keys if this engine was replaced and none is left."""
        raise StateError("not built yet")

    def close(self) -> None:
        """Say that the engine was replaced; its keys close with the last user's release."""
        raise StateError("not built yet")
