"""One DKIM-Signature field on its way to a result.

What is known about it so far; how it is judged is left to `verify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.protocol.result import SignatureResult, Status

if TYPE_CHECKING:
    from dkimcore.protocol.hashing import BodyHash
    from dkimcore.protocol.keyrecord import KeyRecord
    from dkimcore.protocol.result import Cause
    from dkimcore.protocol.signature import Signature

__all__ = ["Candidate"]


@dataclass(slots=True, kw_only=True)
class Candidate:
    """What is known about one signature.

    Attributes:
        position: Which DKIM-Signature field it is, counted from 0 at the top.
        field_position: Which field of the header it is.
        key_query: The name at which its key record stands.
        signature: The parsed field, where it could be parsed.
        positions: The fields that it signs, in the order of h=.
        unsigned_fields: As in `SignatureResult`.
        key_record: The key record that was used.
        authentic: Whether DNSSEC validated the key record.
        body_hash: The hash of the body as it needs it; shared with other candidates.
        body_octets: Canonical body octets, where the body was read to its end.
        cause: Why it does not pass, as soon as that is known.
        detail: The cause for people.
        answered: Whether its key query was answered.
    """

    position: int
    field_position: int
    key_query: str = ""
    signature: Signature | None = None
    positions: list[int] | None = None
    unsigned_fields: tuple[str, ...] = ()
    key_record: KeyRecord | None = None
    authentic: bool = False
    body_hash: BodyHash | None = None
    body_octets: int | None = None
    cause: Cause | None = None
    detail: str = ""
    answered: bool = False

    def conclude(self, cause: Cause, detail: str) -> None:
        """Say that it does not pass, and why."""
        self.cause = cause
        self.detail = detail

    def result(self) -> SignatureResult:
        """Return what it came to: a pass, if nothing was found against it."""
        signature, record = self.signature, self.key_record
        return SignatureResult(
            status=Status.PASS if self.cause is None else self.cause.status,
            cause=self.cause,
            detail=self.detail,
            position=self.position,
            signature=signature,
            key_record=record,
            authentic=self.authentic,
            body_signed=None if signature is None else signature.body_length,
            body_octets=self.body_octets,
            testing=record is not None and record.is_testing,
            unsigned_fields=self.unsigned_fields,
        )
