"""A message that is signed: its keys, its body, its new fields.

Which messages these are is left to `session`, and which keys to the engine.  A signature that
the settings ask for and that cannot be made ends in the action of On-InternalError (a table, a
key, a key service) or On-SignatureError (the message, or a key too small): never in unsigned
mail that nobody decided on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.errors import (
    ConfigError,
    KeyBackendError,
    KeyDenied,
    KeyUnusable,
    MessageError,
    SettingsError,
)
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.mailbox import Mailbox
from dkimcore.protocol.names import Auid, DomainName
from dkimcore.protocol.sign import Signing
from dkimcore.settings.model import Action
from dkimcore_milter.action import DeleteField, InsertField
from dkimcore_milter.engine import KeyTooSmall
from dkimcore_milter.keymeter import backend_of, count_key_error, sign_and_count
from dkimcore_milter.logline import Level
from dkimcore_milter.metrics import Count
from dkimcore_milter.outcome import Settled, conclude, internal_error, software_field

if TYPE_CHECKING:
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.policy import SigningProfile
    from dkimcore.signer import Signer
    from dkimcore_milter.action import Conclusion, Modification
    from dkimcore_milter.engine import Choice, Planned
    from dkimcore_milter.metrics import Timer
    from dkimcore_milter.transaction import Transaction

__all__ = ["MessageSigning", "start_signing", "table_error", "unsignable"]

# RFC 5321 section 4.5.3.1.1 allows 64 octets; encoded, i= must fit in a line of 998.
_LONGEST_LOCAL_PART = 254
_MADE = {
    Algorithm.RSA_SHA256: Count.SIGNED_RSA,
    Algorithm.ED25519_SHA256: Count.SIGNED_ED25519,
}
_CANONICALIZATIONS = {name.encode(): name for name in Canonicalization}


class MessageSigning:
    """Signs one message.

    Args:
        transaction: The message.
        header: Its header, as the next host will see it.
        signers: Who signs, in order; the last ends up on top.
        deleted: Fields to delete, with numbers as of the message as it was received.
        may_be_slow: Whether a key is kept elsewhere.
        timers: What times each signer's key.

    Raises:
        MessageError: The header cannot be signed honestly.
    """

    def __init__(
        self,
        transaction: Transaction,
        header: Header,
        *,
        signers: tuple[Signer, ...],
        timers: tuple[Timer, ...],
        deleted: tuple[DeleteField, ...] = (),
        may_be_slow: bool = False,
    ) -> None:
        engine = transaction.engine
        self._transaction = transaction
        self._signers = signers
        self._timers = timers
        self._deleted = deleted
        self._line_ends = _LineEnds() if engine.settings.signing.fix_crlf else None
        self.may_be_slow = may_be_slow
        requests = [signer.request() for signer in signers]
        self._signing = Signing(header, requests, now=engine.now(), final=True)

    @property
    def wants_body(self) -> bool:
        """Always: all of the body is hashed."""
        return True

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        self._signing.feed(chunk if self._line_ends is None else self._line_ends.feed(chunk))

    def finish(self) -> Conclusion:
        """Ask the keys, and add the signatures."""
        if self._line_ends is not None:
            self._signing.feed(self._line_ends.finish())
        inserted = []
        meter, tasks = self._transaction.meter, self._signing.finish()
        for signer, timer, task in zip(self._signers, self._timers, tasks, strict=True):
            try:
                signature_data = sign_and_count(
                    signer.key, task.header_hash, timer=timer, meter=meter
                )
                field = task.complete(signature_data)
            except KeyBackendError as exc:
                text = f"dkim_eom(): resource unavailable: {exc}"
                self._transaction.say(Level.ERR, text, event="key-failed", **_names(signer))
                return internal_error(self._transaction, text="resource unavailable")
            inserted.append(InsertField(field))
        for signer in self._signers:
            meter.count(_MADE[signer.key.algorithm])
        if self._transaction.engine.settings.logging.success:
            for signer in self._signers:
                names = _names(signer)
                text = f"DKIM-Signature field added (s={names['selector']}, d={names['domain']})"
                self._transaction.say(Level.INFO, text, event="signed", **names)
        modifications: tuple[Modification, ...] = (
            *self._deleted,
            *inserted,
            *software_field(self._transaction),
        )
        return conclude(Action.ACCEPT, modifications)


def start_signing(
    transaction: Transaction, choice: Choice, *, received: Header, header: Header
) -> MessageSigning | Settled:
    """Open the keys and begin to sign.

    Args:
        transaction: The message.
        choice: The signatures to make.
        received: The header as it was received, which fields to delete are numbered by.
        header: The header as the next host will see it (ReplaceRules).

    Returns:
        The message's fate instead, if a key or the header is not as it should be.
    """
    profile = _profile(transaction, header)
    signers: list[Signer] = []
    for planned in choice.planned:
        try:
            signers.append(transaction.engine.signer(planned, profile))
        except (ConfigError, KeyBackendError) as exc:
            return _key_error(transaction, planned, exc)
    identity, removed = _identity(transaction, header)
    if identity is not None:
        signers = [_with_identity(signer, identity) for signer in signers]
    deleted = [DeleteField(b"DKIM-Signature", number) for number in _old(transaction, received)]
    if removed:
        name = (transaction.engine.settings.signing.identity_header or "").encode()
        deleted += [DeleteField(name, number) for number in range(len(removed), 0, -1)]
        header = header.without(removed)
    try:
        return MessageSigning(
            transaction,
            header,
            signers=tuple(signers),
            timers=tuple(backend_of(planned.key_uri) for planned in choice.planned),
            deleted=tuple(deleted),
            may_be_slow=choice.is_remote,
        )
    except MessageError as exc:
        return unsignable(transaction, str(exc))


def table_error(transaction: Transaction, error: ConfigError) -> Settled:
    """Settle a message for which a table is wrong (On-InternalError)."""
    transaction.say(Level.ERR, _with_place(error), event="table-error")
    return Settled(internal_error(transaction))


def unsignable(transaction: Transaction, why: str) -> Settled:
    """Settle a message that cannot be signed as it is (On-SignatureError)."""
    transaction.say(Level.ERR, f"signature generation error: {why}", event="signing-error")
    action = transaction.engine.settings.actions.signature_error
    return Settled(conclude(action, text="DKIM signing error"), at_once=False)


def _key_error(
    transaction: Transaction, planned: Planned, error: ConfigError | KeyBackendError
) -> Settled:
    """Settle a message for which a key cannot be had."""
    name = _key_name(planned)
    names = {"domain": str(planned.domain), "selector": str(planned.selector), "key": name}
    if isinstance(error, KeyBackendError):
        count_key_error(error, timer=backend_of(planned.key_uri), meter=transaction.meter)
    if isinstance(error, KeyTooSmall):
        return unsignable(transaction, error.problem)
    if isinstance(error, KeyBackendError):
        path = error.uri.removeprefix("file:")
        text = f"can't load key from {path}: {error.problem}"
        if isinstance(error, KeyDenied):
            text = f"{name}: key data is not secure: {error.problem}"
        transaction.say(Level.ERR, text, event="key-error", **names)
    else:
        transaction.say(Level.ERR, _with_place(error), event="table-error", **names)
    transaction.say(Level.ERR, f"error loading key '{name}'", event="key-not-loaded", **names)
    if isinstance(error, KeyUnusable):
        # OpenDKIM finds out at the end of the message.
        return Settled(internal_error(transaction, text="resource unavailable"), at_once=False)
    return Settled(internal_error(transaction))


def _key_name(planned: Planned) -> str:
    row = getattr(planned, "key_row", None)
    return planned.key_uri if row is None else str(row.name)


def _with_place(error: ConfigError) -> str:
    """The problem first, which log watchers look for, then file and line."""
    if error.file is None:
        return error.problem
    line = "" if error.line is None else f":{error.line}"
    return f"{error.problem} [{error.file}{line}]"


def _names(signer: Signer) -> dict[str, str]:
    return {
        "domain": signer.domain.text,
        "selector": signer.selector.text,
        "algorithm": signer.key.algorithm.value,
    }


def _profile(transaction: Transaction, header: Header) -> SigningProfile:
    """How this message is signed (BodyLengthDB, MaximumSignedBytes, and c= by a field)."""
    engine, settings = transaction.engine, transaction.engine.settings.signing
    profile = engine.profile
    recipient = engine.body_length_recipient(transaction.addresses)
    if recipient is not None:
        text = f"BodyLengthDB matched {recipient}, signing with l= requested"
        transaction.say(Level.INFO, text, event="body-length")
        profile = replace(profile, body_length=True)
    if settings.maximum_signed_bytes is not None:
        profile = replace(profile, body_octets=settings.maximum_signed_bytes)
    if settings.canonicalization_header is not None:
        value = _first(header, settings.canonicalization_header)
        names = [] if value is None else value.lower().strip().split(b"/")
        chosen = [_CANONICALIZATIONS.get(name.strip()) for name in names]
        if len(chosen) in (1, 2) and chosen[0] is not None and chosen[-1] is not None:
            body = chosen[1] if len(chosen) == 2 else Canonicalization.SIMPLE
            profile = replace(
                profile,
                header_canonicalization=chosen[0],
                body_canonicalization=body or Canonicalization.SIMPLE,
            )
    return profile


def _first(header: Header, name: str) -> bytes | None:
    positions = header.positions(name.lower().encode())
    return header[positions[0]].value if positions else None


def _old(transaction: Transaction, received: Header) -> range:
    """Numbers of the DKIM-Signature fields to delete, bottom up (RemoveOldSignatures)."""
    if not transaction.engine.settings.signing.remove_old_signatures:
        return range(0)
    return range(len(received.positions(b"dkim-signature")), 0, -1)


def _identity(transaction: Transaction, header: Header) -> tuple[Auid | None, tuple[int, ...]]:
    """What i= is to be, and which fields are to be deleted (IdentityHeader)."""
    settings = transaction.engine.settings.signing
    if settings.identity_header is None:
        return None, ()
    positions = tuple(header.positions(settings.identity_header.lower().encode()))
    removed = positions if settings.identity_header_remove else ()
    if not positions:
        return None, ()
    try:
        mailbox = Mailbox.parse(header[positions[0]].value)
        if len(mailbox.local_part) > _LONGEST_LOCAL_PART:
            return None, removed
        return Auid(mailbox.local_part, DomainName.parse(mailbox.domain)), removed
    except (MessageError, SettingsError):
        return None, removed


def _with_identity(signer: Signer, identity: Auid) -> Signer:
    """The signer with another i=, where that is within its domain (RFC 6376 section 3.5)."""
    if not identity.domain.is_within(signer.domain):
        return signer
    return replace(signer, auid=identity)


class _LineEnds:
    """Makes each CR or LF that stands alone a CRLF (FixCRLF)."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""  # a CR whose LF may come

    def feed(self, chunk: bytes) -> bytes:
        octets = self._held + chunk
        self._held = b"\r" if octets.endswith(b"\r") else b""
        return _to_crlf(octets.removesuffix(b"\r") if self._held else octets)

    def finish(self) -> bytes:
        return _to_crlf(self._held)


def _to_crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
