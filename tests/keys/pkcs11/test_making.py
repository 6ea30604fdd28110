"""Keys made on a token, or brought there."""

from __future__ import annotations

import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from dkimcore.errors import KeyBackendError, KeyUnusable, KeyUriError
from dkimcore.keys.pkcs11.key import open_key
from dkimcore.keys.pkcs11.making import PKCS11
from dkimcore.keys.pkcs11.settings import TokenSettings
from dkimcore.keys.pkcs11.structures import Attribute, ObjectClass
from dkimcore.keys.pkcs11.templates import Imported
from dkimcore.keys.pkcs11.tokenuri import TokenUri
from dkimcore.keys.registry import KeyMakers
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.crypto import PublicKey

pytestmark = [pytest.mark.server("softhsm"), pytest.mark.server("gcc")]

each_type = pytest.mark.parametrize("key_type", list(KeyType))


@pytest.fixture
def place(token, shim):
    """A URI of a new label."""
    return KeyUri.parse(token.uri(f"token=dkim;object={token.fresh_label()}", module=shim.path))


@pytest.fixture
def given(context):
    return context()


def objects(uri, context):
    """What the token tells of all objects of a label: class to attributes."""
    settings = TokenSettings.of(KeyUri.parse(str(uri)), context)
    label = settings.address.object.encode()

    def work(session):
        found = session.cryptoki.find(session.handle, ((Attribute.LABEL, label),), limit=9)
        return [
            {kind: session.cryptoki.attribute(session.handle, handle, kind=kind) for kind in KINDS}
            for handle in found
        ]

    told = settings.pool.run(work, uri=str(uri), doing="looking", timeout=5.0)
    return {each[Attribute.CLASS][0]: each for each in told}


KINDS = (
    *(Attribute.CLASS, Attribute.TOKEN, Attribute.PRIVATE, Attribute.LABEL, Attribute.ID),
    *(Attribute.SENSITIVE, Attribute.EXTRACTABLE, Attribute.SIGN, Attribute.PRIVATE_EXPONENT),
    *(Attribute.VALUE, Attribute.PRIME_1),
)


def new_key(key_type):
    if key_type is KeyType.RSA:
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate()


def check_that_it_stays(made, context):
    told = objects(made.uri, context)
    private, public = told[ObjectClass.PRIVATE_KEY], told[ObjectClass.PUBLIC_KEY]
    assert private[Attribute.ID] == public[Attribute.ID]
    assert private[Attribute.TOKEN] == public[Attribute.TOKEN] == b"\x01"
    assert private[Attribute.PRIVATE] == b"\x01"
    assert private[Attribute.SENSITIVE] == b"\x01"
    assert private[Attribute.EXTRACTABLE] == b"\x00"
    assert private[Attribute.SIGN] == b"\x01"
    for secret in (Attribute.PRIVATE_EXPONENT, Attribute.VALUE, Attribute.PRIME_1):
        assert private[secret] is None
    return private[Attribute.ID]


@each_type
def test_a_key_is_made_and_never_leaves(place, given, key_type):
    made = PKCS11.create_key(place, given, key_type=key_type, bits=2048)
    number = check_that_it_stays(made, given)
    assert len(number) == 16
    assert f";id={''.join(f'%{octet:02X}' for octet in number)};type=private?" in made.uri
    key = open_key(KeyUri.parse(made.uri), given)
    assert key.public_key == made.public_key
    assert made.public_key.key_type is key_type
    assert made.public_key.bits == (2048 if key_type is KeyType.RSA else 256)


@each_type
def test_a_key_is_brought_and_keeps_its_public_half(place, given, key_type):
    private_key = new_key(key_type)
    made = PKCS11.import_key(place, given, private_key)
    assert made.public_key == PublicKey.of(private_key.public_key())
    check_that_it_stays(made, given)


def test_an_id_in_the_uri_is_kept(token, given, shim):
    path = f"token=dkim;object={token.fresh_label()};id=%41%99"
    made = PKCS11.create_key(
        KeyUri.parse(token.uri(path, module=shim.path)), given, key_type=KeyType.ED25519, bits=0
    )
    assert ";id=%41%99;" in made.uri


def test_what_the_uri_says_besides_stays_in_it(place, given):
    made = PKCS11.create_key(place, given, key_type=KeyType.ED25519, bits=0)
    assert KeyUri.parse(made.uri).options == place.options


