"""Sections of built-in types are judged before any key is opened."""

from __future__ import annotations

import pytest

from dkimcore.errors import ConfigError
from dkimcore.keys.sectioncheck import check_sections
from dkimcore.keys.sections import Sections

VAULT = 'type = "vault"\naddress = "https://vault.example:8200"\n'


@pytest.fixture
def check(tmp_path):
    def check(text):
        path = tmp_path / "keys.toml"
        path.write_text(f"[backend.x]\n{text}")
        check_sections(Sections.load(path))

    return check


@pytest.mark.parametrize(
    "text",
    [
        VAULT,
        f'{VAULT}auth = "approle"\nrole_id = "r"\nsecret_id_file = "/nowhere"\nbatch = 8\n',
        'type = "aws"\nregion = "eu-west-1"\nthreads = 4\n',
        'type = "pkcs11"\nmodule = "/usr/lib/x.so"\npin_file = "pin"\n',
        'type = "signer"\nanything = [1]\n',
    ],
)
def test_what_can_be(check, text):
    check(text)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('type = "vault"\nadress = "https://vault.example"\n', 3, "no such key"),
        (f'{VAULT}auth = "appole"\n', 4, "auth is one of"),
        (f'{VAULT}threads = "4"\n', 4, "whole number"),
        (f"{VAULT}batch = 65\n", 4, "1 to 64"),
        (f'{VAULT}auth = "approle"\n', 1, "role_id"),
        (f'{VAULT}auth = "approle"\nrole_id = "a\\u00e4b"\n', 1, "role_id"),
        (f'{VAULT}namespace = "a b"\n', 4, "namespace"),
        ('type = "vault"\naddress = "http://vault.example"\n', 3, "https"),
        ('type = "aws"\nregoin = "eu-west-1"\n', 3, "no such key"),
        ('type = "aws"\nregion = 3\n', 3, "write a text"),
        ('type = "aws"\nthreads = 0\n', 3, "from 1"),
        ('type = "pkcs11"\nmodul = "/x.so"\n', 3, "no such key"),
        ('type = "pkcs11"\nmodule = true\n', 3, "write a text"),
        ('type = "pkcs11"\nread_timeout = 0\n', 3, "from 0.05"),
        ('type = "valut"\n', 2, "did you mean 'vault'"),
        ('type = "AWS"\n', 2, "did you mean 'aws'"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(check, tmp_path, text, line, says):
    with pytest.raises(ConfigError, match=says) as caught:
        check(text)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "keys.toml"), line)
