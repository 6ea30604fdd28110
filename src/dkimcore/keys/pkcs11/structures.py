"""Structures and numbers of PKCS #11 as its C header has them, for 64-bit Linux and its like.

Laid out by the C compiler's natural rules: ``CK_ULONG`` is an ``unsigned long``.  On Windows
the structures are packed otherwise, which is why `cryptoki` refuses to load there.
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    c_char,
    c_ubyte,
    c_ulong,
    c_void_p,
)
from enum import IntEnum, IntFlag
from typing import ClassVar

__all__ = [
    "FUNCTIONS",
    "Attribute",
    "AttributeCell",
    "FunctionList",
    "InitializeArgs",
    "KeyKind",
    "LibraryInfoCell",
    "Mechanism",
    "MechanismCell",
    "MechanismFlag",
    "MechanismInfoCell",
    "ObjectClass",
    "SessionFlag",
    "SessionInfoCell",
    "SlotInfoCell",
    "TokenFlag",
    "TokenInfoCell",
    "User",
    "VersionCell",
]


class ObjectClass(IntEnum):
    """``CKO_``: what an object is."""

    CERTIFICATE = 1
    PUBLIC_KEY = 2
    PRIVATE_KEY = 3


class KeyKind(IntEnum):
    """``CKK_``: the key types that are of use to DKIM."""

    RSA = 0
    EC_EDWARDS = 0x40


class Attribute(IntEnum):
    """``CKA_``: the attributes that are read or written."""

    CLASS = 0x00
    TOKEN = 0x01
    PRIVATE = 0x02
    LABEL = 0x03
    VALUE = 0x11
    KEY_TYPE = 0x100
    ID = 0x102
    SENSITIVE = 0x103
    SIGN = 0x108
    VERIFY = 0x10A
    MODULUS = 0x120
    MODULUS_BITS = 0x121
    PUBLIC_EXPONENT = 0x122
    PRIVATE_EXPONENT = 0x123
    PRIME_1 = 0x124
    PRIME_2 = 0x125
    EXPONENT_1 = 0x126
    EXPONENT_2 = 0x127
    COEFFICIENT = 0x128
    PUBLIC_KEY_INFO = 0x129
    EXTRACTABLE = 0x162
    EC_PARAMS = 0x180
    EC_POINT = 0x181
    ALWAYS_AUTHENTICATE = 0x202


class Mechanism(IntEnum):
    """``CKM_``: the mechanisms that are used."""

    RSA_PKCS_KEY_PAIR_GEN = 0x0000
    RSA_PKCS = 0x0001
    EC_EDWARDS_KEY_PAIR_GEN = 0x1055
    EDDSA = 0x1057


class User(IntEnum):
    """``CKU_``: as whom to log in."""

    USER = 1
    CONTEXT_SPECIFIC = 2


class SessionFlag(IntFlag):
    """``CKF_`` of a session."""

    RW = 0x2
    SERIAL = 0x4


class TokenFlag(IntFlag):
    """``CKF_`` of a token."""

    LOGIN_REQUIRED = 0x4
    PROTECTED_AUTHENTICATION_PATH = 0x100
    TOKEN_INITIALIZED = 0x400
    USER_PIN_FINAL_TRY = 0x20000
    USER_PIN_LOCKED = 0x40000


class MechanismFlag(IntFlag):
    """``CKF_`` of a mechanism."""

    SIGN = 0x800
    GENERATE_KEY_PAIR = 0x10000


class VersionCell(Structure):
    """``CK_VERSION``."""

    _fields_: ClassVar = [("major", c_ubyte), ("minor", c_ubyte)]


class LibraryInfoCell(Structure):
    """``CK_INFO``."""

    _fields_: ClassVar = [
        ("cryptoki_version", VersionCell),
        ("manufacturer", c_char * 32),
        ("flags", c_ulong),
        ("description", c_char * 32),
        ("version", VersionCell),
    ]


class SlotInfoCell(Structure):
    """``CK_SLOT_INFO``."""

    _fields_: ClassVar = [
        ("description", c_char * 64),
        ("manufacturer", c_char * 32),
        ("flags", c_ulong),
        ("hardware_version", VersionCell),
        ("firmware_version", VersionCell),
    ]


class TokenInfoCell(Structure):
    """``CK_TOKEN_INFO``."""

    _fields_: ClassVar = [
        ("label", c_char * 32),
        ("manufacturer", c_char * 32),
        ("model", c_char * 16),
        ("serial", c_char * 16),
        ("flags", c_ulong),
        ("max_sessions", c_ulong),
        ("sessions", c_ulong),
        ("max_rw_sessions", c_ulong),
        ("rw_sessions", c_ulong),
        ("max_pin", c_ulong),
        ("min_pin", c_ulong),
        ("public_memory", c_ulong),
        ("free_public_memory", c_ulong),
        ("private_memory", c_ulong),
        ("free_private_memory", c_ulong),
        ("hardware_version", VersionCell),
        ("firmware_version", VersionCell),
        ("utc_time", c_char * 16),
    ]


class SessionInfoCell(Structure):
    """``CK_SESSION_INFO``."""

    _fields_: ClassVar = [
        ("slot", c_ulong),
        ("state", c_ulong),
        ("flags", c_ulong),
        ("device_error", c_ulong),
    ]


class MechanismInfoCell(Structure):
    """``CK_MECHANISM_INFO``."""

    _fields_: ClassVar = [("min_size", c_ulong), ("max_size", c_ulong), ("flags", c_ulong)]


class MechanismCell(Structure):
    """``CK_MECHANISM``."""

    _fields_: ClassVar = [
        ("mechanism", c_ulong),
        ("parameter", c_void_p),
        ("parameter_length", c_ulong),
    ]


class AttributeCell(Structure):
    """``CK_ATTRIBUTE``."""

    _fields_: ClassVar = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class InitializeArgs(Structure):
    """``CK_C_INITIALIZE_ARGS``: no functions for locks of our own, hence the system's."""

    _fields_: ClassVar = [
        ("create_mutex", c_void_p),
        ("destroy_mutex", c_void_p),
        ("lock_mutex", c_void_p),
        ("unlock_mutex", c_void_p),
        ("flags", c_ulong),
        ("reserved", c_void_p),
    ]


