"""What we refuse though the RFCs allow it, how we sign, and every limit.

Frozen settings with safe defaults.  Decision 4 and ADR 0007 give the reasons
for the numbers; each refusal names its `Cause`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from dkimcore.errors import SettingsError
from dkimcore.protocol.canonical import Canonicalization

__all__ = ["Limits", "SigningProfile", "VerifyPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one message may cost (RFC 6376 sections 8.4 and 8.13).

    Attributes:
        header_octets: The header section.  viadkim: 262 144; OpenDKIM: 65 536.
        signatures: DKIM-Signature fields evaluated, from the top.  rspamd: 5; OpenDKIM: 3.
        signature_octets: One DKIM-Signature field.
        signed_fields: Names in one ``h=``.  rspamd: 1000, of which real mail needs 60.
        queries: Distinct key queries.  RFC 6376 section 8.4 is about their abuse.
        body_octets: Octets of body that are hashed; None leaves it to the MTA's limit on
            messages, since a body is never held in memory.
        key_records: Records tried of one answer that holds several key records.
    """

    header_octets: int = 262_144
    signatures: int = 5
    signature_octets: int = 16_384
    signed_fields: int = 200
    queries: int = 5
    body_octets: int | None = None
    key_records: int = 2

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and value < 1:
                raise SettingsError(f"the limit {limit.name} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyPolicy:
    """Which signatures we accept.

    Attributes:
        min_rsa_bits: Shorter keys are KEY_TOO_SHORT; never below 1024 (RFC 8301 section 3.2).
        max_rsa_bits: Longer keys are KEY_UNACCEPTABLE.
        clock_skew: Seconds by which clocks may differ, for t= and x=.
        allow_expired: Accept a signature past its x=.
        allow_future: Accept a signature whose t= lies ahead.
        allow_body_length: Accept l=, which leaves the end of the body unsigned
            (RFC 6376 section 8.2); otherwise UNSIGNED_CONTENT.
        allow_historic: Accept rsa-sha1, for archives; otherwise HISTORIC_ALGORITHM.
        must_be_signed: Fields, in lower case, of which every instance in the message must be
            signed; otherwise UNACCEPTABLE_SIGNATURE.
        limits: What one message may cost; otherwise LIMIT_EXCEEDED.
    """

    min_rsa_bits: int = 1024
    max_rsa_bits: int = 8192
    clock_skew: int = 300
    allow_expired: bool = False
    allow_future: bool = False
    allow_body_length: bool = False
    allow_historic: bool = False
    must_be_signed: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.min_rsa_bits < 1024:
            raise SettingsError("min_rsa_bits below 1024 is forbidden by RFC 8301 section 3.2")
        if not self.min_rsa_bits <= self.max_rsa_bits <= 16_384:
            raise SettingsError("max_rsa_bits must lie between min_rsa_bits and 16384")
        if self.clock_skew < 0:
            raise SettingsError("clock_skew is a number of seconds, 0 or more")
        if any(name != name.lower() for name in self.must_be_signed):
            raise SettingsError("must_be_signed holds field names in lower case")


# RFC 6376 section 5.4.1, the MIME fields of RFC 2045, and RFC 8058's List-Unsubscribe-Post.
# Sender is left out: mailing lists replace it.
_FIELDS = (
    "from reply-to subject date to cc resent-date resent-from resent-sender resent-to resent-cc "
    "in-reply-to references list-id list-help list-unsubscribe list-unsubscribe-post "
    "list-subscribe list-post list-owner list-archive message-id mime-version content-type "
    "content-transfer-encoding content-id content-description content-disposition"
)
# Decision 4: what people see, and what changes how the body is read.  Never Sender or List-*,
# which mailing lists add.
_OVERSIGNED = (
    "from reply-to subject date to cc message-id mime-version content-type "
    "content-transfer-encoding"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningProfile:
    """How we sign.

    Attributes:
        header_canonicalization: The first half of c=.
        body_canonicalization: The second half of c=.
        fields: Names, in lower case, of the fields to sign; every instance is signed.
        oversigned_fields: Names, in lower case, to list once more than there are instances,
            so that adding one breaks the signature (RFC 6376 section 5.4.2).  Their instances
            are signed, too.
        lifetime: Seconds from t= to x=; None sets no x=.
        body_length: Set l= to the length of the canonical body.  Unsafe (section 8.2).
        body_octets: Sign no more than so many octets of the canonical body, and set l= to how
            many they are.  Unsafe (section 8.2).
        copied_fields: Write z=, a copy of the signed fields.
    """

    header_canonicalization: Canonicalization = Canonicalization.RELAXED
    body_canonicalization: Canonicalization = Canonicalization.RELAXED
    fields: tuple[str, ...] = tuple(_FIELDS.split())
    oversigned_fields: tuple[str, ...] = tuple(_OVERSIGNED.split())
    lifetime: int | None = None
    body_length: bool = False
    body_octets: int | None = None
    copied_fields: bool = False
    field_octets: frozenset[bytes] = field(init=False, repr=False, compare=False)
    oversigned_octets: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if "from" not in self.fields:
            raise SettingsError("fields must hold 'from': RFC 6376 section 5.4 requires it")
        for name in (*self.fields, *self.oversigned_fields):
            if not name.isascii() or not name.isprintable() or name != name.lower():
                raise SettingsError(f"{name!r} is not a field name in lower case")
            if not name or {" ", ":", ";"} & set(name):
                raise SettingsError(f"{name!r} is not a field name")
        if "dkim-signature" in (*self.fields, *self.oversigned_fields):
            raise SettingsError("a signature is not made over DKIM-Signature fields")
        if self.lifetime is not None and self.lifetime < 1:
            raise SettingsError("lifetime is a number of seconds, at least 1: x= must exceed t=")
        if self.body_octets is not None and self.body_octets < 0:
            raise SettingsError("body_octets is a number of octets, 0 or more")
        signed = (*self.fields, *self.oversigned_fields)
        object.__setattr__(self, "field_octets", frozenset(map(str.encode, signed)))
        object.__setattr__(
            self, "oversigned_octets", tuple(map(str.encode, self.oversigned_fields))
        )
