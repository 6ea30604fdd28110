"""Try whether a signature fits a header with some fields changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.protocol.canonical import Canonicalization, canonicalize_field
from dkimcore.protocol.hashing import header_hash, select_fields
from dkimcore.protocol.message import Header, HeaderField
from dkimcore.protocol.taglist import without_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.diagnosis.finding import Budget
    from dkimcore.diagnosis.keyfit import KeyFit
    from dkimcore.protocol.signature import Signature

__all__ = ["Trial"]


class Trial:
    """The signed fields of a signature, and what they hash to when some are replaced.

    Args:
        header: The header.
        signature: The signature.
        own_position: Where it stands.
        fit: Knows the hash that was signed.
        budget: What may be hashed.

    Attributes:
        names: ``h=`` in lower case.
        positions: For each name where its field stands; None where there is none.
        own_index: The index that stands for the signature's own field.
        own_field: That field.
        is_simple: Whether header canonicalization is simple.
        key_is_sure: Whether the signature was certainly made with this key.
    """

    def __init__(
        self,
        header: Header,
        signature: Signature,
        *,
        own_position: int,
        fit: KeyFit,
        budget: Budget,
    ) -> None:
        self._header = header
        self._signature = signature
        self._fit = fit
        self._budget = budget
        self.names = [name.lower() for name in signature.signed_fields]
        self.positions = _positions(header, self.names, own_position)
        self.own_index = len(self.names)
        self.own_field = header[own_position]
        self.is_simple = signature.header_canonicalization is Canonicalization.SIMPLE
        self.key_is_sure = fit.signed_hash is not None
        self._canonical = self._canonicalize(signature.header_canonicalization)

    def fields(self) -> list[tuple[int, HeaderField]]:
        """The signed fields that are there, with their index in ``h=``."""
        return [
            (index, self._header[position])
            for index, position in enumerate(self.positions)
            if position is not None
        ]

    def name_of(self, index: int) -> bytes:
        """The name at an index in ``h=``, or the signature's own."""
        return b"dkim-signature" if index == self.own_index else self.names[index]

    def fits(self, replaced: Mapping[int, bytes | None]) -> bool:
        """Whether the signature fits with some fields replaced.

        Args:
            replaced: From an index in ``h=``, or `own_index`, to the field as it may have
                been; None takes it away.
        """
        canonicalization = self._signature.header_canonicalization
        canonical = list(self._canonical)
        for index, raw in replaced.items():
            if raw is None:
                canonical[index] = None
            elif index == self.own_index:
                canonical[index] = _without_data(raw, canonicalization)
            else:
                canonical[index] = canonicalize_field(raw, canonicalization)
        return self._hash_fits(canonical)

    def fits_with(self, canonicalization: Canonicalization) -> bool:
        """Whether the signature fits under a canonicalization, with nothing changed."""
        return self._hash_fits(self._canonicalize(canonicalization))

    def _canonicalize(self, canonicalization: Canonicalization) -> list[bytes | None]:
        canonical: list[bytes | None] = [
            None
            if position is None
            else canonicalize_field(self._header[position].raw, canonicalization)
            for position in self.positions
        ]
        canonical.append(_without_data(self.own_field.raw, canonicalization))
        return canonical

    def _hash_fits(self, canonical: list[bytes | None]) -> bool:
        lines = [line for line in canonical if line is not None]
        if not self._budget.spend(sum(map(len, lines)) + self._fit.cost):
            return False
        made = header_hash(
            _NO_HEADER,
            (),
            b"\r\n".join(lines),
            canonicalization=self._signature.header_canonicalization,
            hash_algorithm=self._signature.algorithm.hash_algorithm,
        )
        return self._fit.fits(made)


_NO_HEADER = Header(b"")


def _without_data(raw: bytes, canonicalization: Canonicalization) -> bytes:
    name, colon, value = canonicalize_field(raw, canonicalization).partition(b":")
    return name + colon + without_value(value, b"b")


def _positions(header: Header, names: list[bytes], own_position: int) -> list[int | None]:
    """Bind each name of ``h=`` to a field, exactly as `select_fields` does."""
    positions: list[int | None] = []
    selected = 0
    for count in range(1, len(names) + 1):
        chosen = select_fields(header, names[:count], own_position=own_position)
        positions.append(chosen[-1] if len(chosen) > selected else None)
        selected = len(chosen)
    return positions
