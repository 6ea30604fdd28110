"""The signer as a state machine (RFC 6376 section 5).

`Signing` takes the header, then the body, and ends in one `SigningTask` per
request: 32 octets that wait for a private key, wherever that key is.  Several
requests share one pass over the body.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from dkimcore.errors import MessageError, SettingsError, StateError
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization, canonicalize_field
from dkimcore.protocol.hashing import BodyHash, header_hash
from dkimcore.protocol.message import HeaderField
from dkimcore.protocol.policy import SigningProfile
from dkimcore.protocol.signature import (
    append_signature_data,
    is_queryable,
    print_head,
    print_unsigned,
)
from dkimcore.protocol.taglist import encode_quoted_printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.protocol.message import Header
    from dkimcore.protocol.names import Auid, DomainName, Selector

__all__ = ["SignatureFields", "SignatureRequest", "Signing", "SigningTask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRequest:
    """What one signature is to say.

    Attributes:
        domain: ``d=``.
        selector: ``s=``.
        algorithm: ``a=``; the key's.
        auid: ``i=``; within the domain.
        profile: How to sign.

    Raises:
        SettingsError: The algorithm is historic, the AUID is not within the domain, or the
            key record's name does not fit in the DNS.
    """

    domain: DomainName
    selector: Selector
    algorithm: Algorithm
    auid: Auid | None = None
    profile: SigningProfile = field(default_factory=SigningProfile)
    _head: bytes = field(init=False, repr=False, compare=False)
    _ascii_head: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.algorithm.is_historic:
            raise SettingsError(f"{self.algorithm} must not be used to sign (RFC 8301 section 3.1)")
        if not is_queryable(self.domain, self.selector):
            raise SettingsError(
                f"the name {self.selector}._domainkey.{self.domain} is longer than the DNS can "
                "hold; use a shorter selector"
            )
        if self.auid is not None and not self.auid.domain.is_within(self.domain):
            raise SettingsError(
                f"the AUID {self.auid} is not within the signing domain {self.domain}; "
                "sign with that domain or leave the AUID away (RFC 6376 section 3.5)"
            )
        # Once for all messages: printing the whole field took 11 us, of which these are half.
        head = self._print_head(self.domain, self.selector, self.auid)
        ascii_head = self._print_head(
            self.domain.a_labels,
            self.selector.a_labels,
            None if self.auid is None else self.auid.a_labels,
        )
        object.__setattr__(self, "_head", head)
        object.__setattr__(self, "_ascii_head", ascii_head)

    def _print_head(self, domain: DomainName, selector: Selector, auid: Auid | None) -> bytes:
        profile = self.profile
        return print_head(
            algorithm=self.algorithm,
            canonicalizations=(profile.header_canonicalization, profile.body_canonicalization),
            domain=domain,
            selector=selector,
            auid=auid,
        )

    def head(self, *, is_ascii: bool) -> bytes:
        """Return how the field begins, up to i=.

        Args:
            is_ascii: Whether the message's header is: U-labels stand in internationalised
                messages alone (RFC 8616 section 5).
        """
        return self._ascii_head if is_ascii else self._head


@dataclass(frozen=True, slots=True)
class SigningTask:
    """A signature that waits for its private key.

    Attributes:
        request: The request it answers.
        header_hash: The 32 octets to sign.
    """

    request: SignatureRequest
    header_hash: bytes
    _unsigned_field: bytes = field(repr=False)

    def complete(self, signature_data: bytes) -> HeaderField:
        """Return the DKIM-Signature field to put on top of the message.

        Args:
            signature_data: What the key made of `header_hash`.
        """
        return HeaderField(append_signature_data(self._unsigned_field, signature_data))


class SignatureFields(tuple[HeaderField, ...]):
    """The DKIM-Signature fields made for a message, in the order of the signers."""

    __slots__ = ()

    @property
    def octets(self) -> bytes:
        """The fields as they go in front of the message, each with its CRLF."""
        return b"".join(made.raw + b"\r\n" for made in self)


class Signing:
    """Prepares signatures of one message.

    `feed` the body, then `finish`, once.

    Args:
        header: The message's header, in final form.
        requests: The signatures wanted.
        now: The time of signing, in seconds since 1970.
        header_too_large: Whether the header section was cut off at the limit.
        final: Whether the message cannot be changed any more, as in a milter, so that nobody
            could mend what is refused otherwise: a CR in the header that is not part of a
            CRLF, and a CR or LF in the body, are then hashed as they are.

    Raises:
        MessageError: The header is too large, or cannot be signed honestly: no From field or
            several (RFC 5322 section 3.6), a bare CR or LF (RFC 6376 section 5.3; of a final
            message, a bare LF), or white space at its very beginning.
    """

    __slots__ = (
        "_body_hashes",
        "_final",
        "_finished",
        "_hashes",
        "_header",
        "_last",
        "_now",
        "_requests",
    )

    def __init__(
        self,
        header: Header,
        requests: Sequence[SignatureRequest],
        *,
        now: int,
        header_too_large: bool = False,
        final: bool = False,
    ) -> None:
        if header_too_large:
            raise MessageError(
                "the header section is larger than verifiers accept; remove header fields "
                "(the limit is header_octets of dkimcore.Limits)"
            )
        froms = len(header.positions(b"from"))
        if froms != 1:
            raise MessageError(
                f"the message has {froms} From fields; give it exactly one before it is signed "
                "(RFC 5322 section 3.6)"
            )
        if header.has_bare_cr_or_lf and not (final and _holds_no_bare_lf(header)):
            raise MessageError(_BARE % "header section")
        if header.octets.startswith((b" ", b"\t")):
            raise MessageError(
                "the message begins with white space, so that its first line would continue the "
                "signature above it; remove that line (RFC 5322 section 2.2.3)"
            )
        self._header = header
        self._requests = requests
        self._now = now
        self._finished = False
        self._final = final
        self._last = b""
        self._body_hashes: dict[tuple[Canonicalization, int | None], BodyHash] = {}
        self._hashes: dict[tuple[Canonicalization, int | None], bytes] = {}
        for request in requests:
            lane = _lane(request)
            if lane not in self._body_hashes:
                canonicalization, octets = lane
                self._body_hashes[lane] = BodyHash(
                    canonicalization, request.algorithm.hash_algorithm, octets
                )

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body, in wire form.

        Raises:
            MessageError: The body holds a bare CR or LF.
            StateError: `finish` was called before.
        """
        if self._finished:
            raise StateError("feed() after finish()")
        if not self._final:
            self._refuse_bare(chunk)
        for body_hash in self._body_hashes.values():
            body_hash.feed(chunk)

    def _refuse_bare(self, chunk: bytes) -> None:
        octets = self._last + chunk if self._last else chunk
        self._last = b"\r" if octets.endswith(b"\r") else b""
        # Each CR stands before a LF; then there are no other LFs if they come in pairs.  Three
        # calls of `count` say the same and take twice the time.
        line_ends = octets.translate(None, _ALL_BUT_CR_AND_LF)
        pairs = len(line_ends) // 2
        if _CR_ALONE.search(octets) or line_ends != b"\r\n" * pairs + self._last:
            raise MessageError(_BARE % "body")

    def finish(self) -> tuple[SigningTask, ...]:
        """End the body and return one task per request, in their order.

        Raises:
            MessageError: The body ends in a bare CR.
            StateError: `finish` was called before.
        """
        if self._finished:
            raise StateError("finish() was called twice")
        if self._last:
            raise MessageError(_BARE % "body")
        self._finished = True
        self._hashes = {lane: made.finish() for lane, made in self._body_hashes.items()}
        return tuple(map(self.further, self._requests))

    def further(self, request: SignatureRequest) -> SigningTask:
        """Return the task of one request more, when the body has ended.

        Args:
            request: Its profile treats the body as that of another request did.

        Raises:
            StateError: It does not, or `finish` was not called yet.
        """
        lane = _lane(request)
        body_hash = self._hashes.get(lane)
        if body_hash is None:
            raise StateError("the body was not hashed for this request")
        return self._task(request, body_hash, self._body_hashes[lane].total)

    def _task(self, request: SignatureRequest, body_hash: bytes, total: int) -> SigningTask:
        profile = request.profile
        names, positions = self._select_fields(profile)
        unsigned_field = print_unsigned(
            request.head(is_ascii=self._header.octets.isascii()),
            timestamp=self._now,
            expiration=None if profile.lifetime is None else self._now + profile.lifetime,
            body_length=_body_length(profile, total),
            body_hash=body_hash,
            signed_fields=tuple(names),
            copied_fields=self._copied_fields(positions) if profile.copied_fields else None,
        )
        digest = header_hash(
            self._header,
            positions,
            canonicalize_field(unsigned_field, profile.header_canonicalization),
            canonicalization=profile.header_canonicalization,
            hash_algorithm=request.algorithm.hash_algorithm,
        )
        return SigningTask(request, digest, unsigned_field)

    def _select_fields(self, profile: SigningProfile) -> tuple[list[bytes], list[int]]:
        """Choose h= and the fields it selects (RFC 6376 section 5.4.2).

        Every instance of the profile's fields is signed, from the bottom upwards; what is
        named once more selects nothing.
        """
        index, chosen = self._header.index, profile.field_octets
        names = list(filter(chosen.__contains__, index))
        selected = list(chain.from_iterable(map(index.__getitem__, names)))
        if len(selected) != len(names):  # a name for each instance
            selected = [position for name in names for position in reversed(index[name])]
            names = [name for name in names for _ in index[name]]
        names += profile.oversigned_octets
        return names, selected

    def _copied_fields(self, positions: Sequence[int]) -> bytes:
        fields = (self._header[position] for position in positions)
        return b"|".join(
            encode_quoted_printable(field.name, also=b"|")
            + b":"
            + encode_quoted_printable(field.value.strip(b" \t"), also=b"|")
            for field in fields
        )


def _holds_no_bare_lf(header: Header) -> bool:
    # Unlike a CR, it ends a line for many readers, who would see a field that is not signed.
    return header.octets.count(b"\n") == header.octets.count(b"\r\n")


def _lane(request: SignatureRequest) -> tuple[Canonicalization, int | None]:
    """Which body hash a request needs; requests share them."""
    return request.profile.body_canonicalization, request.profile.body_octets


def _body_length(profile: SigningProfile, total: int) -> int | None:
    """What l= says; None leaves it away (RFC 6376 section 3.5)."""
    if profile.body_octets is not None:
        return min(total, profile.body_octets)
    return total if profile.body_length else None


_CR_ALONE = re.compile(rb"\r[^\n]")
_ALL_BUT_CR_AND_LF = bytes(octet for octet in range(256) if octet not in b"\r\n")

_BARE = (
    "the %s holds a CR or LF that is not part of a CRLF; convert line ends to CRLF before "
    "signing (RFC 6376 section 5.3), as dkimcore.to_crlf does"
)
