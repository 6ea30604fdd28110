"""Files that hold a private key encrypted under AWS KMS.

What stands in one is what the API calls a CiphertextBlob, as it is or in base64, as the ``aws``
command prints it.  It is not secret by itself, but whoever may use the login may decrypt it, which
on an instance with a role is everybody on it; and a file that somebody can replace is another key.
So its permissions are judged like those of a key file.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUnavailable, KeyUnusable, KeyUriError
from dkimcore.keys.permissions import read_private_file
from dkimcore.keys.uri import KeyUri

if TYPE_CHECKING:
    from dkimcore.keys import KeyContext

__all__ = ["absolute_uri", "blob_path", "read_blob", "write_blob"]

_MAX_BLOB = 6144  # of Decrypt, in the API's own model


def blob_path(uri: KeyUri) -> str:
    """Return the path that a URI of the scheme ``awskms-envelope`` names.

    Raises:
        KeyUriError: The path names another host.
    """
    if not uri.path.startswith("//"):
        return uri.path
    if not uri.path.startswith("///"):
        raise KeyUriError(f"{uri}: only files of this host are opened; write one '/' in front")
    return uri.path[2:]


def absolute_uri(uri: KeyUri) -> KeyUri:
    """Return the name under which the milter finds a file, from its own folder and home.

    Args:
        uri: Names the file for us.

    Raises:
        KeyUriError: The path names another host, or no key table can name the file.
    """
    path = str(Path(os.path.expanduser(blob_path(uri))).absolute())
    path = f"/{path.lstrip('/')}"  # two in front would be another host
    for letter, begins in (("?", "the options of a key URI"), ("#", "a comment in a key table")):
        if letter in path:
            raise KeyUriError(
                f"{path} cannot be the file of a key, for {letter!r} begins {begins}; choose "
                "another name or folder"
            )
    return KeyUri.parse(str(replace(uri, path=path)))


def read_blob(uri: KeyUri, context: KeyContext) -> bytes:
    """Return what KMS is to decrypt.

    Args:
        uri: Names the file.
        context: Whether, and for whom, permissions are judged.

    Raises:
        KeyUriError: The path names another host.
        KeyNotFound: There is no such file.
        KeyDenied: We may not read it, or others can read or replace it.
        KeyUnusable: It is empty or too long.
        KeyUnavailable: The system could not read it now.
    """
    path, name = blob_path(uri), str(uri)
    octets = read_private_file(
        path,
        uri=name,
        check_permissions=context.check_permissions and uri.options.get("permissions") != "ignore",
        uid=context.uid,
    )
    if b"PRIVATE KEY-----" in octets:
        raise KeyUnusable(
            f"{path} holds a private key that is not encrypted; encrypt it with: dkimcore key "
            "import, and delete the file",
            uri=name,
        )
    with contextlib.suppress(binascii.Error):
        # What KMS makes begins with octets that base64 has no letters for.
        octets = binascii.a2b_base64(b"".join(octets.split()), strict_mode=True)
    if not 0 < len(octets) <= _MAX_BLOB:
        raise KeyUnusable(
            f"{path} holds {len(octets)} octets, and what KMS encrypted has 1 to {_MAX_BLOB}; "
            "restore the file",
            uri=name,
        )
    return octets


def write_blob(uri: KeyUri, octets: bytes) -> None:
    """Write a file that nobody else may read, whole or not at all.

    Args:
        uri: Names the file.
        octets: What KMS encrypted.

    Raises:
        KeyUriError: The path names another host.
        KeyUnusable: There is such a file already, or it cannot be there.
        KeyUnavailable: The system could not write it now.
    """
    path = os.path.expanduser(blob_path(uri))
    problem = None
    try:
        descriptor, temporary = tempfile.mkstemp(
            prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path) or "."
        )  # of mode 0600
    except OSError as exc:
        problem = f"no file can be made beside {path}: {exc.strerror}"
        raise KeyUnusable(problem, uri=str(uri)) from None
    try:
        with open(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # refuses to replace a file, as os.rename would not
    except FileExistsError:
        problem = f"{path} exists already; choose another name, for a selector has one key for ever"
        raise KeyUnusable(problem, uri=str(uri)) from None
    except OSError as exc:
        problem = f"{path} cannot be written: {exc.strerror}"
        raise KeyUnavailable(problem, uri=str(uri)) from None
    finally:
        os.unlink(temporary)
