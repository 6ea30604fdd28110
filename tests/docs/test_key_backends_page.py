"""The reference of backend sections names the keys that the code takes, and no others."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from dkimcore.errors import ConfigError
from dkimcore.keys.aws.login import KEYS as AWS_KEYS
from dkimcore.keys.endpoint import EndpointLimits
from dkimcore.keys.sections import BackendSection, StoreSettings
from dkimcore.keys.vault.logins import LOGIN_KEYS
from dkimcore.keys.vault.place import PLACE_KEYS

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/key-backends.md").read_text("utf-8")
STORE, BACKENDS = PAGE.split("## `[backend.NAME]`")
COMMON, REST = BACKENDS.split("`vault`, for", 1)
VAULT, REST = REST.split("`aws`, for", 1)
AWS, PKCS11 = REST.split("`pkcs11`, for", 1)


def keys_of(part):
    rows = re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_the_store():
    assert keys_of(STORE) == {field.name for field in fields(StoreSettings)}
    for name, default in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", STORE, re.MULTILINE):
        assert getattr(StoreSettings(), name) == float(default)


def test_every_type():
    limits = {field.name for field in fields(EndpointLimits)}
    assert keys_of(COMMON) == {"type", *limits}
    for name, default in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", COMMON, re.MULTILINE):
        assert getattr(EndpointLimits(), name) == float(default)


def test_vault_and_aws():
    assert keys_of(VAULT) == {*PLACE_KEYS, *LOGIN_KEYS, "batch"}
    assert keys_of(AWS) == set(AWS_KEYS)


def test_pkcs11():
    """The backend says itself what it knows."""
    from dkimcore.keys import KeyContext
    from dkimcore.keys.pkcs11.settings import TokenSettings
    from dkimcore.keys.sections import Sections
    from dkimcore.keys.uri import KeyUri

    section = BackendSection(name="hsm", kind="pkcs11", values={"type": "pkcs11", "nope": 1})
    context = KeyContext(sections=Sections(backends={"hsm": section}))
    with pytest.raises(ConfigError, match="knows: ") as caught:
        TokenSettings.of(KeyUri.parse("pkcs11:token=t;object=o"), context)
    known = set(str(caught.value).partition("knows: ")[2].split(", "))
    assert known == keys_of(PKCS11) | keys_of(COMMON)
