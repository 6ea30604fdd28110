"""How one message is signed: what its recipients, its size and its own fields change.

BodyLengthDB, MaximumSignedBytes, SelectCanonicalizationHeader, IdentityHeader,
RemoveOldSignatures, FixCRLF.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.errors import MessageError, SettingsError
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.mailbox import Mailbox
from dkimcore.protocol.names import Auid, DomainName
from dkimcore_milter.action import DeleteField
from dkimcore_milter.logline import Level

if TYPE_CHECKING:
    from dkimcore.protocol.message import Header
    from dkimcore.protocol.policy import SigningProfile
    from dkimcore.signer import Signer
    from dkimcore_milter.transaction import Transaction

__all__ = ["LineEnds", "find_identity", "message_profile", "old_signatures", "with_identity"]

# RFC 5321 section 4.5.3.1.1 allows 64 octets; encoded, i= must fit in a line of 998.
_LONGEST_LOCAL_PART = 254
_CANONICALIZATIONS = {name.encode(): name for name in Canonicalization}


def message_profile(transaction: Transaction, header: Header) -> SigningProfile:
    """Return how a message is signed.

    Args:
        transaction: The message.
        header: Its header.
    """
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


def old_signatures(transaction: Transaction, received: Header) -> list[DeleteField]:
    """Return the deletions of the DKIM-Signature fields, bottom up (RemoveOldSignatures).

    Args:
        transaction: The message.
        received: Its header as it was received.
    """
    if not transaction.engine.settings.signing.remove_old_signatures:
        return []
    count = len(received.positions(b"dkim-signature"))
    return [DeleteField(b"DKIM-Signature", number) for number in range(count, 0, -1)]


def find_identity(transaction: Transaction, header: Header) -> tuple[Auid | None, tuple[int, ...]]:
    """Return what i= is to be, and which fields are to be deleted (IdentityHeader).

    Args:
        transaction: The message.
        header: Its header.
    """
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


def with_identity(signer: Signer, identity: Auid | None) -> Signer:
    """Return the signer with another i=, where that is within its domain (RFC 6376 section 3.5).

    Args:
        signer: The signer.
        identity: From `find_identity`.
    """
    if identity is None or not identity.domain.is_within(signer.domain):
        return signer
    return replace(signer, auid=identity)


class LineEnds:
    """Makes each CR or LF that stands alone a CRLF (FixCRLF)."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""  # a CR whose LF may come

    def feed(self, chunk: bytes) -> bytes:
        """Take the next octets, and return what is known of them."""
        octets = self._held + chunk
        self._held = b"\r" if octets.endswith(b"\r") else b""
        return _to_crlf(octets.removesuffix(b"\r") if self._held else octets)

    def finish(self) -> bytes:
        """Return the rest."""
        return _to_crlf(self._held)


def _to_crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
