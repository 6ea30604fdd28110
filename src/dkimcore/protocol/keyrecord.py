"""Key records and the answers they come in (RFC 6376 sections 3.6.1, 3.6.2 and 6.1.2).

Parses, judges and prints the TXT text.  How it is asked for is left to the
resolvers.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.crypto import PublicKey
from dkimcore.protocol.result import Cause, Unusable
from dkimcore.protocol.taglist import (
    decode_base64,
    parse_tag_list,
    remove_white_space,
    split_list,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkimcore.protocol.signature import Signature

__all__ = ["KeyRecord", "TxtAnswer", "TxtStatus"]

# rspamd 4.1.3: p= of at most 4096 octets; 8192 bits of RSA need 1400.
MAX_PUBLIC_KEY_OCTETS = 4096
# A record of 8 KiB holds the longest p= twice (reference: peers' limits, ADR 0007).
MAX_RECORD_OCTETS = 8192


class TxtStatus(Enum):
    """What became of a key query."""

    FOUND = "found"
    NO_RECORD = "no record"  # NXDOMAIN or no TXT there (RFC 6376 section 6.1.2 step 3)
    FAILED = "failed"  # timeout, SERVFAIL: ask later (step 2)


@dataclass(frozen=True, slots=True)
class TxtAnswer:
    """The answer to a query for TXT records.

    Attributes:
        status: Whether there is any.
        records: One element per record, its character-strings joined (section 3.6.2.2).
        authentic: Whether DNSSEC validated it (the AD bit of a trusted resolver).
        detail: For people: why it failed.
    """

    status: TxtStatus
    records: tuple[bytes, ...] = ()
    authentic: bool = False
    detail: str = ""

    def __post_init__(self) -> None:
        # Resolvers are written by others, and some hand over text or one record alone.
        given: Iterable[object] = self.records
        if isinstance(given, bytes | bytearray | str):
            given = (given,)
        object.__setattr__(self, "records", tuple(map(_octets, given)))


def _octets(record: object) -> bytes:
    if isinstance(record, bytes):
        return record
    if isinstance(record, str):
        return record.encode("utf-8", "surrogateescape")
    return bytes(memoryview(cast("bytearray", record)))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key record (RFC 6376 section 3.6.1).

    Attributes:
        public_key: ``p=``; None when it is empty, which means revoked.
        key_type: ``k=``.
        hash_algorithms: ``h=``; None means all.
        service_types: ``s=``.
        flags: ``t=``.
        notes: ``n=`` as it stands, encoded (section 2.11); never interpreted.
    """

    public_key: PublicKey | None
    key_type: KeyType = KeyType.RSA
    hash_algorithms: tuple[str, ...] | None = None
    service_types: tuple[str, ...] = ("*",)
    flags: tuple[str, ...] = ()
    notes: str = ""

    @classmethod
    def parse(cls, octets: bytes) -> KeyRecord:
        """Parse the text of a key record.

        Raises:
            Unusable: It is not a key record, or not one of a kind this library knows.
        """
        if len(octets) > MAX_RECORD_OCTETS:
            raise Unusable(Cause.LIMIT_EXCEEDED, f"the record has over {MAX_RECORD_OCTETS} octets")
        return _parse(octets)

    @property
    def is_revoked(self) -> bool:
        """Whether ``p=`` is empty."""
        return self.public_key is None

    @property
    def is_testing(self) -> bool:
        """Whether the flag ``y`` is set: the domain is testing DKIM."""
        return "y" in self.flags

    @property
    def is_strict(self) -> bool:
        """Whether the flag ``s`` is set: i= and d= must have the same domain."""
        return "s" in self.flags

    def refusal(self, signature: Signature) -> tuple[Cause, str] | None:
        """Why this record may not be used for a signature (RFC 6376 section 6.1.2 steps 5-9).

        Returns:
            A cause and its detail, or None when the record permits the signature.
        """
        algorithm = signature.algorithm
        if self.service_types != ("*",) and not {"*", "email"} & set(self.service_types):
            return Cause.INAPPROPRIATE_SERVICE_TYPE, "the key record's s= excludes email"
        if self.hash_algorithms is not None and (
            algorithm.hash_algorithm.value not in self.hash_algorithms
        ):
            return Cause.INAPPROPRIATE_HASH_ALGORITHM, "the key record's h= excludes the hash of a="
        if self.public_key is None:
            return Cause.KEY_REVOKED, "p= is empty"
        if self.key_type is not algorithm.key_type:
            return (
                Cause.INAPPROPRIATE_KEY_ALGORITHM,
                f"k={self.key_type} does not fit a={algorithm}",
            )
        if self.is_strict and signature.auid_domain != signature.domain:
            return Cause.DOMAIN_MISMATCH, "the key record's t=s needs i= and d= to be the same"
        return None

    def print(self) -> bytes:
        """Print the record; parsing that gives this record again."""
        parts = [b"v=DKIM1"]
        if self.hash_algorithms is not None:
            parts.append(b"h=" + ":".join(self.hash_algorithms).encode())
        parts.append(b"k=" + self.key_type.encode("ascii"))
        if self.notes:
            parts.append(b"n=" + self.notes.encode())
        if self.service_types != ("*",):
            parts.append(b"s=" + ":".join(self.service_types).encode())
        if self.flags:
            parts.append(b"t=" + ":".join(self.flags).encode())
        encoded = b"" if self.public_key is None else self.public_key.encode()
        parts.append(b"p=" + binascii.b2a_base64(encoded, newline=False))
        return b"; ".join(parts)


# Decoding an RSA key costs more than verifying with it, and the same few records come back all
# day.  A pure function of its argument; at most 1024 records of at most 8 KiB.
@lru_cache(maxsize=1024)
def _parse(octets: bytes) -> KeyRecord:
    cause = Cause.KEY_SYNTAX_ERROR
    tags = parse_tag_list(octets, cause)
    if b"v" in tags and (tags[b"v"] != b"DKIM1" or next(iter(tags)) != b"v"):
        raise Unusable(cause, "v= is not DKIM1 or not the first tag")
    encoded = tags.get(b"p")
    if encoded is None:
        raise Unusable(cause, "p= is missing")
    key_type = tags.get(b"k", b"rsa")
    if key_type not in (b"rsa", b"ed25519"):
        raise Unusable(Cause.INAPPROPRIATE_KEY_ALGORITHM, "k= is unknown")
    kind = KeyType(key_type.decode("ascii"))
    return KeyRecord(
        public_key=_public_key(encoded, kind),
        key_type=kind,
        hash_algorithms=split_list(tags[b"h"]) if b"h" in tags else None,
        service_types=split_list(tags[b"s"]) if b"s" in tags else ("*",),
        flags=split_list(tags[b"t"]) if b"t" in tags else (),
        notes=tags.get(b"n", b"").decode("utf-8", "replace"),
    )


def _public_key(encoded: bytes, key_type: KeyType) -> PublicKey | None:
    encoded = remove_white_space(encoded)
    if not encoded:
        return None
    if len(encoded) > MAX_PUBLIC_KEY_OCTETS:
        raise Unusable(Cause.LIMIT_EXCEEDED, f"p= has over {MAX_PUBLIC_KEY_OCTETS} octets")
    octets = decode_base64(encoded, Cause.KEY_SYNTAX_ERROR, tag="p=")
    return PublicKey.decode(octets, key_type)
