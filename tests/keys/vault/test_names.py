"""What URIs name."""

from __future__ import annotations

import pytest

from dkimcore.errors import KeyUriError
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault.names import pinned, segments, version_of


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("vault-kv:secret/dkim/s1", ["secret", "dkim", "s1"]),
        ("vault-kv://secret/dkim/s1", ["secret", "dkim", "s1"]),
        ("vault-kv:a/b c/ä", ["a", "b c", "ä"]),
    ],
)
def test_segments(text, parts):
    assert segments(KeyUri.parse(text)) == parts


@pytest.mark.parametrize(
    "path", ["/a/b", "a/b/", "a//b", "a/./b", "a/../b", "..", "a/b\\c", "a/" + "b" * 513]
)
def test_paths_that_lead_elsewhere(path):
    with pytest.raises(KeyUriError, match="takes a path such as mount/name"):
        segments(KeyUri.parse(f"vault-kv:{path}"))


def test_versions():
    assert version_of(KeyUri.parse("vault-kv:a/b")) is None
    assert version_of(KeyUri.parse("vault-kv:a/b?version=12")) == 12
    for text in ("0", "-1", "1.0", "latest", "01", "1234567890", ""):
        with pytest.raises(KeyUriError, match="a selector is one key for ever"):
            version_of(KeyUri.parse(f"vault-kv:a/b?version={text}"))


def test_pinned():
    uri = KeyUri.parse("vault-kv:a/b?backend=eu")
    assert pinned(uri, 3) == "vault-kv:a/b?backend=eu&version=3"
    assert pinned(KeyUri.parse(pinned(uri, 3)), 4) == "vault-kv:a/b?backend=eu&version=4"
