"""The contract of every key backend: open a key, sign with it, and tell no secret."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from dkimcore.errors import DkimError, KeyNotFound
from dkimcore.keys import KeyContext
from dkimcore.keys.conformance.check import CANARY, BackendFault, Check
from dkimcore.keys.conformance.remote import RemoteCheck
from dkimcore.keys.resources import Resources
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.uri import KeyUri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore.keys import KeyBackend, SigningKey

__all__ = ["check_key_backend"]

_THREADS = 8
_SIGNATURES = 8  # per thread


def check_key_backend(
    open_key: KeyBackend,
    uri: str,
    *,
    context: KeyContext | None = None,
    unknown_uri: str | None = None,
) -> tuple[str, ...]:
    """Check a key backend against its contract.

    Opens the key several times and makes about 80 signatures; a key that signs elsewhere makes
    some hundred more.  The checks, in order, and what each proves::

        opens           open_key(uri, context) returns a key
        key pair        algorithm, public half and signatures belong together, the digest is
                        not hashed again, RSA is padded as PKCS#1 v1.5 and has 1024 bits
                        or more
        deterministic   one digest has one signature, after opening the key anew too
        digest length   a digest of other than 32 octets raises KeyBackendError
        threads         one key signs right from 8 threads at once
        unknown key     a key that does not exist raises KeyNotFound
        wrong secrets   with secrets that are wrong, opening works or raises DkimError
        no secrets      no secret shows in the key's repr, in an event or in any exception
                        above, its chain included

    For a `RemoteKey`, which has an endpoint, these come before the last one::

        endpoint        it is the one of context.endpoint, which all keys of a section share,
                        and the key says how many digests a call takes
        batch           several digests in one call are signed each, in their order
        batch length    a digest of another length among them is not signed
        many threads    more threads than the endpoint has get right signatures, or
                        KeyUnavailable
        timeout         a call with next to no time ends soon, with right signatures or with
                        KeyUnavailable
        fork            the key signs in a child process, is opened there, and then signs in
                        the parent again

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
    parsed = KeyUri.parse(uri)
    check = _BackendCheck(open_key, parsed, context or KeyContext())
    unknown = KeyUri.parse(unknown_uri) if unknown_uri is not None else _unknown(parsed)
    return check.run(check.steps(unknown))


def _unknown(uri: KeyUri) -> KeyUri:
    return replace(uri, path=uri.path + "-unknown-to-everybody")


class _BackendCheck(Check):
    """The checks, sharing one open key."""

    def __init__(self, open_key: KeyBackend, uri: KeyUri, context: KeyContext) -> None:
        super().__init__(uri.scheme, open_key, context)
        self._uri = uri
        self._key: SigningKey

    def steps(self, unknown: KeyUri) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "opens", self._opens
        yield "key pair", self._key_pair
        yield "deterministic", self._deterministic
        yield "digest length", self._digest_length
        yield "threads", self._threads
        yield "unknown key", lambda: self._unknown_key(unknown)
        yield "wrong secrets", self._wrong_secrets
        if hasattr(self._key, "sign_digests") and getattr(self._key, "endpoint", None) is not None:
            yield from RemoteCheck(self, self._uri, self._key).steps()
        yield "no secrets", self._no_secrets

    def _opens(self) -> None:
        self._key = self.open(self._uri)

    def _key_pair(self) -> None:
        try:
            check_key(self._key, uri=str(self._uri))
        except Exception as exc:
            raise self.fault("the key is unfit to sign", exc) from exc

    def _deterministic(self) -> None:
        again = self.open(self._uri)
        digest = sha256(b"deterministic").digest()
        if self._sign(self._key, digest) != self._sign(self._key, digest):
            raise BackendFault("two signatures of one digest differ")
        if again.public_key != self._key.public_key:
            raise BackendFault("opening the key again gave another public half")
        if self._sign(again, digest) != self._sign(self._key, digest):
            raise BackendFault("the key signs differently after opening it again")

    def _digest_length(self) -> None:
        for length in (0, 20, 31, 33, 64):
            digest = bytes(length)
            self.refused(
                f"a digest of {length} octets",
                partial(self._key.sign_digest, digest),
                otherwise="is signed; 32 are needed",
            )

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
        self.refused(
            "a key that does not exist",
            lambda: self.open_key(unknown, self.context),
            otherwise="is opened",
            kind=KeyNotFound,
        )

    def _wrong_secrets(self) -> None:
        # A login that was made with the right ones would not ask for them.
        context = replace(self.context, secret=lambda _: CANARY, resources=Resources())
        try:
            self.seen.append(repr(self.open_key(self._uri, context)))
        except DkimError as exc:
            self.saw(exc)
        except Exception as exc:
            problem = f"a wrong secret raises {type(exc).__name__}"
            raise self.fault(f"{problem} and not DkimError", exc) from exc
        finally:
            context.resources.close()

    def _no_secrets(self) -> None:
        self.seen += [repr(self._key), str(self._key)]
        self.no_secrets()

    def _sign(self, key: SigningKey, digest: bytes) -> bytes:
        try:
            return key.sign_digest(digest)
        except Exception as exc:
            raise self.fault("signing a digest of 32 octets failed", exc) from exc
