"""The key backend ``file:``: private keys in files.

Reads the file that the URI names; judging its permissions is left to `permissions`,
decoding it to `memory`, testing the key to `store`.  Options::

    permissions=check|ignore   refuse a file that others can read or replace (the default)
    check=quick|full           full: also validate the numbers of an RSA key, in 50 ms or more
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyUriError
from dkimcore.keys.memory import MemoryKey, decode_private_key, without_frames
from dkimcore.keys.permissions import read_private_file

if TYPE_CHECKING:
    from dkimcore.keys import KeyContext, SigningKey
    from dkimcore.keys.uri import KeyUri

__all__ = ["key_path", "open_key"]

_CHOICES = {"permissions": ("check", "ignore"), "check": ("quick", "full")}


def open_key(uri: KeyUri, context: KeyContext) -> SigningKey:
    """Open the private key in a file.

    Takes what `decode_private_key` takes.  The passphrase of an encrypted key is the
    secret ``passphrase``.

    Args:
        uri: ``file:`` and the path; "~" stands for the home directory.
        context: Where the passphrase comes from.

    Raises:
        KeyUriError: An option is unknown, or the path names another host.
        KeyNotFound: There is no such file.
        KeyDenied: It cannot be read, others can read or replace it, or the passphrase is
            absent or wrong.
        KeyUnusable: It holds no private key that DKIM can use.
        KeyUnavailable: The system could not read it now.
    """
    uri.allow_options(*_CHOICES)
    for name, (default, other) in _CHOICES.items():
        if uri.options.get(name, default) not in (default, other):
            raise KeyUriError(f"file: takes {name}={default} or {name}={other}")
    try:
        return _open(uri, context)
    except KeyBackendError as exc:
        refusal = without_frames(exc)
    raise refusal


def _open(uri: KeyUri, context: KeyContext) -> SigningKey:
    name = str(uri)
    octets = read_private_file(
        key_path(uri),
        uri=name,
        check_permissions=context.check_permissions and uri.options.get("permissions") != "ignore",
        uid=context.uid,
    )
    private_key = decode_private_key(
        octets,
        uri=name,
        passphrase=lambda: context.secret("passphrase"),
        validate=uri.options.get("check") == "full",
    )
    return MemoryKey(private_key, name=name)


def key_path(uri: KeyUri) -> str:
    """Return the path that a ``file:`` URI names; "~" in it still stands for the home directory.

    Raises:
        KeyUriError: The path names another host.
    """
    if not uri.path.startswith("//"):
        return uri.path
    if not uri.path.startswith("///"):
        raise KeyUriError("file: opens files of this host; write file:/path or file:///path")
    return uri.path[2:]