class FunctionList(Structure):
    """``CK_FUNCTION_LIST`` as far as it is needed."""

    _fields_: ClassVar = [("version", VersionCell), ("functions", c_void_p * 60)]


_ULONG = c_ulong
_ULONGS = POINTER(c_ulong)
_OCTETS = c_void_p
_CELLS = POINTER(AttributeCell)
_MECHANISM = POINTER(MechanismCell)

FUNCTIONS: dict[str, tuple[int, tuple[type, ...]]] = {
    "C_Initialize": (0, (POINTER(InitializeArgs),)),
    "C_Finalize": (1, (c_void_p,)),
    "C_GetInfo": (2, (POINTER(LibraryInfoCell),)),
    "C_GetSlotList": (4, (c_ubyte, _ULONGS, _ULONGS)),
    "C_GetSlotInfo": (5, (_ULONG, POINTER(SlotInfoCell))),
    "C_GetTokenInfo": (6, (_ULONG, POINTER(TokenInfoCell))),
    "C_GetMechanismInfo": (8, (_ULONG, _ULONG, POINTER(MechanismInfoCell))),
    "C_OpenSession": (12, (_ULONG, _ULONG, c_void_p, c_void_p, _ULONGS)),
    "C_CloseSession": (13, (_ULONG,)),
    "C_GetSessionInfo": (15, (_ULONG, POINTER(SessionInfoCell))),
    "C_Login": (18, (_ULONG, _ULONG, _OCTETS, _ULONG)),
    "C_CreateObject": (20, (_ULONG, _CELLS, _ULONG, _ULONGS)),
    "C_DestroyObject": (22, (_ULONG, _ULONG)),
    "C_GetAttributeValue": (24, (_ULONG, _ULONG, _CELLS, _ULONG)),
    "C_FindObjectsInit": (26, (_ULONG, _CELLS, _ULONG)),
    "C_FindObjects": (27, (_ULONG, _ULONGS, _ULONG, _ULONGS)),
    "C_FindObjectsFinal": (28, (_ULONG,)),
    "C_SignInit": (42, (_ULONG, _MECHANISM, _ULONG)),
    "C_Sign": (43, (_ULONG, _OCTETS, _ULONG, _OCTETS, _ULONGS)),
    "C_GenerateKeyPair": (
        59,
        (_ULONG, _MECHANISM, _CELLS, _ULONG, _CELLS, _ULONG, _ULONGS, _ULONGS),
    ),
}
"""The functions that are called: their places in the list, and the types of their arguments."""
