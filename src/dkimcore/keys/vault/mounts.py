"""Where in a path of a KV secret its mount ends, and which version of the engine it is.

``sys/internal/ui/mounts/PATH`` tells both to every token that may do something below that mount,
so that a policy for the secret alone is enough.  Where it is out of reach, such as behind a
proxy that passes only some paths, ``kv=`` in the URI says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable, KeyUriError
from dkimcore.keys.vault.names import segments

if TYPE_CHECKING:
    from dkimcore.keys.endpoint import Endpoint
    from dkimcore.keys.uri import KeyUri
    from dkimcore.keys.vault.client import VaultClient

__all__ = ["SecretPath", "find_secret"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPath:
    """Where a secret is.

    Attributes:
        mount: Its mount.
        path: Its path below that.
        has_versions: Whether the engine keeps versions (KV version 2).
    """

    mount: str
    path: str
    has_versions: bool


def find_secret(uri: KeyUri, client: VaultClient, *, endpoint: Endpoint) -> SecretPath:
    """Find out where a secret is.

    Args:
        uri: The mount and the path; options ``mount`` and ``kv``.
        client: Asked, unless the URI says it all.
        endpoint: How it is asked.

    Raises:
        KeyUriError: The path or one of the options is wrong.
        KeyDenied: The token may do nothing there.
        KeyUnusable: No KV engine is mounted there.
        KeyBackendError: The server refuses otherwise or does not answer.
    """
    parts = segments(uri)
    named = uri.options.get("mount")
    mount = None if named is None else segments(uri, named.strip("/"))
    if mount is not None and parts[: len(mount)] != mount:
        raise KeyUriError(f"{uri.scheme}: its path does not begin with mount={named}")
    kind = uri.options.get("kv")
    if kind is not None:
        if kind not in ("1", "2"):
            raise KeyUriError(f"{uri.scheme}: takes kv=1 or kv=2, the version of the engine")
        return _split(uri, parts, len(mount) if mount is not None else 1, kind == "2")
    found, has_versions = endpoint.call(
        lambda timeout: _ask(uri, mount or parts, client, timeout), uri=str(uri)
    )
    return _split(uri, parts, len(found), has_versions)


def _split(uri: KeyUri, parts: list[str], length: int, has_versions: bool) -> SecretPath:  # noqa: FBT001
    if length >= len(parts):
        raise KeyUriError(
            f"{uri.scheme}: needs a path behind the mount, such as "
            f"{uri.scheme}:{'/'.join(parts)}/dkim/s1"
        )
    return SecretPath(
        mount="/".join(parts[:length]), path="/".join(parts[length:]), has_versions=has_versions
    )


def _ask(
    uri: KeyUri, parts: list[str], client: VaultClient, timeout: float
) -> tuple[list[str], bool]:
    """Return the mount's segments, and whether it keeps versions."""
    text, path = str(uri), "/".join(parts)
    adapter = client.adapter(timeout=timeout, uri=text)
    refused = None
    try:
        document = adapter.get(f"/v1/sys/internal/ui/mounts/{quote(path)}")
    except (KeyDenied, KeyNotFound) as exc:
        if type(exc) not in (KeyDenied, KeyNotFound):
            raise  # the login is refused
        refused = type(exc)
    if refused is not None:
        raise refused(
            f"{client.address} lets the token do nothing below {path}, or has nothing there; let a "
            'policy say: path "MOUNT/data/PATH" { capabilities = ["read"] }, without data/ where '
            "KV has version 1, and see whether the token is right; where sys/internal is out of "
            "reach, write kv=1 or kv=2 into the URI",
            uri=text,
        )
    data = document.get("data")
    mounted = data.get("path") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(mounted, str):
        raise KeyUnavailable(f"{client.address} does not say what is mounted at {path}", uri=text)
    found = mounted.strip("/").split("/")
    if parts[: len(found)] != found:
        raise KeyUnavailable(f"{client.address} names another mount than that of {path}", uri=text)
    if data.get("type") not in ("kv", "generic"):
        raise KeyUnusable(
            f"at {mounted} is no KV engine but {str(data.get('type'))[:40]}; vault-transit: is the "
            "scheme for keys of a Transit engine",
            uri=text,
        )
    options = data.get("options")
    return found, isinstance(options, dict) and options.get("version") == "2"
