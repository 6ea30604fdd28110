"""Keys on a PKCS#11 token: SoftHSM, with a module in front of it as the door."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import quote

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.testing import EphemeralKey
from tests.backends.subject import Fault, Subject
from tests.servers.pkcs11shim import FUNCTIONS, Pkcs11Shim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.servers.softhsm import SoftHsm

__all__ = ["Pkcs11Key"]


def failing(function: str, code: int):
    """Makes what `Fault.breaks` is, of a function that returns a code."""

    @contextlib.contextmanager
    def breaks(subject: Pkcs11Key) -> Iterator[None]:
        subject.shim.fail(function, code, times=-1)
        yield
        subject.shim.fail(function, code, times=0)

    return breaks


def hanging(function: str):
    """Makes what `Fault.breaks` is, of a function that does not return."""

    @contextlib.contextmanager
    def breaks(subject: Pkcs11Key) -> Iterator[None]:
        with subject.shim.hanging(function):
            yield

    return breaks


@contextlib.contextmanager
def taken_out(subject: Pkcs11Key) -> Iterator[None]:
    """The token is out of its slot."""
    with subject.stopped():
        yield


@contextlib.contextmanager
def wrong_pin(subject: Pkcs11Key) -> Iterator[None]:
    """The file holds another PIN; the URI that names it is yielded."""
    path = subject.write("wrong-pin", "000000\n")
    yield subject.uri.replace(quote(subject.pin_file), quote(path))


@contextlib.contextmanager
def falsified(subject: Pkcs11Key) -> Iterator[None]:
    """A bit of each signature is changed."""
    subject.shim.set("wrong", 1)
    yield
    subject.shim.set("wrong", 0)


TOKEN = {
    "device error": ("CKR_DEVICE_ERROR", 0x30, KeyUnavailable, "look whether it is there"),
    "failed": ("CKR_FUNCTION_FAILED", 0x06, KeyUnavailable, "its own log may say why"),
    "out of memory": ("CKR_DEVICE_MEMORY", 0x31, KeyUnavailable, "delete what it need not"),
    "a code of its maker": ("0x80000123", 0x80000123, KeyUnavailable, "the token's manual"),
}


def transport(function: str) -> tuple[Fault, ...]:
    """What can go wrong with any call.

    Args:
        function: Of which function.
    """
    return (
        *(
            Fault(name=name, kind=kind, words=words, way=True, breaks=failing(function, code))
            for name, (_, code, kind, words) in TOKEN.items()
        ),
        Fault(
            name="hang",
            kind=KeyUnavailable,
            words="slow|hangs",
            breaks=hanging(function),
            hangs=True,
            way=True,
        ),
    )


class Pkcs11Key(Subject):
    """A key on a token.

    Args:
        algorithm: ``rsa`` or ``ed25519``.
        hsm: The token.
        built: The module in front of it.
        shim: A copy of it that is there already.
    """

    kind = "pkcs11"
    signs_elsewhere = True
    opening_faults = (
        Fault(
            name="not found",
            kind=KeyNotFound,
            words="label|object|key",
            breaks=lambda subject: contextlib.nullcontext(
                subject.uri.replace("object=", "object=no-")
            ),
        ),
        Fault(
            name="wrong PIN",
            kind=KeyDenied,
            words="was refused .* not tried again until it changes",
            breaks=wrong_pin,
        ),
        *transport("C_FindObjectsInit"),
    )
    signing_faults = (
        Fault(name="taken out", kind=KeyUnavailable, words="token", breaks=taken_out),
        Fault(
            name="may not sign",
            kind=KeyDenied,
            words="make one with CKA_SIGN",
            breaks=failing("C_SignInit", 0x68),
        ),
        Fault(
            name="PIN locked",
            kind=KeyDenied,
            words="the security officer unlocks it",
            breaks=failing("C_SignInit", 0xA4),
        ),
        Fault(
            name="wrong signature",
            kind=KeyUnusable,
            words="does not verify with its public half",
            breaks=falsified,
        ),
        *transport("C_Sign"),
    )

    def __init__(
        self, algorithm: str, hsm: SoftHsm, built: Path, shim: Pkcs11Shim | None = None
    ) -> None:
        super().__init__(algorithm)
        self.hsm = hsm
        self.folder.chmod(0o755)
        self.shim = shim or self.undo.enter_context(Pkcs11Shim(built, self.folder))
        self.key = EphemeralKey.rsa() if algorithm == "rsa" else EphemeralKey.ed25519()
        added = hsm.add(self.key._private_key)
        self._label, self._number = added.label, added.id
        self.pin_file = self.write("pin", f"{hsm.pin}\n")
        self.uri = (
            f"pkcs11:token={quote(hsm.label)};object={quote(added.label)};id=%{added.id.hex('%')}"
            f"?module-path={quote(str(self.shim.path))}&pin-source=file:{quote(self.pin_file)}"
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Where the token is."""
        return self.hsm.environment

    def another_uri(self, name: str) -> str:
        """On the same token."""
        query = f"module-path={quote(str(self.shim.path))}&pin-source=file:{quote(self.pin_file)}"
        return f"pkcs11:token={quote(self.hsm.label)};object={name}?{query}"

    def rotate(self) -> None:
        """Adds another key under the same label."""
        other = EphemeralKey.rsa() if self.algorithm == "rsa" else EphemeralKey.ed25519()
        self.hsm.add(other._private_key, self._label)

    def hanging(self) -> contextlib.AbstractContextManager[object]:
        """Neither signing nor looking for keys returns."""
        stack = contextlib.ExitStack()
        for function in ("C_Sign", "C_SignInit", "C_FindObjectsInit"):
            stack.enter_context(self.shim.hanging(function))
        return stack

    def stop(self) -> None:
        """Takes the token out."""
        self.shim.take_out()

    def start(self) -> None:
        """Puts it back."""
        self.shim.put_in()

    def close(self) -> None:
        """Lets go of all that hangs."""
        for function in FUNCTIONS:
            self.shim.fail(function, 0, times=0)
        super().close()
