"""What a Transit engine tells of a key: its type, and the public half of each version."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from dkimcore.errors import KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.protocol.crypto import PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.keys.vault.channel import Document

__all__ = ["KEY_TYPES", "TransitKeys"]

KEY_TYPES: Final = ("rsa-2048", "rsa-3072", "rsa-4096", "ed25519")
"""The types that sign what DKIM takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitKeys:
    """A key of a Transit engine.

    Attributes:
        uri: What errors name.
        kind: Its type.
        latest: The number of the newest version.
        halves: From a version to its public half, as the server writes it.
    """

    uri: str
    kind: str
    latest: int
    halves: Mapping[int, str] = field(repr=False)

    @classmethod
    def of(cls, document: Document, *, uri: str) -> TransitKeys:
        """Read what the server answered.

        Args:
            document: The answer.
            uri: What errors name.

        Raises:
            KeyUnusable: The key cannot make DKIM signatures.
            KeyUnavailable: This is no such answer.
        """
        data = document.get("data")
        kind = data.get("type") if isinstance(data, dict) else None
        versions = data.get("keys") if isinstance(data, dict) else None
        if (
            not isinstance(data, dict)
            or not isinstance(kind, str)
            or not isinstance(versions, dict)
        ):
            raise KeyUnavailable(
                "the server's answer describes no key; see what is mounted there", uri=uri
            )
        if kind not in KEY_TYPES:
            raise KeyUnusable(
                f"the key is of type {kind[:40]}; DKIM needs one of: {', '.join(KEY_TYPES)}",
                uri=uri,
            )
        if data.get("derived") is True:
            raise KeyUnusable(
                "a derived key makes no DKIM signatures; make one without derived=true", uri=uri
            )
        if data.get("soft_deleted") is True:
            raise KeyNotFound("the key is deleted softly; restore it, or make another", uri=uri)
        # Numbers as texts: in the order of texts "9" comes behind "10".
        halves = {
            int(number): version["public_key"]
            for number, version in versions.items()
            if number.isdecimal()
            and isinstance(version, dict)
            and isinstance(version.get("public_key"), str)
        }
        if not halves:
            raise KeyUnavailable("the server tells no public half of the key", uri=uri)
        return cls(uri=uri, kind=kind, latest=max(halves), halves=halves)

    def public_key(self, version: int) -> PublicKey:
        """Return the public half of a version.

        Args:
            version: Its number.

        Raises:
            KeyNotFound: There is no such version.
            KeyUnusable: It is damaged.
        """
        text = self.halves.get(version)
        if text is None:
            raise KeyNotFound(
                f"the key has no version {version}, but {min(self.halves)} to {self.latest}; "
                "correct version=",
                uri=self.uri,
            )
        try:
            if self.kind == "ed25519":
                octets = a2b_base64(text, strict_mode=True)
                return PublicKey.of(Ed25519PublicKey.from_public_bytes(octets))
            key = load_pem_public_key(text.encode())
        except (Base64Error, ValueError, UnsupportedAlgorithm):
            key = None
        if isinstance(key, RSAPublicKey):
            return PublicKey.of(key)
        raise KeyUnusable(
            f"the public half of version {version} cannot be read; see the server's version",
            uri=self.uri,
        )
