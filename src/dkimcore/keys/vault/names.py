"""What the URIs of both backends name: a mount, a path or a name, a version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUriError

if TYPE_CHECKING:
    from dkimcore.keys.uri import KeyUri

__all__ = ["pinned", "segments", "version_of"]

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_LONGEST = 512  # characters of a segment


def segments(uri: KeyUri, path: str | None = None) -> list[str]:
    """Split a path at its slashes.

    Args:
        uri: Whose path it is; a leading ``//`` means nothing.
        path: Another path; None: that of the URI.

    Raises:
        KeyUriError: A segment is empty, ``.`` or ``..``, or too long.
    """
    if path is None:
        path = uri.path.removeprefix("//")
    found = path.split("/")
    for segment in found:
        if segment in ("", ".", "..") or len(segment) > _LONGEST or "\\" in segment:
            raise KeyUriError(
                f"{uri.scheme}: takes a path such as mount/name, without '.', '..' and empty "
                f"parts, and not {path[:100]!r}"
            )
    return found


def version_of(uri: KeyUri) -> int | None:
    """Return the version that a URI pins; None: it pins none.

    Raises:
        KeyUriError: It is no number from 1 on.
    """
    text = uri.options.get("version")
    if text is None:
        return None
    if not _VERSION.fullmatch(text):
        raise KeyUriError(
            f"{uri.scheme}: version= is a number from 1 on, for a selector is one key for ever; "
            f"not {text[:40]!r}"
        )
    return int(text)


def pinned(uri: KeyUri, version: int) -> str:
    """Return a URI with a version.

    Args:
        uri: The URI; a version in it is replaced.
        version: The version.
    """
    options = {**uri.options, "version": str(version)}
    return str(type(uri)(scheme=uri.scheme, path=uri.path, options=options))
