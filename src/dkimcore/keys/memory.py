"""Private keys in the memory of this process: decode them, sign with them.

The one place where a private key is parsed, whatever it came from: a file, a row of a
key table, a secret store.  Reading it from there is left to the backends.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnusable
from dkimcore.keys.forking import renew_after_fork
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.crypto import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemoryKey", "decode_private_key", "without_frames"]

# Made once: constructing them costs as much as the call that takes them.
_PADDING = PKCS1v15()
_PREHASHED = Prehashed(SHA256())

_NOT_PRIVATE = (
    "this is no private key but something else in PEM, such as the public key or a certificate; "
    "name the private key"
)
_UNREADABLE = (
    "no sound private key can be read from it; it should be PEM or DER (PKCS#1 or PKCS#8), or "
    "the base64 of an Ed25519 seed"
)
_ENCRYPTED = (
    "the key is encrypted and no passphrase was given; put it into the environment variable "
    "DKIMCORE_PASSPHRASE, or into a file and name that in DKIMCORE_PASSPHRASE_FILE"
)
_NO_TEXT = (
    "the passphrase is no text: it holds half a character (a lone surrogate); give the octets with "
    "which the key was encrypted, decoded with surrogateescape, or the name of their file"
)


class MemoryKey:
    """A `SigningKey` made of a private key of `cryptography`.  A child process has its own copy.

    OpenSSL's key has a lock (rsa_get_blinding), and a child that was forked while another thread
    signed with it may have inherited it held: one in two thousand waited for ever.

    Args:
        private_key: The key.
        name: What errors call it: its key URI.
    """

    __slots__ = ("__weakref__", "_is_inherited", "_name", "_private_key", "algorithm", "public_key")

    is_local = True
    """It signs in this process, without waiting for anybody."""

    def __init__(self, private_key: RSAPrivateKey | Ed25519PrivateKey, *, name: str) -> None:
        self._private_key = private_key
        self._name = name
        self.algorithm = (
            Algorithm.RSA_SHA256
            if isinstance(private_key, RSAPrivateKey)
            else Algorithm.ED25519_SHA256
        )
        self.public_key = PublicKey.of(private_key.public_key())
        self._is_inherited = False
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Sign with a copy from now on, which is made when it is needed."""
        self._is_inherited = True

    def _copy(self) -> None:
        """Make it; threads that come together each make one, and the last one stays."""
        key = self._private_key
        if isinstance(key, RSAPrivateKey):
            numbers = key.private_numbers()
            self._private_key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
        self._is_inherited = False

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 header hash (see `SigningKey.sign_digest`).

        Raises:
            KeyUnusable: The digest has not 32 octets, or OpenSSL refuses the key.
        """
        if len(digest) != 32:
            raise KeyUnusable(f"a digest has 32 octets, this one has {len(digest)}", uri=self._name)
        try:
            # First: a thread that read the key before another one copied it has the parent's.
            if self._is_inherited:
                self._copy()
            key = self._private_key
            if isinstance(key, RSAPrivateKey):
                return key.sign(digest, _PADDING, _PREHASHED)
            return key.sign(digest)
        except Exception as exc:  # noqa: BLE001 - OpenSSL's refusals have many types
            problem = f"signing failed in OpenSSL ({type(exc).__name__}); the key is damaged"
        raise KeyUnusable(problem, uri=self._name)

    def __repr__(self) -> str:
        return f"<MemoryKey {self._name} {self.algorithm}, {self.public_key.bits} bits>"


def decode_private_key(
    octets: bytes, *, uri: str, passphrase: Callable[[], str | None], validate: bool = False
) -> RSAPrivateKey | Ed25519PrivateKey:
    """Decode a private key.

    Takes PEM or DER, PKCS#1 or PKCS#8, plain or encrypted; base64 of the 32 octets of an
    Ed25519 seed, as dkimpy writes it; and base64 of DER, as OpenDKIM's key tables may hold it.

    Args:
        octets: What the file or the store holds.
        uri: What errors call the key.
        passphrase: Asked only when the key is encrypted.  Octets that are not UTF-8 stand in it
            as ``surrogateescape`` writes them.
        validate: Check that the numbers of an RSA key fit each other, which takes 50 ms
            and longer and holds up other threads.  `KeyStore` signs a probe with each key
            instead, which a key with wrong numbers does not survive.

    Raises:
        KeyDenied: It is encrypted and the passphrase is absent or wrong.
        KeyUnusable: It is no private key, or neither RSA nor Ed25519.
    """
    if b"-----BEGIN" in octets:
        if b"PRIVATE KEY-----" not in octets:
            raise KeyUnusable(_NOT_PRIVATE, uri=uri)
    else:
        octets = _from_base64(octets)
        if len(octets) == 32:
            return Ed25519PrivateKey.from_private_bytes(octets)
    key = _load(octets, None, uri=uri, validate=validate)
    if key is None:
        text = passphrase()
        if not text:
            raise KeyDenied(_ENCRYPTED, uri=uri)
        secret = _octets(text)
        if secret is None:
            raise KeyDenied(_NO_TEXT, uri=uri)
        key = _load(octets, secret, uri=uri, validate=validate)
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise KeyUnusable("DKIM needs an RSA or an Ed25519 key, this is another kind", uri=uri)
    return key


def without_frames(error: KeyBackendError) -> KeyBackendError:
    """Return the error without its traceback and its chain.

    Their frames hold octets of the key, which tools that print local variables would show.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _load(octets: bytes, secret: bytes | None, *, uri: str, validate: bool) -> object:
    """Load a private key; None means that it is encrypted and `secret` is None."""
    load = load_pem_private_key if b"-----BEGIN" in octets else load_der_private_key
    try:
        return load(octets, secret, unsafe_skip_rsa_key_validation=not validate)
    except TypeError:
        return None
    except (ValueError, OverflowError, UnsupportedAlgorithm, InternalError):
        if secret is not None:
            raise KeyDenied("the passphrase does not open the key", uri=uri) from None
        raise KeyUnusable(_UNREADABLE, uri=uri) from None


def _octets(text: str) -> bytes | None:
    # The error would hold the passphrase, and be the context of another one.
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None


def _from_base64(octets: bytes) -> bytes:
    try:
        return binascii.a2b_base64(b"".join(octets.split()), strict_mode=True)
    except binascii.Error:
        return octets  # DER, then
