"""Keys in files: no server, so little can go wrong."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnusable
from dkimcore.testing import EphemeralKey
from tests.backends.subject import Fault, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileKey"]


@contextlib.contextmanager
def gone(subject: Subject) -> Iterator[None]:
    """The file is not there."""
    with subject.stopped():
        yield


@contextlib.contextmanager
def readable(subject: Subject) -> Iterator[None]:
    """Everybody can read the file."""
    path = subject.folder / "s1.pem"
    subject.folder.chmod(0o755)
    path.chmod(0o644)
    yield
    path.chmod(0o600)
    subject.folder.chmod(0o700)


@contextlib.contextmanager
def damaged(subject: Subject) -> Iterator[None]:
    """The file is cut."""
    path = subject.folder / "s1.pem"
    octets = path.read_bytes()
    path.write_bytes(octets[: len(octets) // 2])
    yield
    path.write_bytes(octets)


class FileKey(Subject):
    """A key in a file."""

    kind = ""
    signs_elsewhere = False
    pins = False
    opening_faults = (
        Fault(name="not found", kind=KeyNotFound, words="does not exist|no such file", breaks=gone),
        Fault(name="denied", kind=KeyDenied, words="chmod", breaks=readable),
        Fault(name="garbage", kind=KeyUnusable, words="private key", breaks=damaged),
    )

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithm)
        self.key = EphemeralKey.rsa() if algorithm == "rsa" else EphemeralKey.ed25519()
        self.uri = f"file:{self.write('s1.pem', self.key.private_pem())}"

    def rotate(self) -> None:
        """Writes another key over it."""
        other = EphemeralKey.rsa() if self.algorithm == "rsa" else EphemeralKey.ed25519()
        self.key = other
        self.write("s1.pem", other.private_pem())

    def hanging(self) -> contextlib.AbstractContextManager[object]:
        """A file does not hang."""
        return contextlib.nullcontext()

    def stop(self) -> None:
        """Moves the file away."""
        os.rename(self.folder / "s1.pem", self.folder / "away")

    def start(self) -> None:
        """Moves it back."""
        os.rename(self.folder / "away", self.folder / "s1.pem")
