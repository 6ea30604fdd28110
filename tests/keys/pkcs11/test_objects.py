"""Which key a URI means, and whether it can sign for DKIM."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnusable
from dkimcore.keys.pkcs11 import templates
from dkimcore.keys.pkcs11.key import open_key
from dkimcore.keys.pkcs11.making import PKCS11
from dkimcore.keys.pkcs11.structures import Attribute
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType

pytestmark = [pytest.mark.server("softhsm"), pytest.mark.server("gcc")]


@pytest.fixture
def opened(context, token):
    given = context()

    def open_it(path, **options):
        return open_key(KeyUri.parse(token.uri(path, **options)), given)

    return open_it


def test_a_key_is_found_by_its_label_its_id_or_both(opened, token):
    wanted = token.rsa
    for path in (
        f"token=dkim;object={wanted.label}",
        f"token=dkim;id=%{wanted.id.hex('%')}",
        f"token=dkim;object={wanted.label};id=%{wanted.id.hex('%')};type=private",
    ):
        assert opened(path).public_key.bits == 2048


def test_an_absent_key_is_told_with_what_there_is(opened, token):
    with pytest.raises(KeyNotFound) as caught:
        opened("token=dkim;object=nobody;id=%01%FF")
    text = str(caught.value)
    assert "the token 'dkim' has no private key with the label 'nobody' and the id 01ff" in text
    assert repr(token.rsa.label) in text


def test_when_several_fit_the_ids_are_told(opened, token, softhsm):
    label = token.fresh_label()
    for number in (b"\x70\x01", b"\x70\x02"):
        softhsm.add(ed25519.Ed25519PrivateKey.generate(), label, number=number)
    with pytest.raises(KeyUnusable, match="2 private keys fit; add the id= of one: ") as caught:
        opened(f"token=dkim;object={label}")
    assert f"object={label};id=%70%01, object={label};id=%70%02" in str(caught.value)
    assert opened(f"token=dkim;object={label};id=%70%02").public_key.bits == 256


def test_when_several_have_one_id_it_is_told(opened, token, context):
    address = f"token=dkim;object={token.fresh_label()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dkimcore.keys.pkcs11.making._refuse_existing", lambda *_: None)
        patch.setattr("dkimcore.keys.pkcs11.making._delete", lambda *_: None)
        given = context()
        uri = KeyUri.parse(token.uri(f"{address};id=%71"))
        PKCS11.import_key(uri, given, ed25519.Ed25519PrivateKey.generate())
        with pytest.raises(KeyUnusable, match="2 private keys fit, all of this id"):
            PKCS11.import_key(uri, given, ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize("name", ["rsa", "ed25519"])
def test_a_mechanism_that_a_policy_forbids_is_told(opened, token, shim, name):
    shim.fail("C_GetMechanismInfo", 0x70, times=-1)
    with pytest.raises(KeyUnusable, match=r"does not sign with CKM_(RSA_PKCS|EDDSA), which DKIM"):
        opened(getattr(token, name), module=shim.path)


def test_a_key_that_may_not_sign_is_refused(opened, token, context):
    label = token.fresh_label()
    address = f"token=dkim;object={label};id=%72"
    wanted = templates.new_private

    def unable(address):
        return tuple(
            (kind, False if kind is Attribute.SIGN else value) for kind, value in wanted(address)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "new_private", unable)
        patch.setattr("dkimcore.keys.pkcs11.making._delete", lambda *_: None)
        uri = KeyUri.parse(token.uri(address))
        with pytest.raises(KeyDenied, match="CKA_SIGN is false"):
            PKCS11.import_key(uri, context(), ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(KeyDenied, match="may not sign"):
        opened(address)


def test_a_key_of_another_type_is_refused(opened, token, softhsm):
    key = softhsm.add(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(KeyUnusable, match=r"DKIM needs an RSA or an Ed25519 key, this is EC"):
        opened(key)


def test_ed448_is_refused(opened, token, softhsm):
    key = softhsm.add(ed448.Ed448PrivateKey.generate())
    with pytest.raises(KeyUnusable, match="this is Ed448"):
        opened(key)


def test_a_made_key_of_each_type_can_be_opened(context, token):
    """What `making` makes, `objects` finds: by the id that it chose."""
    for key_type in KeyType:
        uri = KeyUri.parse(token.uri(f"token=dkim;object={token.fresh_label()}"))
        given = context()
        made = PKCS11.create_key(uri, given, key_type=key_type, bits=1024)
        assert open_key(KeyUri.parse(made.uri), given).public_key == made.public_key
