"""A PKCS#11 module in front of another: counts calls, holds them up, lets them fail.

Made of pkcs11shim.c by gcc.  It is told what to do through a file that both sides map into
memory, so the process that signs may be another one.
"""

from __future__ import annotations

import contextlib
import mmap
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import find_program
from tests.servers.closing import Closing
from tests.servers.softhsm import find_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

__all__ = ["Pkcs11Shim", "build"]

SOURCE = Path(__file__).with_name("pkcs11shim.c")
SIZE = 65_536
FOREVER = -1

# The places of functions in the list of PKCS #11, as far as tests name them.
FUNCTIONS = {
    "C_Initialize": 0,
    "C_Finalize": 1,
    "C_GetInfo": 2,
    "C_GetSlotList": 4,
    "C_GetTokenInfo": 6,
    "C_GetMechanismInfo": 8,
    "C_OpenSession": 12,
    "C_CloseSession": 13,
    "C_GetSessionInfo": 15,
    "C_Login": 18,
    "C_Logout": 19,
    "C_CreateObject": 20,
    "C_DestroyObject": 22,
    "C_GetAttributeValue": 24,
    "C_FindObjectsInit": 26,
    "C_FindObjects": 27,
    "C_SignInit": 42,
    "C_Sign": 43,
    "C_GenerateKeyPair": 59,
}
_ONE = 64  # octets about one function
_COMMON = 68 * _ONE
_FIELDS = ("calls", "code", "times", "hangs", "delay", "now", "most")
_SETTINGS = (
    *("removed", "flags", "bare_point", "wrong", "sessions", "open", "init_flags", "tries"),
    "hidden_count",
)


def build(folder: Path, *, module: str | None = None) -> Path:
    """Compiles the module.

    Args:
        folder: Where.
        module: The module that calls are handed on to; SoftHSM when None.

    Returns:
        Its path, for `Pkcs11Shim`.

    Raises:
        RuntimeError: gcc or SoftHSM is not installed.
    """
    compiler = find_program("gcc")
    module = module or find_module()
    if compiler is None or module is None:
        raise RuntimeError("gcc and SoftHSM are needed: sudo apt-get install gcc softhsm2")
    made = folder / "pkcs11shim.so"
    subprocess.run(
        [
            *(compiler, "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"),
            *(f'-DREAL="{module}"', "-o", str(made), str(SOURCE), "-ldl"),
        ],
        check=True,
        timeout=60,
    )
    return made


class Pkcs11Shim(Closing):
    """A copy of the module that one test has for itself.

    Args:
        built: What `build` made.
        folder: Where the copy goes.
    """

    def __init__(self, built: Path, folder: Path) -> None:
        # A library is loaded once per process and file, so each copy begins anew.
        self.path = folder / "shim.so"
        shutil.copyfile(built, self.path)
        self.path.chmod(0o755)
        control = Path(f"{self.path}.control")
        control.write_bytes(bytes(SIZE))
        with control.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Lets go of what hangs, and of the memory; again is harmless."""
        if not self._memory.closed:
            for function in FUNCTIONS:
                self._set(function, "hangs", 0)
            self._memory.close()

    def calls(self, function: str) -> int:
        """How often a function was called."""
        return self._get(function, "calls")

    def under_way(self, function: str) -> int:
        """How many calls of a function are under way."""
        return self._get(function, "now")

    def most(self, function: str) -> int:
        """How many calls of a function were ever under way at once."""
        return self._get(function, "most")

    def fail(self, function: str, code: int, *, times: int = 1) -> None:
        """Lets the next calls of a function return a code; -1 stands for all of them."""
        self._set(function, "times", 0)
        self._set(function, "code", code)
        self._set(function, "times", times)

    def delay(self, function: str, seconds: float) -> None:
        """Lets each call of a function take longer."""
        self._set(function, "delay", int(seconds * 1_000_000))

    @contextlib.contextmanager
    def hanging(self, function: str) -> Iterator[None]:
        """Lets calls of a function wait until the block ends."""
        self._set(function, "hangs", 1)
        try:
            yield
        finally:
            self._set(function, "hangs", 0)

    def take_out(self) -> None:
        """Takes the token out of its slot; its sessions are gone for good."""
        self.set("removed", 1)

    def put_in(self) -> None:
        """Puts the token back."""
        self.set("removed", 0)

    def hide(self, *attributes: tuple[int, int]) -> None:
        """Lets objects of a class not tell an attribute: pairs of CKO and CKA."""
        start = _COMMON + 8 * len(_SETTINGS)
        for number, (kind, attribute) in enumerate(attributes):
            struct.pack_into("=QQ", self._memory, start + 16 * number, kind, attribute)
        self.set("hidden_count", len(attributes))

    def set(self, setting: str, value: int) -> None:
        """Changes what holds for no one function: see ``struct control``."""
        struct.pack_into("=Q", self._memory, _COMMON + 8 * _SETTINGS.index(setting), value)

    def get(self, setting: str) -> int:
        """Returns what holds for no one function."""
        (value,) = struct.unpack_from("=Q", self._memory, _COMMON + 8 * _SETTINGS.index(setting))
        return int(value)

    def _place(self, function: str, field: str) -> int:
        return FUNCTIONS[function] * _ONE + 8 * _FIELDS.index(field)

    def _get(self, function: str, field: str) -> int:
        (value,) = struct.unpack_from("=q", self._memory, self._place(function, field))
        return int(value)

    def _set(self, function: str, field: str, value: int) -> None:
        struct.pack_into("=q", self._memory, self._place(function, field), value)
