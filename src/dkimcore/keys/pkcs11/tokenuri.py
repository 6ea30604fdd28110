"""Which key of which token a ``pkcs11:`` URI names: its path (RFC 7512 section 2.3).

Parses, prints and compares.  What stands behind the "?" is left to `settings`.  Stricter than
the RFC asks: an attribute that we do not know is refused and not passed over, for it would make
the name mean more keys than its author wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from dkimcore.errors import KeyUriError

if TYPE_CHECKING:
    from dkimcore.keys.pkcs11.cryptoki import LibraryInfo, SlotInfo, TokenInfo

__all__ = ["TokenUri"]

# What may stand unencoded: unreserved and pk11-path-res-avail.
_PLAIN = ":[]@!$'()*+,=&"
_VALUE = re.compile(rf"(?:[A-Za-z0-9._~{re.escape(_PLAIN)}-]|%[0-9A-Fa-f]{{2}})*")
_LONE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_VERSION = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?")
_SLOT = re.compile(r"[0-9]{1,20}")

# In octets.  The first are the fixed sizes of the structures of PKCS #11: what is longer names
# nothing.  Labels and ids have no such size; those of keys in use have 64 octets at most.
_SIZES = {
    "token": 32,
    "manufacturer": 32,
    "model": 16,
    "serial": 16,
    "slot-manufacturer": 32,
    "slot-description": 64,
    "library-manufacturer": 32,
    "library-description": 32,
    "object": 256,
    "id": 256,
}
_OTHERS = ("slot-id", "library-version", "type")
_MAX_SLOT = 2**64 - 1  # CK_ULONG
_MAX_VERSION = 255  # CK_BYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUri:
    """A parsed path.  None stands for an attribute that the URI does not have.

    Attributes:
        token: CK_TOKEN_INFO's label.
        manufacturer: CK_TOKEN_INFO's.
        model: CK_TOKEN_INFO's.
        serial: CK_TOKEN_INFO's.
        slot_id: The CK_SLOT_ID.
        slot_manufacturer: CK_SLOT_INFO's.
        slot_description: CK_SLOT_INFO's.
        library_manufacturer: CK_INFO's.
        library_description: CK_INFO's.
        library_version: CK_INFO's; without a second number, that is 0.
        object: CKA_LABEL of the key.
        id: CKA_ID of the key, in octets.
    """

    token: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None
    slot_id: int | None = None
    slot_manufacturer: str | None = None
    slot_description: str | None = None
    library_manufacturer: str | None = None
    library_description: str | None = None
    library_version: tuple[int, int] | None = None
    object: str | None = None
    id: bytes | None = None

    @classmethod
    def parse(cls, path: str) -> TokenUri:
        """Parse what stands between ``pkcs11:`` and the "?".

        Args:
            path: It, as written.

        Raises:
            KeyUriError: It is malformed, has an attribute twice or one that names no key, or a
                value that no token can have.
        """
        found: dict[str, str | int | bytes | tuple[int, int] | None] = {}
        seen = set()
        for attribute in path.split(";"):
            name, equals, value = attribute.partition("=")
            if not equals:
                raise KeyUriError("a pkcs11: URI is written name=value;name=value?...")
            if name not in _SIZES and name not in _OTHERS:
                known = ", ".join((*_SIZES, *_OTHERS))
                raise KeyUriError(
                    f"a pkcs11: URI has no attribute {_shown(name)} (RFC 7512 section 2.3); those "
                    f"it has: {known}"
                )
            if name in seen:
                raise KeyUriError(f"{name} stands twice in a pkcs11: URI")
            seen.add(name)
            found[name.replace("-", "_")] = _value(name, value)
        found.pop("type", None)
        return cls(**found)  # type: ignore[arg-type]

    def names_token(self, slot: int, info: SlotInfo, token: TokenInfo) -> bool:
        """Whether a token in its slot is one that the URI means.

        Args:
            slot: The slot's number.
            info: The slot.
            token: The token.
        """
        wanted: tuple[tuple[object, object], ...] = (
            (self.token, token.label),
            (self.manufacturer, token.manufacturer),
            (self.model, token.model),
            (self.serial, token.serial),
            (self.slot_id, slot),
            (self.slot_manufacturer, info.manufacturer),
            (self.slot_description, info.description),
        )
        return all(value is None or value == actual for value, actual in wanted)

    def names_library(self, library: LibraryInfo) -> bool:
        """Whether a module is one that the URI means.

        Args:
            library: What the module says about itself.
        """
        wanted: tuple[tuple[object, object], ...] = (
            (self.library_manufacturer, library.manufacturer),
            (self.library_description, library.description),
            (self.library_version, library.version),
        )
        return all(value is None or value == actual for value, actual in wanted)

    def __str__(self) -> str:
        """The path in its one spelling, with ``type=private`` at its end."""
        parts = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                parts.append(f"{field.name.replace('_', '-')}={_printed(value)}")
        return ";".join((*parts, "type=private"))


def _printed(value: str | int | bytes | tuple[int, int]) -> str:
    if isinstance(value, tuple):
        return f"{value[0]}.{value[1]}"
    if isinstance(value, bytes):
        return "".join(f"%{octet:02X}" for octet in value)
    if isinstance(value, int):
        return str(value)
    return quote(value, safe=_PLAIN)


def _value(name: str, text: str) -> str | int | bytes | tuple[int, int] | None:
    """Decode an attribute's value; ``type`` has none that is of use."""
    if name == "type":
        if text != "private":
            raise KeyUriError(
                f"type={_shown(text)} names no private key; write type=private, or leave it away"
            )
        return None
    if name == "slot-id":
        if not _SLOT.fullmatch(text) or int(text) > _MAX_SLOT:
            raise KeyUriError(f"slot-id is a number below 2^64, not {_shown(text)}")
        return int(text)
    if name == "library-version":
        return _version(text)
    octets = _decoded(name, text)
    if len(octets) > _SIZES[name]:
        raise KeyUriError(f"{name} has at most {_SIZES[name]} octets, this one {len(octets)}")
    if name == "id":
        return octets
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise KeyUriError(f"{name} is a text in UTF-8, percent-encoded; this is not") from None


def _version(text: str) -> tuple[int, int]:
    if not _VERSION.fullmatch(text):
        raise KeyUriError(f"library-version is written 2 or 2.40, not {_shown(text)}")
    major, _, minor = text.partition(".")
    version = int(major), int(minor or "0")
    if max(version) > _MAX_VERSION:
        raise KeyUriError("library-version has numbers up to 255")
    return version


def _decoded(name: str, text: str) -> bytes:
    if not _VALUE.fullmatch(text):
        encoded = _LONE.sub("%25", quote(text, safe=_PLAIN + "%"))
        raise KeyUriError(
            f"{name} in a pkcs11: URI has characters that must be percent-encoded (a '%' alone as "
            f"%25); perhaps you mean {name}={_shown(encoded)}"
        )
    return unquote_to_bytes(text)


def _shown(text: str) -> str:
    """Print what somebody wrote: shortened, and in ASCII."""
    return quote_from_bytes(text.encode("utf-8", "replace")[:80], safe=_PLAIN + "% ;")
