"""The public half, from wherever the token tells it."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dkimcore.errors import KeyNotFound, KeyUnusable
from dkimcore.keys.pkcs11.cryptoki import Cryptoki
from dkimcore.keys.pkcs11.key import open_key
from dkimcore.keys.pkcs11.publichalf import read_public_file
from dkimcore.keys.pkcs11.settings import TokenSettings
from dkimcore.keys.pkcs11.structures import Attribute, ObjectClass
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.crypto import PublicKey

pytestmark = [pytest.mark.server("softhsm"), pytest.mark.server("gcc")]

each_type = pytest.mark.parametrize("name", ["rsa", "ed25519"])
PRIVATE, PUBLIC = ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY
NUMBERS = (Attribute.MODULUS, Attribute.EC_POINT)


def public_of(key):
    return PublicKey.of(key.private_key.public_key())


def certificate(key, subject_key=None):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dkim")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    signs = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder(name, name, (subject_key or key).public_key(), 1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, signs)
    )


@pytest.fixture
def opened(context, token, shim):
    given = context()

    def open_it(key, **options):
        return open_key(KeyUri.parse(token.uri(key, module=shim.path, **options)), given)

    return open_it


@each_type
def test_the_token_tells_it(opened, token, name):
    assert opened(getattr(token, name)).public_key == public_of(getattr(token, name))


def test_rsa_needs_no_public_object(opened, token, shim):
    shim.hide(*((PUBLIC, number) for number in NUMBERS))
    assert opened(token.rsa).public_key == public_of(token.rsa)


def test_rsa_takes_the_public_object_where_the_private_one_tells_nothing(opened, token, shim):
    shim.hide((PRIVATE, Attribute.PUBLIC_EXPONENT))
    assert opened(token.rsa).public_key == public_of(token.rsa)


def test_a_point_may_come_without_its_prefix(opened, token, shim):
    shim.set("bare_point", 1)
    assert opened(token.ed25519).public_key == public_of(token.ed25519)


def test_numbers_that_are_no_key_are_passed_over(opened, token, monkeypatch):
    tell = Cryptoki.attribute

    def lying(self, session, handle, *, kind):
        return b"\x02" if kind is Attribute.MODULUS else tell(self, session, handle, kind=kind)

    monkeypatch.setattr(Cryptoki, "attribute", lying)
    with pytest.raises(KeyUnusable, match="does not tell the public half"):
        opened(token.rsa)


def test_a_key_without_a_name_has_nothing_beside_it(opened, token, shim):
    shim.hide(
        *((kind, number) for kind in (PRIVATE, PUBLIC) for number in NUMBERS),
        *((PRIVATE, name) for name in (Attribute.ID, Attribute.LABEL)),
    )
    with pytest.raises(KeyUnusable, match="does not tell the public half"):
        opened(token.ed25519)


@each_type
def test_where_the_token_does_not_tell_it_the_cure_is_told(opened, token, shim, name):
    shim.hide(*((kind, number) for kind in (PRIVATE, PUBLIC) for number in NUMBERS))
    with pytest.raises(KeyUnusable, match=r"name a file with it: &public-key="):
        opened(getattr(token, name))


def write_public(key, path, form="PEM"):
    public = key.private_key.public_key()
    if form == "certificate":
        path.write_bytes(certificate(key.private_key).public_bytes(Encoding.PEM))
    else:
        encoding = Encoding.PEM if form == "PEM" else Encoding.DER
        path.write_bytes(public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo))
    return f"file:{path}"


@each_type
@pytest.mark.parametrize("form", ["PEM", "DER", "certificate"])
def test_a_file_has_it_where_the_token_does_not(opened, token, shim, tmp_path, name, form):
    key = getattr(token, name)
    shim.hide(*((kind, number) for kind in (PRIVATE, PUBLIC) for number in NUMBERS))
    source = write_public(key, tmp_path / "public.pem", form)
    assert opened(key, **{"public-key": source}).public_key == public_of(key)


def test_a_file_of_another_type_is_refused(opened, token, tmp_path):
    source = write_public(token.rsa, tmp_path / "public.pem")
    with pytest.raises(KeyUnusable, match="holds a key of type rsa, the token another"):
        opened(token.ed25519, **{"public-key": source})


def test_a_file_of_another_key_is_noticed_by_the_store(store, token, shim, tmp_path, softhsm):
    other = softhsm.add(ed25519.Ed25519PrivateKey.generate())
    source = write_public(other, tmp_path / "public.pem")
    with pytest.raises(KeyUnusable, match="does not verify with its public half"):
        store().get(token.uri(token.ed25519, **{"public-key": source}))


@each_type
def test_a_certificate_has_it_where_no_key_tells_it(opened, token, shim, context, name):
    key = getattr(token, name)
    shim.hide(*((kind, number) for kind in (PRIVATE, PUBLIC) for number in NUMBERS))
    template = (
        (Attribute.CLASS, int(ObjectClass.CERTIFICATE)),
        (Attribute.TOKEN, True),
        (0x80, 0),  # CKA_CERTIFICATE_TYPE: CKC_X_509
        (0x101, b"\x30\x00"),  # CKA_SUBJECT
        (Attribute.ID, key.id),
        (Attribute.VALUE, certificate(key.private_key).public_bytes(Encoding.DER)),
    )
    pool = TokenSettings.of(KeyUri.parse(token.uri(key, module=shim.path)), context()).pool

    def create(session):
        session.cryptoki.create_object(session.handle, template)

    def destroy(session):
        for handle in session.cryptoki.find(session.handle, template[:1], limit=1):
            session.cryptoki.destroy_object(session.handle, handle)

    pool.run(create, uri="pkcs11:", doing="creating", timeout=5.0, writable=True)
    try:
        assert opened(key).public_key == public_of(key)
    finally:
        pool.run(destroy, uri="pkcs11:", doing="deleting", timeout=5.0, writable=True)


def test_a_file_that_is_absent_or_unreadable_is_told(tmp_path):
    with pytest.raises(KeyNotFound, match="named by public-key=, is not there"):
        read_public_file(str(tmp_path / "none.pem"), uri="pkcs11:object=s1")
    with pytest.raises(KeyUnusable, match="cannot be read: Is a directory"):
        read_public_file(str(tmp_path), uri="pkcs11:object=s1")


def test_a_file_without_a_key_of_use_is_refused(tmp_path):
    path = tmp_path / "public.pem"
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    for octets in (
        b"",
        b"no key",
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ):
        path.write_bytes(octets)
        with pytest.raises(KeyUnusable, match="holds no public key that DKIM can use"):
            read_public_file(str(path), uri="pkcs11:object=s1")
