"""The contract of a key that signs elsewhere (`RemoteKey`), beyond that of every key."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
import warnings
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from dkimcore.errors import KeyBackendError, KeyUnavailable
from dkimcore.keys.conformance.check import BackendFault
from dkimcore.keys.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dkimcore.keys import RemoteKey, SigningKey
    from dkimcore.keys.conformance.check import Check
    from dkimcore.keys.uri import KeyUri

__all__ = ["RemoteCheck"]

_MORE = 4  # threads than the endpoint has
_MOST_THREADS = 64
_SIGNATURES = 4  # per thread
_LARGEST_BATCH = 64
_NEXT_TO_NO_TIME = 0.001  # seconds
_GRACE = 2.0  # seconds: an operating system needs some to give up
_CHILD = 60.0  # seconds for a child process


class RemoteCheck:
    """The checks of one key.

    Args:
        check: Who makes them.
        uri: The key's name.
        key: The key.
    """

    def __init__(self, check: Check, uri: KeyUri, key: SigningKey) -> None:
        self._check = check
        self._uri = uri
        self._key = cast("RemoteKey", key)

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the checks with their names."""
        yield "endpoint", self._endpoint
        yield "batch", self._batch
        yield "batch length", self._batch_length
        yield "many threads", self._many_threads
        yield "timeout", self._timeout
        if hasattr(os, "fork"):
            yield "fork", self._fork

    def _endpoint(self) -> None:
        key, again = self._key, self._check.open(self._uri)
        if not isinstance(key.endpoint, Endpoint):
            raise BackendFault(
                "its endpoint is no Endpoint; take that of context.endpoint(section)"
            )
        if getattr(again, "endpoint", None) is not key.endpoint:
            raise BackendFault(
                "opening the key again gave another endpoint; take that of "
                "context.endpoint(section), so that its limits hold for all keys together"
            )
        if type(key.batch) is not int or key.batch < 1:
            raise BackendFault(f"its batch is {key.batch!r}; 1 is for keys that take one digest")

    def _batch(self) -> None:
        size = min(self._key.batch, _LARGEST_BATCH)
        for number in {1, min(2, size), size}:
            digests = [sha256(b"batch %d" % each).digest() for each in range(number)]
            self._right(self._sign(digests), digests)

    def _batch_length(self) -> None:
        good = sha256(b"batch length").digest()
        digests = [good, bytes(31)] if self._key.batch > 1 else [bytes(31)]
        try:
            outcomes = self._key.sign_digests(digests, timeout=self._time)
        except KeyBackendError as exc:
            self._check.saw(exc)
            return
        except Exception as exc:
            problem = "a digest of 31 octets in a call raises something else than KeyBackendError"
            raise self._check.fault(problem, exc) from exc
        if len(outcomes) != len(digests) or not isinstance(outcomes[-1], KeyBackendError):
            raise BackendFault("a digest of 31 octets in a call is signed; 32 are needed")
        self._check.saw(outcomes[-1])

    def _many_threads(self) -> None:
        number = min(self._key.endpoint.limits.threads + _MORE, _MOST_THREADS)
        start, faults, signed = threading.Barrier(number), list[BackendFault](), list[int]()

        def work(thread: int) -> None:
            start.wait()
            for count in range(_SIGNATURES):
                digest = sha256(b"many %d %d" % (thread, count)).digest()
                try:
                    signed.append(self._right(self._sign([digest]), [digest], or_unavailable=True))
                except BackendFault as exc:
                    faults.append(exc)
                    return

        threads = [threading.Thread(target=work, args=(each,)) for each in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise BackendFault(f"with {number} threads: {faults[0]}") from faults[0].__cause__
        if not sum(signed):
            raise BackendFault(f"with {number} threads nobody gets a signature")

    def _timeout(self) -> None:
        digest = sha256(b"timeout").digest()
        begun = time.monotonic()
        outcomes = self._sign([digest], timeout=_NEXT_TO_NO_TIME)
        seconds = time.monotonic() - begun
        self._right(outcomes, [digest], or_unavailable=True)
        if seconds > _NEXT_TO_NO_TIME + _GRACE:
            raise BackendFault(
                f"a call that may take {_NEXT_TO_NO_TIME:g} s took {seconds:.1f} s; let the "
                "timeout bound the whole call, with connecting and reading"
            )

    def _fork(self) -> None:
        digest = sha256(b"fork").digest()
        for opened, answer in zip(
            ("the key", "the key opened there"), self._ask_child(digest), strict=True
        ):
            if not self._is_right(answer, digest):
                said = answer.decode("ascii", "replace")[:100] or "nothing came"
                raise BackendFault(f"in a child process {opened} does not sign: {said}")
        self._right(self._sign([digest]), [digest])

    def _ask_child(self, digest: bytes) -> Sequence[bytes]:
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            # Python warns of forks in processes with threads; servers fork all the same.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                os.write(writer, self._in_child(digest))
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as file:
            if not select.select([file], [], [], _CHILD)[0]:
                os.kill(child, signal.SIGKILL)
            answer = file.read()
        os.waitpid(child, 0)
        first, _, second = answer.partition(b"\n\n")
        return [bytes.fromhex(each.decode()) if each else b"" for each in (first, second)]

    def _in_child(self, digest: bytes) -> bytes:
        ways = (
            lambda: self._key,
            lambda: cast("RemoteKey", self._check.open_key(self._uri, self._check.context)),
        )
        return b"\n\n".join(self._answer(find, digest).hex().encode() for find in ways)

    def _answer(self, find: Callable[[], RemoteKey], digest: bytes) -> bytes:
        try:
            (outcome,) = find().sign_digests([digest], timeout=self._time)
        except BaseException as exc:  # noqa: BLE001 - the parent judges
            return type(exc).__name__.encode()  # its text may hold a secret
        return outcome if isinstance(outcome, bytes) else type(outcome).__name__.encode()

    @property
    def _time(self) -> float:
        limits = self._key.endpoint.limits
        return limits.connect_timeout + limits.read_timeout

    def _sign(
        self, digests: Sequence[bytes], *, timeout: float | None = None
    ) -> Sequence[bytes | KeyBackendError]:
        """Make one call; what it raises is everybody's outcome."""
        try:
            outcomes = self._key.sign_digests(
                digests, timeout=self._time if timeout is None else timeout
            )
        except KeyBackendError as exc:
            self._check.saw(exc)
            return [exc] * len(digests)
        except Exception as exc:
            raise self._check.fault("signing raises no KeyBackendError", exc) from exc
        with contextlib.suppress(TypeError):
            if len(outcomes) == len(digests):
                return outcomes
        raise BackendFault(f"{len(digests)} digests are not answered with as many signatures")

    def _right(
        self,
        outcomes: Sequence[bytes | KeyBackendError],
        digests: Sequence[bytes],
        *,
        or_unavailable: bool = False,
    ) -> int:
        """Judge outcomes; return how many signatures are among them."""
        signed = 0
        for outcome, digest in zip(outcomes, digests, strict=True):
            if or_unavailable and isinstance(outcome, KeyUnavailable):
                continue
            if isinstance(outcome, KeyBackendError):
                raise self._check.fault("a digest of 32 octets is not signed", outcome) from outcome
            if not self._is_right(outcome, digest):
                is_mixed = any(self._is_right(outcome, other) for other in digests)
                what = "another digest's; keep their order" if is_mixed else "wrong"
                raise BackendFault(f"of {len(digests)} signatures in a call one is {what}")
            signed += 1
        return signed

    def _is_right(self, signature_data: object, digest: bytes) -> bool:
        key = self._key
        return type(signature_data) is bytes and key.public_key.verifies(
            signature_data, digest, key.algorithm
        )
