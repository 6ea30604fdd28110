"""For tests of what uses dkimcore: keys and answers in memory, and the backends' check.

`EphemeralKey` signs, `StaticResolver` answers for it, and neither touches a file or the
network.  `check_key_backend` is what every third-party key backend runs in its own tests.
"""

from __future__ import annotations

import threading
import traceback
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from dkimcore.errors import DkimError, KeyBackendError, KeyNotFound
from dkimcore.keys import KeyContext
from dkimcore.keys.memory import MemoryKey
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.resolvers.static import StaticResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore.keys import KeyBackend, SigningKey

__all__ = ["BackendFault", "EphemeralKey", "StaticResolver", "check_key_backend"]

_THREADS = 8
_SIGNATURES = 8  # per thread
_CANARY = "canary-b71e5f0d-not-a-real-secret"


class EphemeralKey(MemoryKey):
    """A private key that lives as long as the object: a `SigningKey` without a file."""

    __slots__ = ()

    @classmethod
    def rsa(cls, bits: int = 2048) -> EphemeralKey:
        """Make an RSA key.

        Args:
            bits: Length of the modulus; 1024 at least.
        """
        return cls(rsa.generate_private_key(65537, bits), name="ephemeral:rsa")

    @classmethod
    def ed25519(cls, seed: bytes | None = None) -> EphemeralKey:
        """Make an Ed25519 key.

        Args:
            seed: 32 octets, for the same key every time; None makes a random one.
        """
        if seed is None:
            key = ed25519.Ed25519PrivateKey.generate()
        else:
            key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        return cls(key, name="ephemeral:ed25519")

    def key_record(self) -> bytes:
        """Return the key record to publish at ``selector._domainkey.domain``."""
        public_key = self.public_key
        return KeyRecord(public_key=public_key, key_type=public_key.key_type).print()

    def private_pem(self) -> bytes:
        """Return the private key as unencrypted PKCS#8, for tests that need a file."""
        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class BackendFault(AssertionError):
    """A key backend does not keep the contract; the text says which part, and how."""


def check_key_backend(
    open_key: KeyBackend,
    uri: str,
    *,
    context: KeyContext | None = None,
    unknown_uri: str | None = None,
) -> tuple[str, ...]:
    """Check a key backend against its contract.

    Opens the key several times and makes about 80 signatures.  The checks, in order, and
    what each proves::

        opens           open_key(uri, context) returns a key
        key pair        algorithm, public half and signatures belong together, the digest is
                        not hashed again, RSA is padded as PKCS#1 v1.5 and has 1024 bits
                        or more
        deterministic   one digest has one signature, after opening the key anew too
        digest length   a digest of other than 32 octets raises KeyBackendError
        threads         one key signs right from 8 threads at once
        unknown key     a key that does not exist raises KeyNotFound
        wrong secrets   with secrets that are wrong, opening works or raises DkimError
        no secrets      no secret shows in the key's repr or in any exception above,
                        its chain included

    Args:
        open_key: The backend.
        uri: A key that it can open.
        context: What it needs for that.
        unknown_uri: A key that does not exist; None puts a suffix to the path of `uri`.

    Returns:
        The names of the checks, all of which passed.

    Raises:
        BackendFault: The first check that failed.
        KeyUriError: `uri` is not a key URI.
    """
    check = _BackendCheck(open_key, KeyUri.parse(uri), context or KeyContext())
    unknown = KeyUri.parse(unknown_uri) if unknown_uri is not None else _unknown(check.uri)
    names = []
    for name, step in check.steps(unknown):
        try:
            step()
        except BackendFault as exc:
            raise BackendFault(f"{check.uri.scheme}: {name}: {exc}") from check.quotable(
                exc.__cause__
            )
        names.append(name)
    return tuple(names)


def _unknown(uri: KeyUri) -> KeyUri:
    return replace(uri, path=uri.path + "-unknown-to-everybody")


