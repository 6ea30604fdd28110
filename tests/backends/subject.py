"""One key in one backend, as the contract wants it: it can be broken, moved about and healed.

A `Subject` has a key in a real server or token, and a door in front of it (`FaultProxy`, or the
PKCS#11 shim) through which the key is used.  Each backend's own are in the modules beside this
one; `subjects` lists them all.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dkimcore.keys import KeyContext
from dkimcore.keys.endpoint import Endpoint
from dkimcore.keys.events import LoggingObserver
from dkimcore.keys.sections import Sections
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.keyrecord import KeyRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dkimcore.errors import KeyBackendError
    from dkimcore.keys import SigningKey
    from dkimcore.keys.events import KeyEvent
    from dkimcore.protocol.crypto import PublicKey

__all__ = [
    "Fault",
    "Recorder",
    "Subject",
    "endpoint_of",
    "eventually",
    "record_of",
    "signs",
    "toml",
]

PATIENCE = 30.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong between us and a key.

    Attributes:
        name: What the test is called.
        kind: Which of our errors it is.
        words: A regular expression for the cause and the cure in its text.
        breaks: Makes it go wrong while a ``with`` block lasts; what that yields, if anything, is
            the URI that is opened instead of the subject's own.
        hangs: Whether nobody answers, so that only patience ends it.
        way: Whether it is on the way to the key, and so the same whatever key that is.
    """

    name: str
    kind: type[KeyBackendError]
    words: str
    breaks: Callable[[Subject], contextlib.AbstractContextManager[str | None]]
    hangs: bool = False
    way: bool = False

    def found_in(self, text: str) -> bool:
        """Whether cause and cure stand there."""
        return re.search(self.words, text) is not None


class Recorder:
    """An observer that remembers, and logs as programs' do."""

    def __init__(self) -> None:
        self._log = LoggingObserver()
        self._changed = threading.Condition()
        self.events: list[KeyEvent] = []

    def event(self, event: KeyEvent) -> None:
        """Remember an event."""
        self._log.event(event)
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def round_trip(
        self, endpoint: str, *, seconds: float, signatures: int, error: KeyBackendError | None
    ) -> None:
        """Log it."""
        self._log.round_trip(endpoint, seconds=seconds, signatures=signatures, error=error)

    def retried(self, endpoint: str) -> None:
        """Remember nothing."""

    def named(self, *names: str) -> list[KeyEvent]:
        """What was heard under one of these names."""
        return [event for event in tuple(self.events) if event.event in names]

    def wait_for(self, *names: str) -> KeyEvent:
        """Waits for an event of one of these names."""
        with self._changed:
            heard = self._changed.wait_for(lambda: self.named(*names), PATIENCE)
        assert heard, f"no {names}: {self.events}"
        return self.named(*names)[0]


class Subject(ABC):
    """A key in a backend.

    Args:
        algorithm: ``rsa`` or ``ed25519``.
    """

    kind: ClassVar[str]
    """The type of its section; empty where there is none."""
    signs_elsewhere: ClassVar[bool]
    """Whether each signature is asked for; otherwise the key is fetched once, or is a file."""
    opening_faults: ClassVar[tuple[Fault, ...]]
    signing_faults: ClassVar[tuple[Fault, ...]] = ()
    pins: ClassVar[bool] = True
    """Whether its URI leads to one key for ever."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.undo = contextlib.ExitStack()
        self.folder = Path(self.undo.enter_context(tempfile.TemporaryDirectory(prefix="dkimcore-")))
        self.name = f"{type(self).__name__.lower()}-{algorithm}"
        self.uri = ""

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs in its environment to reach the backend."""
        return {}

    def section(self, *, direct: bool = False) -> Mapping[str, object]:
        """Its section, but for the type.

        Args:
            direct: Whether the server itself is named, not the door.
        """
        return {}

    @abstractmethod
    def rotate(self) -> None:
        """Puts another key where the name leads that people use, under a new version."""

    def another_uri(self, name: str) -> str:
        """Where another key may be made, under a name."""
        raise NotImplementedError

    def await_refresh(self, heard: Recorder) -> None:  # noqa: B027 - most are never fetched again
        """Waits until an open key was fetched again after `rotate`.

        Args:
            heard: The observer of its store.
        """

    @abstractmethod
    def hanging(self) -> contextlib.AbstractContextManager[object]:
        """Lets nobody answer while a block lasts."""

    @abstractmethod
    def stop(self) -> None:
        """Takes the backend away."""

    @abstractmethod
    def start(self) -> None:
        """Brings it back."""

    # --- What all have in common ---------------------------------------------------------

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Takes the backend away while a block lasts."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def write(self, name: str, content: str | bytes, *, mode: int = 0o600) -> str:
        """Writes a file that is ours alone, in one step, and returns its path."""
        path, new = self.folder / name, self.folder / f"{name}.new"
        new.touch(0o600)
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        new.chmod(mode)
        new.replace(path)
        return str(path)

    def store(
        self,
        *,
        observer: Recorder | None = None,
        direct: bool = False,
        settings: Mapping[str, object] | None = None,
        **store: object,
    ) -> KeyStore:
        """Makes a key store.

        Args:
            observer: Hears what happens.
            direct: As for `section`.
            settings: More of the section.
            **store: The section ``[store]``.
        """
        store = {"deadline": 10.0, "negative": 0.0, **store}
        section = {"read_timeout": 4.0, **self.section(direct=direct), **(settings or {})}
        path = self.write(f"keys-{time.monotonic_ns()}.toml", toml(store, self, section))
        context = KeyContext(sections=Sections.load(path), observer=observer or Recorder())
        os.unlink(path)
        return KeyStore(context=context)

    def close(self) -> None:
        """Ends what it started."""
        self.undo.close()


def toml(store: Mapping[str, object], subject: Subject, section: Mapping[str, object]) -> str:
    """Prints a file of key backends.

    Args:
        store: The section ``[store]``.
        subject: Whose section is the other one.
        section: What that says.
    """
    lines = ["[store]", *_pairs(store)]
    if subject.kind:
        lines += [f"[backend.{subject.name}]", f'type = "{subject.kind}"', *_pairs(section)]
    return "\n".join(lines) + "\n"


def _pairs(values: Mapping[str, object]) -> list[str]:
    return [
        f"{name} = {str(value).lower() if isinstance(value, bool | int | float) else repr(value)}"
        for name, value in values.items()
    ]


def endpoint_of(store: KeyStore) -> Endpoint:
    """The one endpoint of a store whose keys are all in one backend."""
    (endpoint,) = store.context.resources.made(Endpoint)
    return endpoint


def eventually(condition: Callable[[], object]) -> None:
    """Asks until the answer is yes."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.02)


def record_of(public_key: PublicKey) -> bytes:
    """The key record to publish for a public half."""
    return KeyRecord(public_key=public_key, key_type=public_key.key_type).print()


def signs(key: SigningKey, digest: bytes) -> bool:
    """Whether a key makes a signature that its public half verifies."""
    return key.public_key.verifies(key.sign_digest(digest), digest, key.algorithm)
