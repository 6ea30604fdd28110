"""Where a Vault is, from a section or from the environment."""

from __future__ import annotations

import pytest

from dkimcore.errors import ConfigError
from dkimcore.keys.sections import BackendSection
from dkimcore.keys.vault.place import VaultPlace, ambient


@pytest.fixture
def read(sections):
    """Reads the place of a section that a file holds."""
    return lambda environ=None, **keys: VaultPlace.of(sections(eu=keys).get("vault"), environ or {})


def test_a_section_says_everything(read, tmp_path):
    place = read(
        {"VAULT_NAMESPACE": "x", "VAULT_CACERT": "/x"},
        address="https://vault.example.com:8200/",
        namespace="mail",
        plain_http=True,
        ca="ca.pem",
        tls_server_name="v",
        certificate="/etc/c.pem",
        key="/etc/c.key",
        proxy="http://proxy.example.com:3128",
        follow_redirects=True,
    )
    assert place == VaultPlace(
        address="https://vault.example.com:8200",
        namespace="mail",
        plain_http=True,
        ca=str(tmp_path / "ca.pem"),
        tls_server_name="v",
        certificate="/etc/c.pem",
        certificate_key="/etc/c.key",
        proxy="http://proxy.example.com:3128",
        follow_redirects=True,
    )


def test_with_an_address_nothing_comes_from_the_environment(read):
    environ = {"VAULT_NAMESPACE": "x", "VAULT_CACERT": "/x", "VAULT_ADDR": "https://other"}
    assert read(environ, address="https://a:1") == VaultPlace(address="https://a:1")


def test_without_an_address_the_environment_says_it():
    environ = {
        "VAULT_ADDR": "https://vault.example.com:8200",
        "VAULT_NAMESPACE": "mail",
        "VAULT_CAPATH": "/etc/cas",
        "VAULT_TLS_SERVER_NAME": "v",
        "VAULT_CLIENT_CERT": "/c",
        "VAULT_CLIENT_KEY": "/k",
    }
    place = VaultPlace.of(BackendSection(name="default", kind="vault"), environ)
    assert place == VaultPlace(
        address="https://vault.example.com:8200",
        namespace="mail",
        ca="/etc/cas",
        tls_server_name="v",
        certificate="/c",
        certificate_key="/k",
        is_ambient=True,
    )


def test_a_section_without_an_address_adds_to_the_environment(read):
    place = read({"VAULT_ADDR": "https://a", "VAULT_NAMESPACE": "x"}, namespace="mail")
    assert (place.namespace, place.is_ambient) == ("mail", True)


def test_the_names_of_openbao_come_first():
    environ = {"BAO_ADDR": "https://bao", "VAULT_ADDR": "https://vault", "BAO_TOKEN": ""}
    assert ambient(environ, "ADDR") == "https://bao"
    assert ambient(environ, "TOKEN") is None


def test_no_address_at_all(read):
    with pytest.raises(ConfigError, match=r'write address = "https://HOST:8200".*VAULT_ADDR'):
        read(namespace="x")


@pytest.mark.parametrize(
    "address",
    [
        "vault.example.com:8200",
        "ftp://vault.example.com",
        "https://",
        "https://vault.example.com:99999",
        "https://vault.example.com?x=1",
        "https://vault.example.com/a b",
        "https://va ult",
        "https://[::1",
    ],
)
def test_addresses_that_are_no_url(read, address):
    with pytest.raises(ConfigError, match=r"keys\.toml:\d+: backend eu: address: write a URL"):
        read(address=address)


def test_a_password_in_a_url(read):
    section = BackendSection(name="default", kind="vault")
    with pytest.raises(ConfigError, match="a password does not stand in a URL") as caught:
        VaultPlace.of(section, {"VAULT_ADDR": "https://user:canary@host"})
    assert "canary" not in str(caught.value)
    for key in ("address", "proxy"):
        keys = {"address": "https://a", key: "https://user:canary@host"}
        with pytest.raises(ConfigError, match=f"a secret stands in {key}") as caught:
            read(**keys)
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "[::1]"])
def test_plain_http_on_this_host(read, host):
    assert read(address=f"http://{host}:8200").address == f"http://{host}:8200"


def test_plain_http_to_others_must_be_meant(read):
    with pytest.raises(ConfigError, match=r"shows the token to everybody.*plain_http = true"):
        read(address="http://vault:8200")
    assert read(address="http://vault:8200", plain_http=True).address == "http://vault:8200"


def test_plain_http_from_the_environment(read):
    environ = {"VAULT_ADDR": "http://vault:8200"}
    with pytest.raises(ConfigError, match="plain_http = true"):
        read(environ)
    assert read(environ, plain_http=True).plain_http


def test_certificate_and_key_go_together(read):
    with pytest.raises(ConfigError, match="certificate and key go together"):
        read(address="https://a", certificate="c")


@pytest.mark.parametrize("namespace", ["a b", "ä", "x" * 513])
def test_a_namespace_goes_into_a_header(read, namespace):
    with pytest.raises(ConfigError, match="namespace"):
        read(address="https://a", namespace=namespace)