class _BackendCheck:
    """The checks, sharing one open key and what was seen of secrets."""

    def __init__(self, open_key: KeyBackend, uri: KeyUri, context: KeyContext) -> None:
        self.uri = uri
        self._open_key = open_key
        self._secrets = {_CANARY}
        self._seen: list[str] = []
        self._context = replace(context, secret=self._recording(context.secret))
        self._key: SigningKey

    def _recording(self, ask: Callable[[str], str | None]) -> Callable[[str], str | None]:
        def secret(name: str) -> str | None:
            value = ask(name)
            if value:
                self._secrets.add(value)
            return value

        return secret

    def steps(self, unknown: KeyUri) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "opens", self._opens
        yield "key pair", self._key_pair
        yield "deterministic", self._deterministic
        yield "digest length", self._digest_length
        yield "threads", self._threads
        yield "unknown key", lambda: self._unknown_key(unknown)
        yield "wrong secrets", self._wrong_secrets
        yield "no secrets", self._no_secrets

    def _opens(self) -> None:
        self._key = self._open()

    def _open(self) -> SigningKey:
        try:
            return self._open_key(self.uri, self._context)
        except Exception as exc:
            raise self._fault("the key could not be opened", exc) from exc

    def _key_pair(self) -> None:
        try:
            check_key(self._key, uri=str(self.uri))
        except Exception as exc:
            raise self._fault("the key is unfit to sign", exc) from exc

    def _deterministic(self) -> None:
        again = self._open()
        digest = sha256(b"deterministic").digest()
        if self._sign(self._key, digest) != self._sign(self._key, digest):
            raise BackendFault("two signatures of one digest differ")
        if again.public_key != self._key.public_key:
            raise BackendFault("opening the key again gave another public half")
        if self._sign(again, digest) != self._sign(self._key, digest):
            raise BackendFault("the key signs differently after opening it again")

    def _digest_length(self) -> None:
        for length in (0, 20, 31, 33, 64):
            try:
                self._key.sign_digest(bytes(length))
            except KeyBackendError as exc:
                self._saw(exc)
            except Exception as exc:
                problem = f"a digest of {length} octets raises {type(exc).__name__}"
                raise self._fault(f"{problem} and not KeyBackendError", exc) from exc
            else:
                raise BackendFault(f"a digest of {length} octets is signed; 32 are needed")

    def _threads(self) -> None:
        faults: list[BackendFault] = []
        start = threading.Barrier(_THREADS)
        public_key, algorithm = self._key.public_key, self._key.algorithm

        def work(thread: int) -> None:
            start.wait()
            try:
                for count in range(_SIGNATURES):
                    digest = sha256(b"%d %d" % (thread, count)).digest()
                    signature_data = self._sign(self._key, digest)
                    if not public_key.verifies(signature_data, digest, algorithm):
                        faults.append(BackendFault(f"with {_THREADS} threads a signature is wrong"))
            except BackendFault as exc:
                faults.append(exc)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]

    def _unknown_key(self, unknown: KeyUri) -> None:
        try:
            self._open_key(unknown, self._context)
        except KeyNotFound as exc:
            self._saw(exc)
        except Exception as exc:
            problem = f"a key that does not exist raises {type(exc).__name__}"
            raise self._fault(f"{problem} and not KeyNotFound", exc) from exc
        else:
            raise BackendFault("a key that does not exist is opened")

    def _wrong_secrets(self) -> None:
        context = replace(self._context, secret=lambda _: _CANARY)
        try:
            self._seen.append(repr(self._open_key(self.uri, context)))
        except DkimError as exc:
            self._saw(exc)
        except Exception as exc:
            problem = f"a wrong secret raises {type(exc).__name__}"
            raise self._fault(f"{problem} and not DkimError", exc) from exc

    def _no_secrets(self) -> None:
        self._seen += [repr(self._key), str(self._key)]
        for text in self._seen:
            if self._leaks(text):
                raise BackendFault("a secret shows in an exception or in the key's repr")

    def _sign(self, key: SigningKey, digest: bytes) -> bytes:
        try:
            return key.sign_digest(digest)
        except Exception as exc:
            raise self._fault("signing a digest of 32 octets failed", exc) from exc

    def _leaks(self, text: str) -> bool:
        return "PRIVATE KEY-----" in text or any(secret in text for secret in self._secrets)

    def _saw(self, exc: BaseException) -> None:
        self._seen.append("".join(traceback.format_exception(exc)))

    def _fault(self, problem: str, exc: Exception) -> BackendFault:
        """Make a fault that quotes an exception, unless a secret shows in that."""
        text = "a secret shows in its text" if self.quotable(exc) is None else str(exc)
        return BackendFault(f"{problem}: {type(exc).__name__}: {text}")

    def quotable(self, exc: BaseException | None) -> BaseException | None:
        """Return the exception if it may be shown."""
        if exc is None or self._leaks("".join(traceback.format_exception(exc))):
            return None
        return exc
