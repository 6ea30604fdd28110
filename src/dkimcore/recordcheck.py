"""Does the DNS publish what a key signs?  Asked once, before a selector is first used.

A key kept elsewhere is made by one person and its record published by another, and either may
err: then every signature is good here and fails with everybody else.  `RecordCheck` compares the
public half with the key record and warns, or refuses the key.  Whether a verifier likes the rest
of a record is `dkimcore.diagnosis`'s, how the DNS is asked the resolver's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from logging import INFO, WARNING
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUnavailable, KeyUnusable
from dkimcore.keys.events import KeyEvent, LoggingObserver
from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.sections import RecordMode as Mode
from dkimcore.keys.sections import StoreSettings
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.keyrecord import KeyRecord, TxtStatus
from dkimcore.protocol.result import Unusable
from dkimcore.resolvers import DeadlineTxtResolver, broken_promise

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.errors import KeyBackendError
    from dkimcore.keys.events import KeyObserver
    from dkimcore.protocol.crypto import PublicKey
    from dkimcore.protocol.keyrecord import TxtAnswer
    from dkimcore.resolvers import TxtResolver
    from dkimcore.signer import Signer

__all__ = ["Fit", "RecordCheck", "Verdict", "judge"]

_THREADS = 4  # that wait for name servers in the background
_WAITING = 1024  # comparisons that wait for one of them; what is too many is asked for again later
_KNOWN = 4096  # comparisons that are remembered; with "%" in a key table there may be any number
_SOON = 60.0  # seconds until a name server that failed is asked again, if that long
_BRIEFLY = 1.0  # seconds for which its failure refuses a key
_SHOWN_RECORDS = 3
_ALIKE = 44  # characters of p= in which RSA keys of one length are alike
_SHOWN_KEY = 24


class Fit(Enum):
    """How a key and what the DNS says fit each other."""

    FITS = "fits"
    DIFFERS = "differs"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a comparison came to.

    Attributes:
        fit: It, in one word.
        text: Cause and cure, for an operator; empty if all is well.
    """

    fit: Fit
    text: str = ""


def judge(signer: Signer, answer: TxtAnswer) -> Verdict:
    """Compare a key with what the DNS says.

    Args:
        signer: Who signs, and with which key.
        answer: The answer for the name of its key record.

    Returns:
        `Fit.FITS` if one record has the key and permits its use: k=, h=, s= and t=s
        (RFC 6376 section 3.6.1).
    """
    name = _name(signer).removesuffix(".")
    if answer.status is TxtStatus.FAILED:
        detail = answer.detail or "the query failed"
        return Verdict(fit=Fit.UNKNOWN, text=f"the key record {name} cannot be asked for: {detail}")
    cure = f"publish it as: {_wanted(signer.key.public_key)}"
    if not answer.records:
        return Verdict(
            fit=Fit.ABSENT,
            text=f"there is no key record {name}, so nobody can verify what this key signs; {cure}",
        )
    problems = [_problem(signer, record) for record in answer.records]
    if None in problems:
        return Verdict(fit=Fit.FITS)
    found = "; ".join(filter(None, problems[:_SHOWN_RECORDS]))
    return Verdict(
        fit=Fit.DIFFERS,
        text=f"the key record {name} does not fit: {found}; this key is "
        f"{_shown(signer.key.public_key)}. Nobody can verify what it signs: {cure}; or name the "
        "selector under which this key is published",
    )


def _problem(signer: Signer, octets: bytes) -> str | None:
    """Say why a record does not do for a key; None: it does."""
    try:
        record = KeyRecord.parse(octets)
    except Unusable as exc:
        return f"the DNS has what is no key record ({exc.detail})"
    public_key, algorithm = signer.key.public_key, signer.key.algorithm
    if record.public_key is None:
        return "the DNS has an empty p=: the key is revoked"
    if not _is_same(record.public_key, public_key):
        return f"the DNS has another key, {_shown(record.public_key)}"
    if not {"*", "email"}.intersection(record.service_types):
        return "the DNS has this key, but its s= excludes email"
    hashes = record.hash_algorithms
    if hashes is not None and algorithm.hash_algorithm.value not in hashes:
        return f"the DNS has this key, but its h= excludes {algorithm.hash_algorithm.value}"
    if record.is_strict and signer.auid is not None and signer.auid.domain != signer.domain:
        return "the DNS has this key, but its t=s forbids an i= of another domain than d="
    return None


