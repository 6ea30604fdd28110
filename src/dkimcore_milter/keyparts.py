"""What keys that are kept elsewhere need on this host: files, and code that signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.keys.pkcs11.settings import TokenSettings

if TYPE_CHECKING:
    from dkimcore.keys import KeyContext
    from dkimcore.keys.uri import KeyUri

__all__ = ["KeyParts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyParts:
    """What a URI and its section name, by whole paths.

    Attributes:
        files: What workers read.
        module: What they load, of those.
    """

    files: tuple[str, ...] = ()
    module: str | None = None

    @classmethod
    def of(cls, uri: KeyUri, context: KeyContext) -> KeyParts:
        """Return the parts of a key.

        Args:
            uri: The key.
            context: What it is opened with.

        Raises:
            ConfigError: The URI is wrong, or its section.
        """
        if uri.scheme == "awskms-envelope":
            return cls(files=(uri.path,) if uri.path.startswith("/") else ())
        if uri.scheme != "pkcs11":
            return cls()
        settings = TokenSettings.of(uri, context)
        files = (settings.module, uri.options.get("pin-source") and settings.pin.file)
        return cls(files=tuple(filter(None, (*files, settings.public_key))), module=settings.module)