@each_type
def test_a_label_or_an_id_that_is_taken_is_refused(token, given, key_type):
    other = token.fresh_label()
    taken = token.rsa
    for path, words in (
        (f"token=dkim;object={taken.label}", f"with the label '{taken.label}' already"),
        (f"token=dkim;object={taken.label};id=%FE%01", "the label"),
        (f"token=dkim;object={other};id=%{taken.id.hex('%')}", f"the id {taken.id.hex()} already"),
        (f"token=dkim;id=%{taken.id.hex('%')}", "the id"),
    ):
        uri = KeyUri.parse(token.uri(path))
        with pytest.raises(KeyUnusable, match=words):
            PKCS11.create_key(uri, given, key_type=key_type, bits=2048)
        with pytest.raises(KeyUnusable, match=words):
            PKCS11.import_key(uri, given, new_key(key_type))


def test_a_key_needs_a_name(token, given):
    with pytest.raises(KeyUriError, match="object=LABEL"):
        PKCS11.create_key(
            KeyUri.parse(token.uri("token=dkim")), given, key_type=KeyType.RSA, bits=2048
        )
    uri = KeyUri.parse(token.uri("token=dkim;object=s1", **{"public-key": "/x.pem"}))
    with pytest.raises(KeyUriError, match="public-key= is for keys that exist"):
        PKCS11.create_key(uri, given, key_type=KeyType.RSA, bits=2048)


@pytest.mark.parametrize("bits", [512, 1023, 8193])
def test_a_length_that_verifiers_refuse_is_refused(place, given, bits):
    with pytest.raises(KeyUnusable, match="verifiers take 1024 to 8192"):
        PKCS11.create_key(place, given, key_type=KeyType.RSA, bits=bits)


def test_the_other_name_of_the_curve_is_tried(place, given, shim):
    shim.fail("C_GenerateKeyPair", 0x130)  # CKR_DOMAIN_PARAMS_INVALID
    made = PKCS11.create_key(place, given, key_type=KeyType.ED25519, bits=0)
    assert made.public_key.bits == 256
    assert shim.calls("C_GenerateKeyPair") == 2


@pytest.mark.parametrize("code", [0x130, 0x70])
def test_a_token_that_cannot_make_it_is_told(place, given, shim, code):
    shim.fail("C_GenerateKeyPair", code, times=-1)
    with pytest.raises(KeyUnusable, match="making the key failed"):
        PKCS11.create_key(place, given, key_type=KeyType.ED25519, bits=0)
    assert objects(place, given) == {}


@each_type
def test_half_a_key_is_not_left_behind(place, given, shim, key_type):
    shim.hide((ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE))
    with pytest.raises(KeyUnusable, match="DKIM needs"):
        PKCS11.import_key(place, given, new_key(key_type))
    shim.hide()
    assert objects(place, given) == {}
    shim.set("wrong", 1)
    with pytest.raises(KeyUnusable, match="does not verify"):
        PKCS11.create_key(place, given, key_type=key_type, bits=1024)
    shim.set("wrong", 0)
    assert objects(place, given) == {}


@pytest.mark.parametrize("successes", [0, 1])
def test_what_was_brought_before_a_failure_is_deleted(place, given, shim, monkeypatch, successes):
    from dkimcore.keys.pkcs11.cryptoki import Cryptoki

    create = Cryptoki.create_object
    left = [successes]

    def failing(self, session, template):
        if not left[0]:
            shim.fail("C_CreateObject", 0xD1)
        left[0] -= 1
        return create(self, session, template)

    monkeypatch.setattr(Cryptoki, "create_object", failing)
    with pytest.raises(KeyUnusable, match="bringing the key to the token failed"):
        PKCS11.import_key(place, given, new_key(KeyType.ED25519))
    assert objects(place, given) == {}


@each_type
def test_no_number_of_the_key_shows_in_an_error(place, given, shim, key_type):
    private_key = new_key(key_type)
    shim.fail("C_CreateObject", 0xD1, times=-1)
    with pytest.raises(KeyBackendError) as caught:
        PKCS11.import_key(place, given, private_key)
    shown = traceback.TracebackException(
        caught.type, caught.value, caught.tb.tb_next, capture_locals=True
    )
    text = "".join(shown.format())
    if key_type is KeyType.RSA:
        secret = str(private_key.private_numbers().p)
    else:
        secret = repr(private_key.private_bytes_raw())[2:-1]
    assert secret[:12] not in text


@each_type
def test_what_is_handed_to_the_token_is_wiped(key_type):
    with Imported(new_key(key_type), address=TokenUri(object="s1")) as templates:
        secrets = [value for _, value in templates.private if isinstance(value, bytearray)]
        assert secrets
        assert all(any(secret) for secret in secrets)
    assert all(not any(secret) for secret in secrets)


def test_it_is_declared():
    assert KeyMakers().get("pkcs11") is PKCS11
