"""Where in a secret the key stands."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dkimcore.errors import KeyNotFound, KeyUnusable, KeyUriError
from dkimcore.keys.memory import decode_private_key
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault.layouts import Layout

KEY = Ed25519PrivateKey.generate()
SEED = KEY.private_bytes_raw()
PUBLIC = KEY.public_key().public_bytes_raw()


def layout(options=""):
    return Layout.of(KeyUri.parse(f"vault-kv:a/b{options}"))


def found(secret, options="", *, now=1000.0):
    return layout(options).key_in(secret, uri="x:y", clock=lambda: now)


def item(selector="s1", domain="example.com", key="K", **more):
    return {"selector": selector, "domain": domain, "key": key, "alg": "rsa", **more}


class TestKumoMta:
    def test_the_field_key(self):
        assert found({"key": "PEM", "other": "x"}) == b"PEM"

    def test_another_field(self):
        assert found({"key": "x", "pem": "PEM"}, "?field=pem") == b"PEM"

    def test_the_field_is_absent(self):
        with pytest.raises(KeyNotFound, match="no field 'key'; its fields: a, b; name one with"):
            found({"b": "x", "a": "x"})
        with pytest.raises(KeyNotFound, match="its fields: none"):
            found({})
        with pytest.raises(KeyNotFound, match="no field 'pem'"):
            found({"selectors": [item()]}, "?field=pem")

    @pytest.mark.parametrize("value", [7, ["x"], {"a": "b"}, True])
    def test_it_holds_no_text(self, value):
        with pytest.raises(KeyUnusable, match="holds no text"):
            found({"key": value})

    def test_a_value_never_shows(self):
        with pytest.raises(KeyNotFound) as caught:
            found({"pem": "canary"})
        assert "canary" not in str(caught.value)


class TestRspamd:
    def test_the_only_key(self):
        assert found({"selectors": [item(key="K1")]}) == b"K1"

    @pytest.mark.parametrize(
        ("options", "key"),
        [
            ("?selector=s2", b"K2"),
            ("?selector=s1&domain=example.org", b"K3"),
        ],
    )
    def test_one_of_several(self, options, key):
        items = [item(key="K1"), item("s2", key="K2"), item(domain="example.org", key="K3")]
        assert found({"selectors": items}, options) == key

    @pytest.mark.parametrize("options", ["", "?selector=s1", "?domain=example.com"])
    def test_several_fit(self, options):
        items = [item(key="K1"), item("s2"), item(domain="example.org")]
        with pytest.raises(KeyUnusable, match=r"2 keys|3 keys"):
            found({"selectors": items}, options)

    def test_none_fits(self):
        with pytest.raises(KeyNotFound, match="no key of the secret has this selector and domain"):
            found({"selectors": [item(), "junk", None]}, "?selector=s9")

    @pytest.mark.parametrize("secret", [{"key": "K"}, {"selectors": "K"}, {}])
    def test_no_list(self, secret):
        with pytest.raises(KeyNotFound, match="has no list 'selectors'"):
            found(secret, "?selector=s1")

    @pytest.mark.parametrize(
        ("validity", "fits"),
        [
            ({}, True),
            ({"valid_start": 1000, "valid_end": 1001}, True),
            ({"valid_start": 1000.5}, False),
            ({"valid_end": 1000}, False),
            ({"valid_end": 1000.5}, True),
            ({"valid_start": None, "valid_end": "never"}, True),
        ],
    )
    def test_validity(self, validity, fits):
        secret = {"selectors": [item(**validity)]}
        if fits:
            assert found(secret, "?selector=s1") == b"K"
        else:
            with pytest.raises(KeyNotFound, match="not valid now"):
                found(secret, "?selector=s1")

    def test_of_an_old_and_a_new_key_the_valid_one(self):
        items = [item(key="K1", valid_end=900), item(key="K2", valid_start=900)]
        assert found({"selectors": items}, "?selector=s1") == b"K2"

    def test_its_ed25519_keys_have_the_public_half_behind_them(self):
        text = base64.b64encode(SEED + PUBLIC).decode()
        octets = found({"selectors": [item(key=text)]})
        assert (
            decode_private_key(bytes(octets), uri="x", passphrase=lambda: None).public_key()
            == KEY.public_key()
        )

    def test_64_octets_that_are_no_such_key_are_left_alone(self):
        text = base64.b64encode(SEED + bytes(32)).decode()
        assert found({"selectors": [item(key=text)]}) == text.encode()

    def test_its_rsa_keys_are_der_in_base64(self, rsa_key):
        der = rsa_key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        octets = found({"selectors": [item(key=base64.b64encode(der).decode())]})
        decoded = decode_private_key(bytes(octets), uri="x", passphrase=lambda: None)
        assert decoded.public_key() == rsa_key.public_key()


def test_options_that_do_not_go_together():
    for options in ("?field=x&selector=s1", "?field=x&domain=d"):
        with pytest.raises(KeyUriError, match="leave one of them away"):
            layout(options)
