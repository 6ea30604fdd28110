"""Which slot holds the token that a URI names: exactly one may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.pkcs11.cryptoki import CryptokiError
from dkimcore.keys.pkcs11.structures import TokenFlag

if TYPE_CHECKING:
    from dkimcore.keys.pkcs11.cryptoki import Cryptoki, TokenInfo
    from dkimcore.keys.pkcs11.tokenuri import TokenUri

__all__ = ["find_token", "listed"]

# SLOT_ID_INVALID, DEVICE_REMOVED, TOKEN_NOT_PRESENT, TOKEN_NOT_RECOGNIZED: it went, or is foreign.
_NOT_THERE = frozenset({0x03, 0x32, 0xE0, 0xE1})
_SHOWN = 20


def listed(labels: list[str]) -> str:
    """Print labels for people; what a token says is not to be trusted to be printable.

    Args:
        labels: The labels.
    """
    if not labels:
        return "none"
    shown = ", ".join(ascii(label) for label in labels[:_SHOWN])
    return f"{shown} and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else shown


def find_token(cryptoki: Cryptoki, wanted: TokenUri, *, uri: str) -> tuple[int, TokenInfo]:
    """Return the slot of a token, and the token.

    Args:
        cryptoki: The module.
        wanted: What the URI says about the token.
        uri: What errors name.

    Raises:
        KeyNotFound: The module's tokens are others, or the module is another.
        KeyUnusable: Several are meant.
        KeyUnavailable: The module sees no token at all.
        CryptokiError: The module failed.
    """
    library = cryptoki.library_info()
    if not wanted.names_library(library):
        version = ".".join(map(str, library.version))
        raise KeyNotFound(
            f"the module is not the library that the URI names but {library.description!a} "
            f"{version} of {library.manufacturer!a}; take library-... out, or name its module",
            uri=uri,
        )
    seen: list[str] = []
    found: list[tuple[int, TokenInfo]] = []
    for slot in cryptoki.slots():
        try:
            info, token = cryptoki.slot_info(slot), cryptoki.token_info(slot)
        except CryptokiError as exc:
            if exc.code in _NOT_THERE:
                continue
            raise
        if token.flags & TokenFlag.TOKEN_INITIALIZED:
            seen.append(token.label)
            if wanted.names_token(slot, info, token):
                found.append((slot, token))
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        serials = listed([token.serial for _, token in found])
        raise KeyUnusable(
            f"{len(found)} tokens fit (serial numbers: {serials}); add token= or serial=", uri=uri
        )
    if not seen:
        raise KeyUnavailable(
            "the module sees no token that is initialised; connect it, initialise it, or let the "
            "user that we run as read it, which SoftHSM notices after a reload",
            uri=uri,
        )
    raise KeyNotFound(
        f"no token fits; those that the module sees: {listed(seen)}; correct token=", uri=uri
    )
