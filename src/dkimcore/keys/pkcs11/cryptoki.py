"""A PKCS #11 module through ctypes: the functions that signing needs, and nothing else.

Loads the module, has it lock with the locks of the system, and turns its answers into values.
A call releases the GIL, so that a token signs for several threads at once.  Every answer has a
limit.  Which module is loaded, and what an error means, is left to others.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import byref, c_ubyte, c_ulong, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.keys.pkcs11.structures import (
    FUNCTIONS,
    AttributeCell,
    FunctionList,
    InitializeArgs,
    LibraryInfoCell,
    MechanismCell,
    MechanismFlag,
    MechanismInfoCell,
    SessionFlag,
    SessionInfoCell,
    SlotInfoCell,
    TokenFlag,
    TokenInfoCell,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys.pkcs11.structures import Attribute, Mechanism, User

__all__ = [
    "Cryptoki",
    "CryptokiError",
    "LibraryInfo",
    "MechanismInfo",
    "ModuleError",
    "SlotInfo",
    "Template",
    "TokenInfo",
]

_OS_LOCKING_OK = 0x2
_ALREADY_INITIALIZED = 0x191
_NOT_SUPPORTED = 0x54
_SENSITIVE, _TYPE_INVALID = 0x11, 0x12
_MECHANISM_INVALID = 0x70
_USER_STATES = (1, 3)  # CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS

# A network HSM may show a slot per partition; none is known to show a thousand.
_MAX_SLOTS = 1024
# A certificate is the largest thing that is read.
_MAX_VALUE = 65_536
# An RSA key of 16 384 bits, twice what verifiers take.
_MAX_SIGNATURE = 2048

Template: TypeAlias = "Sequence[tuple[Attribute, bool | int | bytes | bytearray]]"
"""What an object is to have.  A bytearray is not copied, so that its owner can wipe it."""


class ModuleError(Exception):
    """The file is no PKCS #11 module that can be used here; the text says why."""


class CryptokiError(Exception):
    """A function of the module did not return ``CKR_OK``.

    Args:
        code: What it returned.
        function: Its name.
    """

    def __init__(self, code: int, function: str) -> None:
        super().__init__(f"{function} returned {code:#x}")
        self.code = code
        self.function = function


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryInfo:
    """What a module says about itself."""

    manufacturer: str
    description: str
    version: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotInfo:
    """What a module says about a slot."""

    description: str
    manufacturer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """What a module says about a token."""

    label: str
    manufacturer: str
    model: str
    serial: str
    flags: TokenFlag

    @property
    def name(self) -> str:
        """What it is known by, whichever module leads to it: PINs and their tries are its own."""
        return f"{self.manufacturer} {self.model} {self.serial}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MechanismInfo:
    """What a module says about a mechanism: the sizes of keys, and what it is good for."""

    min_size: int
    max_size: int
    flags: MechanismFlag