def _is_same(published: PublicKey, own: PublicKey) -> bool:
    """Whether two keys are one; RSA may be published as SubjectPublicKeyInfo or bare."""
    if (published.key_type, published.bits) != (own.key_type, own.bits):
        return False
    one, other = published.encode(), own.encode()
    if own.key_type is KeyType.RSA:  # the former ends with the latter
        return one.endswith(other) or other.endswith(one)
    return one == other


def _shown(public_key: PublicKey) -> str:
    record = KeyRecord(public_key=public_key, key_type=public_key.key_type).print().decode()
    encoded = record.rpartition("p=")[2]
    if public_key.key_type is KeyType.RSA:  # the first octets are the same for many keys
        encoded = f"...{encoded[_ALIKE : _ALIKE + _SHOWN_KEY]}..."
    return f"{public_key.key_type}, {public_key.bits} bits, p={encoded}"


def _wanted(public_key: PublicKey) -> str:
    return KeyRecord(public_key=public_key, key_type=public_key.key_type).print().decode()


def _name(signer: Signer) -> str:
    return f"{signer.selector.ascii}._domainkey.{signer.domain.ascii}."


@dataclass(slots=True)
class _State:
    """What is known about one signer's record.

    Attributes:
        verdict: The last one; None before.
        until: Until when it counts, on the clock.
        lock: Held by who asks.
        is_queued: Whether the background is going to ask.
    """

    verdict: Verdict | None = None
    until: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_queued: bool = False


