"""Where passphrases and PINs come from: a file, or the environment.

Makes the `KeyContext.secret` that commands and programs hand to a `KeyStore`.  A secret
is read again each time a backend asks for it, and kept nowhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dkimcore.keys.permissions import read_private_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["secret_from"]


def secret_from(
    files: Mapping[str, str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    check_permissions: bool = True,
) -> Callable[[str], str | None]:
    """Return a function from a secret's name to its value, for `KeyContext.secret`.

    A secret named ``passphrase`` is looked for in the file that `files` names for it, then
    in the file named by the environment variable DKIMCORE_PASSPHRASE_FILE, then in
    DKIMCORE_PASSPHRASE itself.  Of a file the first line counts; octets that are not UTF-8 are
    kept as ``surrogateescape`` does, and a key is decrypted with the octets as they are.

    Args:
        files: From a secret's name to the path of the file that holds it.
        environ: The environment; None means that of this process.
        check_permissions: Refuse a file that other users can read or replace.

    Returns:
        A function that gives None for a secret that is nowhere.  It raises
        `KeyBackendError` when a file is named and cannot be used.
    """
    paths = dict(files or {})

    def secret(name: str) -> str | None:
        variables = os.environ if environ is None else environ
        variable = "DKIMCORE_" + name.upper().replace("-", "_")
        path = paths.get(name) or variables.get(variable + "_FILE")
        if not path:
            return variables.get(variable) or None
        octets = read_private_file(path, uri=f"file:{path}", check_permissions=check_permissions)
        return octets.partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "surrogateescape") or None

    return secret
