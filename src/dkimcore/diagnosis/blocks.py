"""Find lines that were added to a body: a footer, a banner, a part of a multipart.

Hashes what is left without them.  A footer takes one pass; a block elsewhere is looked for
where such blocks are put, then wherever the budget lets it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dkimcore.protocol.algorithm import HashAlgorithm
from dkimcore.protocol.canonical import BodyCanonicalizer, Canonicalization

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.diagnosis.finding import Budget
    from dkimcore.protocol.signature import Signature

__all__ = ["Block", "CanonicalLines", "find_added_block"]

_HASHES = {HashAlgorithm.SHA256: hashlib.sha256, HashAlgorithm.SHA1: hashlib.sha1}

# What starting and ending a hash takes, in octets hashed.
_PER_HASH = 800

_LONGEST_BLOCK = 80  # lines of a block that is not at the end
_MOST_LINES = 500_000


class _Hash(Protocol):
    def copy(self) -> _Hash: ...
    def update(self, octets: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines that were added.

    Attributes:
        line: The first of them, counted from 1.
        count: How many.
        at_end: Whether they are at the end of the body.
        first_line: The first that is not empty, canonical.
    """

    line: int
    count: int
    at_end: bool
    first_line: bytes


class CanonicalLines:
    """The canonical body in lines.

    Args:
        body: As it arrived.
        canonicalization: The body's half of c=.
    """

    __slots__ = ("canonicalization", "ends", "lines", "octets")

    def __init__(self, body: bytes, canonicalization: Canonicalization) -> None:
        pieces: list[bytes] = []
        canonicalizer = BodyCanonicalizer(canonicalization, pieces.append)
        canonicalizer.feed(body)
        canonicalizer.finish()
        self.canonicalization = canonicalization
        self.octets = b"".join(pieces)
        self.lines = self.octets.removesuffix(b"\r\n").split(b"\r\n") if self.octets else []
        self.ends: list[int] = []
        end = 0
        for line in self.lines:
            end += len(line) + 2
            self.ends.append(end)

    def start(self, line: int) -> int:
        """Where a line begins, counted from 0."""
        return self.ends[line - 1] if line else 0

    def fits_with_lf(self, signature: Signature) -> bool:
        """Whether ``bh=`` is the hash of this body with LF for CRLF."""
        octets = self.octets.replace(b"\r\n", b"\n")[: signature.body_length]
        made = _HASHES[signature.algorithm.hash_algorithm](octets).digest()
        return made == signature.body_hash


def find_added_block(
    lines: CanonicalLines,
    body_hash: bytes,
    hash_algorithm: HashAlgorithm,
    *,
    budget: Budget,
    only_at_the_end: bool = False,
) -> Block | None:
    """Find lines without which a body has this hash.

    Args:
        lines: The body.
        body_hash: The hash of the body before.
        hash_algorithm: Of which kind it is.
        budget: What may be hashed.
        only_at_the_end: Look for a footer only.
    """
    if len(lines.lines) > _MOST_LINES:
        budget.exhausted = True
        return None
    search = _Search(lines, body_hash, hash_algorithm, budget)
    footer = search.footer()
    if footer is not None or only_at_the_end:
        return footer
    return search.elsewhere()


class _Search:
    def __init__(
        self, lines: CanonicalLines, body_hash: bytes, algorithm: HashAlgorithm, budget: Budget
    ) -> None:
        self._lines = lines
        self._wanted = body_hash
        self._new = _HASHES[algorithm]
        self._budget = budget
        self._view = memoryview(lines.octets)

    def _block(self, first: int, behind: int) -> Block:
        lines = self._lines.lines
        shown = next((line for line in lines[first:behind] if line.strip()), b"")
        return Block(
            line=first + 1,
            count=behind - first,
            at_end=behind == len(lines),
            first_line=shown,
        )

    def footer(self) -> Block | None:
        """Hash every beginning that ends in a line which is not empty."""
        lines, count = self._lines.lines, len(self._lines.lines)
        empty = b"\r\n" if self._lines.canonicalization is Canonicalization.SIMPLE else b""
        if count and self._new(empty).digest() == self._wanted:
            return self._block(0, count)
        running: _Hash = self._new()
        for number, line in enumerate(lines[:-1]):
            if not self._budget.spend(len(line) + 2 + _PER_HASH):
                return None
            running.update(line + b"\r\n")
            if line and running.copy().digest() == self._wanted:
                return self._block(number + 1, count)
        return None

    def elsewhere(self) -> Block | None:
        """Leave out blocks where such are put: before a boundary, at the top, anywhere."""
        count = len(self._lines.lines)
        boundaries = [
            number for number, line in enumerate(self._lines.lines) if line.startswith(b"--")
        ][:200]
        starts: dict[int, set[int]] = {}
        for number, boundary in enumerate(boundaries):
            for other in boundaries[max(0, number - 10) : number]:
                starts.setdefault(other, set()).add(boundary)  # whole parts
            for first in range(max(0, boundary - 60), boundary):
                starts.setdefault(first, set()).add(boundary)
        for behind in range(1, min(count, _LONGEST_BLOCK)):
            starts.setdefault(0, set()).add(behind)
        for first in sorted(starts):
            block = self._leave_out(first, sorted(starts[first]))
            if block is not None:
                return block
        for first in range(count):
            behinds = range(first + 1, min(count, first + _LONGEST_BLOCK))
            block = self._leave_out(first, behinds)
            if block is not None or self._budget.exhausted:
                return block
        return None

    def _leave_out(self, first: int, behinds: Iterator[int] | list[int] | range) -> Block | None:
        start = self._lines.start(first)
        if not self._budget.spend(start):
            return None
        before: _Hash = self._new(self._view[:start])
        for behind in behinds:
            rest = self._view[self._lines.start(behind) :]
            if not self._budget.spend(len(rest) + _PER_HASH):
                return None
            trial = before.copy()
            trial.update(rest)
            if trial.digest() == self._wanted:
                return self._block(first, behind)
        return None