class RecordCheck:
    """Compares keys with their records, each once.  Safe to share between threads.

    Args:
        resolver: Whom to ask.
        mode: What follows from a difference; None: keys in files are not looked at, and about
            others there is a warning.
        settings: How often one is compared that did not fit (`refresh`), how long one is refused
            (`negative`), and how long `admit` may wait (`deadline`).
        observer: Hears of differences.
        clock: The time in seconds.
    """

    def __init__(
        self,
        resolver: TxtResolver,
        mode: Mode | None = None,
        *,
        settings: StoreSettings | None = None,
        observer: KeyObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._mode = mode
        self._settings = StoreSettings() if settings is None else settings
        self._observer = LoggingObserver() if observer is None else observer
        self._clock = clock
        self._states: dict[tuple[str, str | None, bytes], _State] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin anew with what the parent was asking."""
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Signer, _State]] = deque()
        self._threads = 0
        for state in tuple(self._states.values()):
            state.lock, state.is_queued = threading.Lock(), False

    def mode_of(self, key_uri: str) -> Mode:
        """Return what follows from a difference for a key.

        Args:
            key_uri: Its URI.
        """
        if self._mode is not None:
            return self._mode
        is_local = key_uri.startswith(("file:", "inline:")) or ":" not in key_uri
        return Mode.IGNORE if is_local else Mode.WARN

    def admit(self, signer: Signer) -> None:
        """Let a signer sign, or not; to be called before each signature, or before the first.

        With `warn` nothing is waited for: what does not fit is told to the observer.  With
        `refuse` the first call waits for the DNS, at most for `StoreSettings.deadline`.

        Raises:
            KeyUnusable: The record is absent, revoked, or of another key (`refuse`).
            KeyUnavailable: The DNS cannot be asked (`refuse`).
        """
        uri = _uri(signer)
        mode = self.mode_of(uri)
        if mode is Mode.IGNORE:
            return
        state = self._state(signer)
        is_known = self._counts(state)
        if mode is Mode.WARN:
            if not is_known:
                self._ask_later(signer, state)
            return
        if not is_known:
            self._ask_now(signer, state)
        error = _refusal(state.verdict, uri)
        if error is not None:
            raise error

    def is_known(self, signer: Signer) -> bool:
        """Whether `admit` need not wait."""
        if self.mode_of(_uri(signer)) is not Mode.REFUSE:
            return True
        return self._counts(self._state(signer))

    def _counts(self, state: _State) -> bool:
        """Whether what is known needs no asking again: a record that fits never does."""
        verdict = state.verdict
        return verdict is not None and (verdict.fit is Fit.FITS or self._clock() < state.until)

    def _state(self, signer: Signer) -> _State:
        auid_domain = None if signer.auid is None else signer.auid.domain.ascii
        name = (_name(signer), auid_domain, signer.key.public_key.encode())
        state = self._states.get(name)
        if state is None:
            with self._lock:
                while len(self._states) >= _KNOWN:
                    del self._states[next(iter(self._states))]
                state = self._states.setdefault(name, _State())
        return state

    def _ask_now(self, signer: Signer, state: _State) -> None:
        """Compare, waiting for the DNS or for who asks it already."""
        patience = self._settings.deadline
        end = time.monotonic() + patience
        if not state.lock.acquire(timeout=patience):
            problem = "its key record is being asked for, and the DNS is slow; try again"
            raise KeyUnavailable(problem, uri=_uri(signer))
        try:
            if not self._counts(state):
                self._compare(signer, state, timeout=max(end - time.monotonic(), 0.05))
        finally:
            state.lock.release()

    def _ask_later(self, signer: Signer, state: _State) -> None:
        """Let the background compare, unless it is going to."""
        with self._lock:
            if state.is_queued or len(self._waiting) >= _WAITING:
                return
            state.is_queued = True
            self._waiting.append((signer, state))
            if self._threads < _THREADS:
                try:
                    name = f"key-record-{self._threads}"
                    threading.Thread(target=self._run, daemon=True, name=name).start()
                except RuntimeError:  # the system has no more threads: later, or another one
                    if self._threads == 0:
                        self._waiting.pop()
                        state.is_queued = False
                else:
                    self._threads += 1

    def _run(self) -> None:
        """Compare what waits, and end."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                signer, state = self._waiting.popleft()
            try:
                with state.lock:
                    self._compare(signer, state, timeout=None)
            finally:
                state.is_queued = False

    def _compare(self, signer: Signer, state: _State, *, timeout: float | None) -> None:
        before = state.verdict
        verdict = judge(signer, self._answer(_name(signer), timeout))
        mode = self.mode_of(_uri(signer))
        seconds = self._settings.refresh
        if verdict.fit is Fit.UNKNOWN:
            seconds = min(seconds, _SOON)
        if mode is Mode.REFUSE:
            seconds = self._settings.negative
            if verdict.fit is Fit.UNKNOWN:
                seconds = min(seconds, _BRIEFLY)
        state.until = self._clock() + seconds
        state.verdict = verdict
        self._tell(signer, verdict, before)

    def _answer(self, name: str, timeout: float | None) -> TxtAnswer:
        resolver = self._resolver
        try:
            if timeout is not None and isinstance(resolver, DeadlineTxtResolver):
                return resolver.lookup_txt(name, timeout=timeout)
            return resolver.lookup_txt(name)
        except Exception as exc:  # noqa: BLE001 - resolvers are written by others
            return broken_promise(exc)

    def _tell(self, signer: Signer, verdict: Verdict, before: Verdict | None) -> None:
        if verdict.fit is Fit.FITS and (before is None or before.fit is Fit.FITS):
            return
        level = WARNING if verdict.fit in (Fit.DIFFERS, Fit.ABSENT) else INFO
        text = verdict.text or f"the key record {_name(signer).removesuffix('.')} fits it now"
        self._observer.event(
            KeyEvent(
                level=level,
                event=f"record-{verdict.fit.value}",
                text=text,
                uri=_uri(signer),
                fields={"domain": signer.domain.ascii, "selector": signer.selector.ascii},
            )
        )


def _uri(signer: Signer) -> str:
    uri = getattr(signer.key, "uri", "")
    return uri if isinstance(uri, str) else ""


def _refusal(verdict: Verdict | None, uri: str) -> KeyBackendError | None:
    """Return why a key may not sign; None: it may."""
    if verdict is None or verdict.fit is Fit.FITS:
        return None
    if verdict.fit is Fit.UNKNOWN:
        return KeyUnavailable(f"{verdict.text}; it signs once that is known", uri=uri)
    return KeyUnusable(verdict.text, uri=uri)