class Cryptoki:
    """The functions of a module.  Safe to share between threads, not between processes.

    Args:
        path: The module's file; its code is run by loading it.

    Raises:
        ModuleError: It cannot be loaded, or is no PKCS #11 module.
    """

    def __init__(self, path: str) -> None:
        if os.name != "posix" or sys.platform == "win32":
            raise ModuleError("PKCS #11 works on Linux and its like, not on Windows")
        try:
            library = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
            get_function_list = library.C_GetFunctionList
        except OSError as exc:
            raise ModuleError(f"it cannot be loaded: {exc}") from None
        except AttributeError:
            raise ModuleError("it is a library, but no PKCS #11 module") from None
        get_function_list.argtypes = (ctypes.POINTER(ctypes.POINTER(FunctionList)),)
        get_function_list.restype = c_ulong
        functions = ctypes.POINTER(FunctionList)()
        code = get_function_list(byref(functions))
        if code or ctypes.cast(functions, c_void_p).value is None:
            raise ModuleError(f"C_GetFunctionList returned {code:#x} and no functions")
        self._library = library
        self._functions = {
            name: ctypes.CFUNCTYPE(c_ulong, *types)(address)
            for name, (place, types) in FUNCTIONS.items()
            if (address := functions.contents.functions[place])
        }

    def initialize(self) -> bool:
        """Prepare the module for threads; False: somebody in this process did so before.

        Raises:
            CryptokiError: It cannot lock, or failed.
        """
        try:
            self._call("C_Initialize", byref(InitializeArgs(flags=_OS_LOCKING_OK)))
        except CryptokiError as exc:
            if exc.code == _ALREADY_INITIALIZED:
                return False
            raise
        return True

    def finalize(self) -> None:
        """End the use of the module by this process; its sessions end with it."""
        self._call("C_Finalize", None)

    def library_info(self) -> LibraryInfo:
        """Return what the module says about itself."""
        cell = LibraryInfoCell()
        self._call("C_GetInfo", byref(cell))
        return LibraryInfo(
            manufacturer=_text(cell.manufacturer),
            description=_text(cell.description),
            version=(cell.version.major, cell.version.minor),
        )

    def slots(self) -> list[int]:
        """Return the slots that hold a token."""
        count = c_ulong()
        # Asking for the number is what makes a module look for tokens that came or went.
        self._call("C_GetSlotList", 1, None, byref(count))
        count.value = min(count.value + 8, _MAX_SLOTS)  # some may come in between
        slots = (c_ulong * count.value)()
        self._call("C_GetSlotList", 1, slots, byref(count))
        return list(slots[: min(count.value, len(slots))])

    def slot_info(self, slot: int) -> SlotInfo:
        """Return what the module says about a slot."""
        cell = SlotInfoCell()
        self._call("C_GetSlotInfo", slot, byref(cell))
        return SlotInfo(description=_text(cell.description), manufacturer=_text(cell.manufacturer))

    def token_info(self, slot: int) -> TokenInfo:
        """Return what the module says about the token in a slot."""
        cell = TokenInfoCell()
        self._call("C_GetTokenInfo", slot, byref(cell))
        return TokenInfo(
            label=_text(cell.label),
            manufacturer=_text(cell.manufacturer),
            model=_text(cell.model),
            serial=_text(cell.serial),
            flags=TokenFlag(cell.flags),
        )

    def mechanism_info(self, slot: int, mechanism: Mechanism) -> MechanismInfo | None:
        """Return what a token can do with a mechanism; None: nothing."""
        cell = MechanismInfoCell()
        try:
            self._call("C_GetMechanismInfo", slot, mechanism, byref(cell))
        except CryptokiError as exc:
            if exc.code == _MECHANISM_INVALID:
                return None
            raise
        return MechanismInfo(
            min_size=cell.min_size, max_size=cell.max_size, flags=MechanismFlag(cell.flags)
        )

    def open_session(self, slot: int, *, writable: bool = False) -> int:
        """Open a session and return its handle."""
        handle = c_ulong()
        flags = SessionFlag.SERIAL | (SessionFlag.RW if writable else 0)
        self._call("C_OpenSession", slot, flags, None, None, byref(handle))
        return handle.value

    def close_session(self, session: int) -> None:
        """Close a session."""
        self._call("C_CloseSession", session)

    def is_user(self, session: int) -> bool:
        """Whether this process is logged in to the session's token, as its user."""
        cell = SessionInfoCell()
        self._call("C_GetSessionInfo", session, byref(cell))
        return cell.state in _USER_STATES

    def login(self, session: int, user: User, *, pin: bytearray) -> None:
        """Log in, for all sessions of this process with the token.

        Args:
            session: A session.
            user: As whom.
            pin: The PIN; it is not copied, and wiped by its owner.
        """
        buffer = (c_ubyte * len(pin)).from_buffer(pin)
        self._call("C_Login", session, user, buffer, len(pin))

    def find(self, session: int, template: Template, *, limit: int) -> list[int]:
        """Return the handles of objects that have these attributes, so many at most."""
        cells, _buffers = _cells(template)
        self._call("C_FindObjectsInit", session, cells, len(cells))
        found: list[int] = []
        try:
            while len(found) < limit:
                handles, count = (c_ulong * (limit - len(found)))(), c_ulong()
                self._call("C_FindObjects", session, handles, len(handles), byref(count))
                if not count.value:
                    break
                found += handles[: count.value]
        finally:
            self._call("C_FindObjectsFinal", session)
        return found

    def attribute(self, session: int, handle: int, *, kind: Attribute) -> bytes | None:
        """Return the value of an attribute; None: there is none that it shows."""
        cells = (AttributeCell * 1)(AttributeCell(type=kind))
        cell = cells[0]
        try:
            self._call("C_GetAttributeValue", session, handle, cells, 1)
            if cell.length == 0 or cell.length > _MAX_VALUE:  # also CK_UNAVAILABLE_INFORMATION
                return b"" if cell.length == 0 else None
            buffer = (c_ubyte * cell.length)()
            cell.value = ctypes.addressof(buffer)
            self._call("C_GetAttributeValue", session, handle, cells, 1)
        except CryptokiError as exc:
            if exc.code in (_SENSITIVE, _TYPE_INVALID):
                return None
            raise
        return bytes(buffer)[: cell.length]

    def sign_init(self, session: int, mechanism: Mechanism, *, key: int) -> None:
        """Begin a signature."""
        cell = MechanismCell(mechanism=mechanism)
        self._call("C_SignInit", session, byref(cell), key)

    def sign(self, session: int, data: bytes) -> bytes:
        """Make the signature that was begun."""
        signature, length = (c_ubyte * _MAX_SIGNATURE)(), c_ulong(_MAX_SIGNATURE)
        source = ctypes.cast(ctypes.c_char_p(data), c_void_p)
        self._call("C_Sign", session, source, len(data), signature, byref(length))
        return bytes(signature[: length.value])

    def generate_key_pair(
        self, session: int, mechanism: Mechanism, *, public: Template, private: Template
    ) -> tuple[int, int]:
        """Make a key pair in the token and return the handles: public, private."""
        cell = MechanismCell(mechanism=mechanism)
        public_cells, _public = _cells(public)
        private_cells, _private = _cells(private)
        handles = (c_ulong(), c_ulong())
        self._call(
            *("C_GenerateKeyPair", session, byref(cell)),
            *(public_cells, len(public_cells), private_cells, len(private_cells)),
            *(byref(handles[0]), byref(handles[1])),
        )
        return handles[0].value, handles[1].value

    def create_object(self, session: int, template: Template) -> int:
        """Put an object into the token and return its handle."""
        cells, _buffers = _cells(template)
        handle = c_ulong()
        self._call("C_CreateObject", session, cells, len(cells), byref(handle))
        return handle.value

    def destroy_object(self, session: int, handle: int) -> None:
        """Delete an object from the token."""
        self._call("C_DestroyObject", session, handle)

    def _call(self, name: str, *arguments: object) -> None:
        function: Callable[..., int] | None = self._functions.get(name)
        code = _NOT_SUPPORTED if function is None else function(*arguments)
        if code:
            raise CryptokiError(code, name)


def _text(octets: bytes) -> str:
    """Decode a text of fixed length, padded with blanks."""
    return octets.decode("utf-8", "replace").rstrip(" ")


def _cells(template: Template) -> tuple[ctypes.Array[AttributeCell], list[object]]:
    """Return a template for C, and the buffers that must live as long as it."""
    cells = (AttributeCell * len(template))()
    buffers: list[object] = []
    for cell, (kind, value) in zip(cells, template, strict=True):
        octets = _encoded(value)
        make = c_ubyte * len(octets)
        in_place = isinstance(octets, bytearray) and len(octets) > 0
        buffer = make.from_buffer(octets) if in_place else make.from_buffer_copy(octets)
        buffers.append(buffer)
        cell.type, cell.value, cell.length = kind, ctypes.addressof(buffer), len(octets)
    return cells, buffers


def _encoded(value: bool | int | bytes | bytearray) -> bytes | bytearray:  # noqa: FBT001 - a value
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    if isinstance(value, int):
        return value.to_bytes(ctypes.sizeof(c_ulong), sys.byteorder)
    return value
