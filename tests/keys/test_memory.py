"""Private keys decode from every form in use, and nothing else does."""

from __future__ import annotations

import base64
import contextlib
import threading
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnusable
from dkimcore.keys.memory import MemoryKey, decode_private_key, without_frames
from dkimcore.keys.secrets import secret_from
from dkimcore.protocol.algorithm import Algorithm
from tests.keys.test_forking import in_child

CASES = Path(__file__).resolve().parent.parent / "cases" / "keys"
DIGEST = bytes(range(32))
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PEM, DER = Encoding.PEM, Encoding.DER
PKCS1, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


def decode(octets, passphrase=None, **options):
    key = decode_private_key(octets, uri="file:k", passphrase=lambda: passphrase, **options)
    return MemoryKey(key, name="file:k")


@pytest.mark.parametrize("encoding", [PEM, DER])
@pytest.mark.parametrize("form", [PKCS1, PKCS8])
@pytest.mark.parametrize("validate", [False, True])
def test_rsa_in_each_form(rsa_key, encoding, form, validate):
    key = decode(rsa_key.private_bytes(encoding, form, NoEncryption()), validate=validate)
    assert key.algorithm is Algorithm.RSA_SHA256
    assert key.public_key.bits == 2048
    signature_data = key.sign_digest(DIGEST)
    assert key.public_key.verifies(signature_data, DIGEST, key.algorithm)
    assert repr(key) == "<MemoryKey file:k rsa-sha256, 2048 bits>"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_a_child_signs_though_the_parent_was_signing_with_the_same_key(rsa_key, algorithm):
    """OpenSSL has locks in a key: a child that uses them waits for a thread that is not there.

    What it waits for cannot be held from here, so that the copy is what shows.
    """
    parents = rsa_key if algorithm == "rsa" else Ed25519PrivateKey.from_private_bytes(SEED)
    key, stop = MemoryKey(parents, name="file:k"), threading.Event()

    def work():
        while not stop.is_set():
            key.sign_digest(DIGEST)

    def check():
        signature_data = key.sign_digest(DIGEST)
        is_own = key._private_key is not parents or algorithm == "ed25519"
        return is_own and key.public_key.verifies(signature_data, DIGEST, key.algorithm)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert all(in_child(check) for _ in range(5))
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert key._private_key is parents


@pytest.mark.rfc("8463", "A.2")
@pytest.mark.parametrize(
    "octets",
    [
        base64.b64encode(SEED),  # dkimpy's dknewkey
        base64.b64encode(SEED) + b"\r\n",
        Ed25519PrivateKey.from_private_bytes(SEED).private_bytes(PEM, PKCS8, NoEncryption()),
        Ed25519PrivateKey.from_private_bytes(SEED).private_bytes(DER, PKCS8, NoEncryption()),
    ],
)
def test_ed25519_in_each_form(octets):
    key = decode(octets)
    assert key.algorithm is Algorithm.ED25519_SHA256
    assert base64.b64encode(key.public_key.encode()) == (
        b"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    )
    assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)


def test_a_key_that_dkimpy_writes(tmp_path):
    from dkim import dknewkey

    path = tmp_path / "key"
    dknewkey.GenEd25519Keys(str(path), verbose=False)
    assert decode(path.read_bytes()).algorithm is Algorithm.ED25519_SHA256


def test_base64_without_armour_as_opendkim_takes_it(rsa_key):
    der = rsa_key.private_bytes(DER, PKCS1, NoEncryption())
    assert decode(base64.encodebytes(der)).public_key.bits == 2048


@pytest.mark.parametrize(("encoding", "form"), [(PEM, PKCS1), (PEM, PKCS8), (DER, PKCS8)])
def test_an_encrypted_key_needs_its_passphrase(rsa_key, passphrase, encoding, form):
    octets = rsa_key.private_bytes(encoding, form, BestAvailableEncryption(passphrase.encode()))
    assert decode(octets, passphrase).public_key.bits == 2048
    with pytest.raises(KeyDenied, match="DKIMCORE_PASSPHRASE"):
        decode(octets)
    with pytest.raises(KeyDenied, match="does not open") as caught:
        decode(octets, "wrong-" + passphrase)
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


