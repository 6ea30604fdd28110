"""The two hashes of a signature (RFC 6376 section 3.7).

`BodyHash` for step 1, over a body that arrives in chunks; `header_hash` for
step 2, over the signed fields and the signature itself.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dkimcore.protocol.algorithm import HashAlgorithm
from dkimcore.protocol.canonical import BodyCanonicalizer, Canonicalization

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkimcore.protocol.message import Header

__all__ = ["BodyHash", "header_hash", "select_fields"]

_CONSTRUCTORS = {HashAlgorithm.SHA256: hashlib.sha256, HashAlgorithm.SHA1: hashlib.sha1}


class BodyHash:
    """The hash of a canonical body, or of its first octets (RFC 6376 section 3.7 step 1).

    Args:
        canonicalization: The body's half of c=.
        hash_algorithm: The hash of a=.
        length: ``l=``: how many canonical octets are covered; None means all.

    Attributes:
        total: Canonical octets seen so far, covered or not.
    """

    __slots__ = ("_canonicalizer", "_hash", "_left", "total")

    def __init__(
        self,
        canonicalization: Canonicalization,
        hash_algorithm: HashAlgorithm,
        length: int | None = None,
    ) -> None:
        self._hash = _CONSTRUCTORS[hash_algorithm]()
        self._left = length
        self.total = 0
        self._canonicalizer = BodyCanonicalizer(canonicalization, self._take)

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body, as they stand in the message."""
        self._canonicalizer.feed(chunk)

    def finish(self) -> bytes:
        """End the body and return its hash."""
        self._canonicalizer.finish()
        return self._hash.digest()

    def _take(self, octets: bytes) -> None:
        self.total += len(octets)
        if self._left is not None:
            octets = octets[: self._left]
            self._left -= len(octets)
        self._hash.update(octets)


def select_fields(header: Header, names: Iterable[bytes], *, own_position: int = -1) -> list[int]:
    """Select the signed fields (RFC 6376 section 5.4.2).

    Of each name the instances are taken from the bottom of the header upwards, each once;
    a name that has no instance left contributes nothing.

    Args:
        header: The message's header.
        names: ``h=`` in lower case.
        own_position: Where the signature itself stands; it never covers itself (section 3.7).

    Returns:
        Positions in the header, in the order of ``h=``.
    """
    index = header.index
    left: dict[bytes, list[int]] = {}
    selected = []
    for name in names:
        instances = left.get(name)
        if instances is None:
            found = index.get(name)
            if found is None:
                continue
            left[name] = instances = [*found]
            if own_position in found:
                instances.remove(own_position)
        if instances:
            selected.append(instances.pop())
    return selected


def header_hash(
    header: Header,
    positions: Iterable[int],
    own_field: bytes,
    *,
    canonicalization: Canonicalization,
    hash_algorithm: HashAlgorithm,
) -> bytes:
    """Hash the signed fields and the signature (RFC 6376 section 3.7 step 2).

    Args:
        header: The message's header.
        positions: The signed fields, as `select_fields` gives them.
        own_field: The canonical DKIM-Signature field with its b= value deleted.
        canonicalization: The header's half of c=.
        hash_algorithm: The hash of a=.
    """
    fields = header.canonical(canonicalization)
    canonical = [fields[position] for position in positions]
    canonical.append(own_field)
    # Every field but the last ends in CRLF.
    return _CONSTRUCTORS[hash_algorithm](b"\r\n".join(canonical)).digest()
