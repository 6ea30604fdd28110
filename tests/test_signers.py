"""signers_for: from an author to keys that sign."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import dkimcore
from dkimcore.errors import KeyNotFound, KeyUnusable, StateError, TableError
from dkimcore.keys import KeyContext
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.mailbox import Mailbox, author
from dkimcore.protocol.message import Header
from dkimcore.protocol.policy import SigningProfile
from dkimcore.resolvers.static import StaticResolver
from dkimcore.signers import open_row, signers_for
from dkimcore.tables import KeyTable, SigningTable
from dkimcore.testing import EphemeralKey

ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(32))
DER = ED25519.private_bytes(
    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
INLINE = base64.b64encode(DER).decode()
ALICE = Mailbox.parse(b"alice@example.com")
MESSAGE = b"From: Alice <alice@example.com>\r\nSubject: x\r\n\r\nHello.\r\n"


@pytest.fixture
def store():
    with KeyStore(context=KeyContext(check_permissions=False)) as key_store:
        yield key_store


@pytest.fixture(scope="module")
def rsa():
    return EphemeralKey.rsa()


def tables(signing, keys):
    return SigningTable.load(f"csl:{signing}"), KeyTable.load(f"csl:{keys}", file="keys", line=9)


@pytest.mark.rfc("8463", "3")
def test_rsa_and_ed25519_sign_in_one_pass(store, rsa):
    """OpenDKIM's behaviour, part 9."""
    store.add("inline:rsa", rsa)
    signing_table, key_table = tables(
        "example.com=r,*=e:@%", f"r=%:s1:inline:rsa,e=%:s2:{INLINE}:ed25519-sha256"
    )
    profile = SigningProfile(lifetime=3600)
    signers = signers_for(
        author(Header(MESSAGE.partition(b"\r\n\r\n")[0])),
        *(signing_table, key_table, store, profile),
        all_matches=True,
    )
    assert [str(signer.selector) for signer in signers] == ["s1", "s2"]
    assert [signer.profile for signer in signers] == [profile, profile]
    fields = dkimcore.sign(MESSAGE, signers)
    signed = b"".join(field.raw + b"\r\n" for field in fields) + MESSAGE
    records = {
        "s1._domainkey.example.com": rsa.key_record().decode(),
        "s2._domainkey.example.com": EphemeralKey.ed25519(bytes(32)).key_record().decode(),
    }
    results = dkimcore.verify(signed, resolver=StaticResolver(records))
    assert [str(result.status) for result in results] == ["pass", "pass"]
    assert len(signers_for(ALICE, signing_table, key_table, store)) == 1


def test_an_inline_key_is_opened_once(store):
    signing_table, key_table = tables("*=e", f"e=%:s2:{INLINE}")
    one, two = (signers_for(ALICE, signing_table, key_table, store)[0] for _ in "12")
    assert one.key is two.key
    assert INLINE not in repr(one)


def test_a_file_is_a_key(store, tmp_path):
    (tmp_path / "example.com.der").write_bytes(DER)
    signing_table, key_table = tables("example.com=e", f"e=%:s2:{tmp_path}/%.der")
    (signer,) = signers_for(ALICE, signing_table, key_table, store)
    assert (str(signer.domain), signer.auid) == ("example.com", None)


def test_nobody_signs_for_others(store):
    assert signers_for(ALICE, *tables("example.org=e", "e=%:s2:/none"), store) == ()


@pytest.mark.parametrize(
    ("key", "error", "why"),
    [
        ("/none.pem", KeyNotFound, "none.pem"),
        ("A" * 60, KeyUnusable, "no sound private key"),
        (f"{INLINE}:rsa-sha256", TableError, "keys:9: .*says rsa-sha256, but the key makes ed25"),
    ],
)
def test_a_key_that_cannot_sign_is_an_error_never_unsigned_mail(store, key, error, why):
    with pytest.raises(error, match=why) as info:
        signers_for(ALICE, *tables("*=e", f"e=%:s2:{key}"), store)
    if len(key) == 60:
        assert key not in str(info.value) + repr(info.value)


def test_what_a_signer_refuses_names_the_row(store):
    store.add("inline:small", EphemeralKey.rsa(1024))
    long = ".".join(["a" * 63] * 3)
    with pytest.raises(TableError, match=r"keys:9: .*longer than the DNS can hold"):
        signers_for(ALICE, *tables("*=e", f"e={long}.example:{'s' * 50}:inline:small"), store)


def test_a_closed_store_says_so(store):
    store.close()
    _, key_table = tables("*=e", f"e=example.com:s2:{INLINE}")
    row = key_table.get("e")
    with pytest.raises(StateError, match="closed"):
        open_row(row, row.key_uri, store)
