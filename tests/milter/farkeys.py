"""A key service for tests, which does what it is told: waits, fails, answers wrong.

A key backend as others write them: an entry point, a scheme (``far:SERVICE/KEY``), and keys that
sign through their endpoint.  The key ``rsa...`` is RSA, all others are Ed25519.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dkimcore.errors import KeyNotFound, KeyUnavailable
from dkimcore.keys.remote import RemoteKeyBase
from dkimcore.testing import EphemeralKey
from tests.milter.site import SMALL_RSA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pytest

    from dkimcore.errors import KeyBackendError
    from dkimcore.keys import KeyContext
    from dkimcore.keys.uri import KeyUri

__all__ = ["FarKey", "FarService", "installed", "open_key", "service"]

_SERVICES: dict[str, FarService] = {}


class FarService:
    """A service and its keys.

    Attributes:
        gate: What every call waits for.
        keys: The keys, made when they are asked for.
        missing: Keys that there are not.
        problem: What calls are answered with instead.
        is_wrong: Whether signatures are of something else.
        calls: How many signatures each call asked for, as soon as it came.
        called: Counts calls.
        opened: The keys that were opened.
        closed: The keys that were closed.
        batch: How many signatures a call takes.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.keys: dict[str, EphemeralKey] = {}
        self.missing: set[str] = set()
        self.problem: KeyBackendError | None = None
        self.is_wrong = False
        self.calls: list[int] = []
        self.called = threading.Semaphore(0)
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.batch = 64

    def key(self, name: str) -> EphemeralKey:
        """Returns a key."""
        if name not in self.keys:
            is_rsa = name.startswith("rsa")
            self.keys[name] = SMALL_RSA if is_rsa else EphemeralKey.ed25519()
        return self.keys[name]

    def fail(self, name: str = "key") -> None:
        """Lets calls fail for now."""
        self.problem = KeyUnavailable(
            "the service is away; start it", uri=f"far:{name}", request_id="r-17"
        )


def service(name: str = "one") -> FarService:
    """Returns a service, making it if it is new."""
    return _SERVICES.setdefault(name, FarService())


class FarKey(RemoteKeyBase):
    """A key of a service."""

    def __init__(self, uri: KeyUri, context: KeyContext) -> None:
        where, _, self._name = uri.path.partition("/")
        self._service = service(where)
        section = context.sections.get("far", uri.options.get("backend"))
        endpoint = context.endpoint(section)
        if self._name in self._service.missing:
            raise KeyNotFound("the service has no such key; make it", uri=str(uri))
        self._key = endpoint.call(self._open, uri=str(uri))
        super().__init__(
            str(uri),
            algorithm=self._key.algorithm,
            public_key=self._key.public_key,
            endpoint=endpoint,
            batch=self._service.batch,
        )

    def _open(self, timeout: float) -> EphemeralKey:
        if self._service.problem is not None:
            raise self._service.problem
        self._service.opened.append(self._name)
        return self._service.key(self._name)

    def _sign(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        far = self._service
        far.calls.append(len(digests))
        far.called.release()
        far.gate.wait(30)
        if far.problem is not None:
            raise far.problem
        return [self._key.sign_digest(bytes(32) if far.is_wrong else each) for each in digests]

    def close(self) -> None:
        """Says goodbye."""
        self._service.closed.append(self._name)


def open_key(uri: KeyUri, context: KeyContext) -> FarKey:
    """Opens a key; the entry point."""
    return FarKey(uri, context)


@contextmanager
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarService]:
    """Installs the backend, with no services yet; gives the service ``one``."""
    distribution = folder / "farkeys-1.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Name: farkeys\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text(
        "[dkimcore.keys]\nfar = tests.milter.farkeys:open_key\n"
    )
    monkeypatch.syspath_prepend(folder)
    _SERVICES.clear()
    try:
        yield service()
    finally:
        for each in _SERVICES.values():
            each.gate.set()
