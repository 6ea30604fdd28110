"""A PKCS#11 token in software (SoftHSM), in a folder of its own.

Nothing runs: the module is loaded by the process that uses it, and finds the folder through
``SOFTHSM2_CONF``.  It reads that variable when it is initialised, so a process that has used one
folder goes on with it until it has called C_Finalize.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.servers import find_program
from tests.servers.closing import Closing

if TYPE_CHECKING:
    from typing import Self

__all__ = ["HsmKey", "SoftHsm", "find_module"]

PATIENCE = 60.0  # seconds for one command
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_numbers = itertools.count(1)


def find_module() -> str | None:
    """Finds SoftHSM's library."""
    return next((path for path in MODULES if os.path.exists(path)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HsmKey:
    """A key pair on a token, and the same key outside, to check signatures with."""

    label: str
    id: bytes
    private_key: PrivateKey
    uri: str


class SoftHsm(Closing):
    """One initialised token while its ``with`` block lasts.

    Example::

        with SoftHsm() as hsm:
            key = hsm.add_rsa()
            subprocess.run([...], env={**os.environ, **hsm.environment})

    Args:
        label: The token's.
        pin: The user's PIN, which is in `pin_file` too.
    """

    def __init__(self, label: str = "dkim", *, pin: str = "648219") -> None:
        self.label = label
        self.pin = pin
        self.so_pin = "5913720864"
        self._undo = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="dkimcore-softhsm-"))
        self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def module(self) -> str:
        """The library's path."""
        found = find_module()
        if found is None:
            raise RuntimeError("SoftHSM is not installed: sudo apt-get install softhsm2")
        return found

    @property
    def configuration(self) -> Path:
        """What ``SOFTHSM2_CONF`` names."""
        return self.folder / "softhsm2.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to find the token."""
        return {"SOFTHSM2_CONF": str(self.configuration)}

    @property
    def pin_file(self) -> Path:
        """A file of its owner alone with the PIN."""
        return self.folder / "pin"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            (self.folder / "tokens").mkdir(mode=0o700)
            self.configuration.write_text(
                f"directories.tokendir = {self.folder}/tokens\n"
                "objectstore.backend = file\n"
                "log.level = ERROR\n"
                "slots.removable = false\n",
                encoding="ascii",
            )
            self.pin_file.touch(0o600)
            self.pin_file.write_text(f"{self.pin}\n", encoding="ascii")
            self.add_token(self.label)
            undo.pop_all()
        return self

    def add_token(self, label: str) -> None:
        """Initialises one more token, with the same PINs."""
        self.run("--init-token", "--free", "--label", label, "--so-pin", self.so_pin)

    def run(self, *arguments: str) -> str:
        """Runs softhsm2-util(1) on the folder; the user's PIN is added.

        Returns:
            What it printed.

        Raises:
            RuntimeError: It failed.
        """
        program = find_program("softhsm2-util")
        if program is None:
            raise RuntimeError("SoftHSM is not installed: sudo apt-get install softhsm2")
        ran = subprocess.run(
            [program, *arguments, "--pin", self.pin],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        if ran.returncode != 0:
            raise RuntimeError(f"softhsm2-util {arguments}: {ran.stdout}{ran.stderr}")
        return ran.stdout

    def add_rsa(self, label: str | None = None, *, bits: int = 2048) -> HsmKey:
        """Puts a new RSA key pair on the token."""
        return self.add(rsa.generate_private_key(public_exponent=65537, key_size=bits), label)

    def add_ed25519(self, label: str | None = None) -> HsmKey:
        """Puts a new Ed25519 key pair on the token."""
        return self.add(ed25519.Ed25519PrivateKey.generate(), label)

    def add(
        self,
        key: PrivateKey,
        label: str | None = None,
        *,
        number: bytes | None = None,
        token: str | None = None,
    ) -> HsmKey:
        """Puts a key pair on the token.

        Args:
            key: The key.
            label: CKA_LABEL; a new one when None.
            number: CKA_ID; a new one when None.
            token: The label of one of several tokens.
        """
        count = next(_numbers)
        label = label or f"key{count}"
        number = number or count.to_bytes(2, "big")
        token = token or self.label
        pem = self.folder / f"{count}.pem"
        pem.touch(0o600)
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        try:
            self.run("--import", str(pem), "--token", token, "--label", label, "--id", number.hex())
        finally:
            pem.unlink()
        return HsmKey(label=label, id=number, private_key=key, uri=self.uri(label, token=token))

    def uri(self, label: str, *, token: str | None = None) -> str:
        """Names a key as RFC 7512 does, with the module and where its PIN is."""
        return (
            f"pkcs11:token={quote(token or self.label)};object={quote(label)}"
            f"?module-path={quote(self.module)}&pin-source=file:{quote(str(self.pin_file))}"
        )

    def give_to(self, user: int, group: int) -> None:
        """Makes somebody else the owner of the folder and all in it."""
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, user, group)

    def close(self) -> None:
        """Removes the token; again is harmless."""
        self._undo.close()
