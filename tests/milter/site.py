"""A site's configuration in a folder, for tests of what is loaded from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dkimcore.settings.load import load_settings
from dkimcore.testing import EphemeralKey
from dkimcore_milter.engine import Engine
from dkimcore_milter.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.settings.model import Settings
    from dkimcore_milter.logline import LogSink

__all__ = ["CLIENT", "SMALL_RSA", "Site", "macros", "nobody"]

CLIENT = Peer(host="client.example.net", address="198.51.100.7")

# Made once: RSA keys take their time.
SMALL_RSA = EphemeralKey.rsa(1024)


def macros(**values: str) -> Callable[[str], str | None]:
    """Returns what gives macros; names of more than one letter are given without braces."""
    known = {name if len(name) == 1 else f"{{{name}}}": value for name, value in values.items()}
    return known.get


nobody = macros()


class Site:
    """Writes files and loads settings and engines from them.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o700)

    def write(self, name: str, text: str | bytes, *, mode: int = 0o600) -> Path:
        """Writes a file, and returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    def key(self, name: str, key: EphemeralKey | None = None, *, mode: int = 0o600) -> Path:
        """Writes a private key."""
        made = EphemeralKey.ed25519() if key is None else key
        return self.write(name, made.private_pem(), mode=mode)

    def settings(self, conf: str) -> Settings:
        """Returns the settings of an opendkim.conf; relative paths count from the folder."""
        path = self.write("opendkim.conf", f"{conf}\nBaseDirectory {self.folder}\n")
        return load_settings(str(path))

    def engine(self, conf: str, *, log: LogSink | None = None) -> Engine:
        """Returns an engine for an opendkim.conf, at a fixed time."""
        return Engine.load(self.settings(conf), clock=lambda: 1_700_000_000.9, log=log)