def test_a_passphrase_need_not_be_utf_8(rsa_key, keep):
    octets = "schl\xfcssel".encode("latin-1")
    pem = rsa_key.private_bytes(PEM, PKCS8, BestAvailableEncryption(octets))
    secret = secret_from({"passphrase": keep(octets + b"\n")}, environ={})
    assert decode(pem, secret("passphrase")).public_key.bits == 2048
    with pytest.raises(KeyDenied, match="does not open"):
        decode(pem, "schl\xfcssel")


@pytest.mark.parametrize("surrogate", [0xD800, 0xDC7F, 0xDD00, 0xDFFF])
def test_a_passphrase_that_is_no_text_is_refused_and_does_not_show(rsa_key, surrogate):
    pem = rsa_key.private_bytes(PEM, PKCS8, BestAvailableEncryption(b"other"))
    with pytest.raises(KeyDenied, match="the passphrase is no text") as caught:
        decode(pem, "CANARY" + chr(surrogate))
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_an_empty_passphrase_is_none(rsa_key):
    pem = rsa_key.private_bytes(PEM, PKCS8, BestAvailableEncryption(b"other"))
    with pytest.raises(KeyDenied, match="no passphrase was given"):
        decode(pem, "")


def test_a_passphrase_is_not_asked_for_without_need(rsa_key):
    octets = rsa_key.private_bytes(PEM, PKCS8, NoEncryption())
    decode_private_key(octets, uri="file:k", passphrase=lambda: pytest.fail("asked"))


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "no sound private key"),
        (b"hello", "no sound private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no sound"),
        (base64.b64encode(bytes(31)), "no sound"),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, NoEncryption()),
            "RSA or an Ed25519",
        ),
        (
            Ed25519PrivateKey.from_private_bytes(SEED)
            .public_key()
            .public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo),
            "public key",
        ),
    ],
)
def test_what_is_no_key_for_dkim_is_unusable(octets, says):
    with pytest.raises(KeyUnusable, match=says):
        decode(octets)


def damaged(rsa_key):
    numbers = rsa_key.private_numbers()
    return rsa.RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=numbers.d + 2,
        dmp1=numbers.dmp1 + 2,
        dmq1=numbers.dmq1,
        iqmp=numbers.iqmp,
        public_numbers=numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)


def test_full_validation_finds_numbers_that_do_not_fit(rsa_key):
    octets = damaged(rsa_key).private_bytes(PEM, PKCS8, NoEncryption())
    decode(octets)  # the store's probe finds it
    with pytest.raises(KeyUnusable, match="sound"):
        decode(octets, validate=True)


@pytest.mark.parametrize("digest", [b"", bytes(20), bytes(31), bytes(33), bytes(64)])
@pytest.mark.parametrize("name", ["rsa2048.pem", None])
def test_only_32_octets_are_signed(name, digest):
    octets = (CASES / name).read_bytes() if name else base64.b64encode(SEED)
    with pytest.raises(KeyUnusable, match="32 octets"):
        decode(octets).sign_digest(digest)


def test_a_key_too_small_for_the_hash_raises_our_error():
    with pytest.raises(KeyUnusable, match="OpenSSL"):
        MemoryKey(TinyKey(), name="file:k").sign_digest(DIGEST)


class TinyKey(Ed25519PrivateKey):
    """A private key of another provider, which refuses."""

    def public_key(self):
        return Ed25519PrivateKey.from_private_bytes(SEED).public_key()

    def sign(self, data):
        raise ValueError("CANARY")

    private_bytes = private_bytes_raw = __copy__ = __deepcopy__ = lambda self, *_: None


def test_frames_and_chain_are_dropped():
    with pytest.raises(KeyUnusable) as caught:
        decode(b"hello")
    error = without_frames(caught.value)
    assert error is caught.value
    assert (error.__cause__, error.__context__, error.__traceback__) == (None, None, None)


KEY_DER = (CASES / "rsa1024.pem").read_bytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_octets_decode_or_raise_our_error(data):
    octets = bytearray(base64.b64decode(b"".join(KEY_DER.splitlines()[1:-1])))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(KeyBackendError):
        decode(bytes(octets))
