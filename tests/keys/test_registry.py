"""Schemes are found through installed distributions, lazily, and never taken over."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dkimcore.errors import ConfigError, KeyUriError
from dkimcore.keys.registry import KeyBackends, KeyMakers

OURS = ("awskms", "awskms-envelope", "file", "pkcs11", "vault-kv", "vault-transit")
BACKEND = """
def open_key(uri, context):
    return uri.path
"""


def test_files_are_built_in_and_their_backend_is_imported_when_used():
    code = (
        "import sys; from dkimcore.keys.registry import KeyBackends as B; b = B();"
        "assert 'file' in b.schemes and 'dkimcore.keys.file' not in sys.modules;"
        "b.get('file'); assert 'dkimcore.keys.file' in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()


def test_another_distribution_adds_a_scheme_which_is_loaded_once(install):
    install("acme-keys", {"ACME": "acme_backend_a:open_key"}, "acme_backend_a", BACKEND)
    backends = KeyBackends()
    assert backends.schemes == ("acme", *OURS)
    assert "acme_backend_a" not in sys.modules
    assert backends.get("acme") is backends.get("acme")
    assert backends.get("acme").__module__ == "acme_backend_a"


def test_an_unknown_scheme_lists_the_known_ones(install):
    install("acme-keys", {"acme": "acme_backend_b:open_key"})
    with pytest.raises(KeyUriError, match=r"'nope'.*acme:, .*file:"):
        KeyBackends().get("nope")


@pytest.mark.parametrize("scheme", ["acme", "file"])
def test_a_scheme_claimed_twice_names_both_and_loads_neither(install, scheme):
    install("acme-keys", {scheme: "evil_backend:open_key"}, "evil_backend", "raise SystemExit")
    install("other-keys", {scheme: "evil_backend:open_key"})
    with pytest.raises(ConfigError, match=r"acme-keys and (dkimcore and )?other-keys") as caught:
        KeyBackends().get(scheme)
    assert "uninstall" in str(caught.value)


def test_our_own_scheme_cannot_be_taken_over_where_we_have_no_metadata(install, monkeypatch):
    install("dkimcore", {})  # hides ours, as a checkout that was never installed
    assert KeyBackends().schemes == OURS
    assert KeyBackends().get("file").__module__ == "dkimcore.keys.file"
    install("acme-keys", {"file": "evil_backend:open_key"})
    with pytest.raises(ConfigError, match="acme-keys and dkimcore"):
        KeyBackends().get("file")


def test_a_missing_extra_of_ours_is_named(install):
    install(
        "dkimcore", {"vault-kv": "our_vault:open_key"}, "our_vault", "import hvac_that_is_not_there"
    )
    with pytest.raises(KeyUriError, match=r"pip install 'dkimcore\[vault\]'"):
        KeyBackends().get("vault-kv")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("acme_sdk_user:open_key [sdk]", r"acme_sdk.*pip install 'acme-keys\[sdk\]'"),
        ("acme_sdk_user:open_key", "acme_sdk, which is absent.*acme-keys"),
    ],
)
def test_a_missing_module_of_another_distribution_is_named(install, value, says):
    install("acme-keys", {"acme": value}, "acme_sdk_user", "import acme_sdk")
    with pytest.raises(KeyUriError, match=says):
        KeyBackends().get("acme")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise RuntimeError('CANARY')", "RuntimeError"),
        ("", "AttributeError"),
        ("open_key = 3", "no function"),
    ],
)
def test_a_broken_backend_is_a_configuration_error(install, text, says):
    module = f"acme_broken_{says.replace(' ', '_')}"
    install("acme-keys", {"acme": f"{module}:open_key"}, module, text)
    with pytest.raises(KeyUriError, match=says) as caught:
        KeyBackends().get("acme")
    assert "acme-keys" in str(caught.value)
    assert "CANARY" not in str(caught.value)


PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "acme-keys"
version = "1.0"
[project.entry-points."dkimcore.keys"]
acme = "acme_real:open_key"
[tool.setuptools]
py-modules = ["acme_real"]
"""


def test_a_backend_that_pip_installs_is_there(tmp_path):
    project, target = tmp_path / "project", tmp_path / "site"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "acme_real.py").write_text(
        "from dkimcore.testing import EphemeralKey\n"
        "def open_key(uri, context):\n"
        "    return EphemeralKey.ed25519(uri.path.encode().ljust(32))\n"
    )
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    options = ["--no-build-isolation", "--disable-pip-version-check", "--target"]
    subprocess.run([*pip, *options, target, project], check=True)
    code = (
        "from dkimcore.keys.store import KeyStore\n"
        "with KeyStore() as keys: print(keys.get('acme:prod/key?zone=eu'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(target)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "<key acme:prod/key?zone=eu ed25519-sha256, 256 bits>\n"


MAKERS = "dkimcore.keymakers"


def test_what_makes_keys_is_found_by_scheme_too(install):
    text = "def create_key(): ...\ndef import_key(): ...\n"
    install("acme-keys", {"acme": "acme_maker_a"}, "acme_maker_a", text, group=MAKERS)
    makers = KeyMakers()
    assert makers.schemes == ("acme", *(scheme for scheme in OURS if scheme != "file"))
    assert makers.get("acme").__name__ == "acme_maker_a"


def test_a_scheme_under_which_no_key_can_be_made(install):
    with pytest.raises(
        KeyUriError, match=r"no key can be made under the scheme 'file'; there are: "
    ):
        KeyMakers().get("file")


def test_a_maker_with_half_of_its_functions_is_none(install):
    install("acme-keys", {"acme": "acme_maker_b"}, "acme_maker_b", "create_key = 3", group=MAKERS)
    with pytest.raises(KeyUriError, match=r"acme-keys declares .* is no key maker: acme_maker_b"):
        KeyMakers().get("acme")


def test_a_scheme_whose_maker_is_claimed_twice(install):
    install("acme-keys", {"awskms": "evil"}, "evil", "raise SystemExit", group=MAKERS)
    with pytest.raises(ConfigError, match="acme-keys and dkimcore; uninstall"):
        KeyMakers().get("awskms")
