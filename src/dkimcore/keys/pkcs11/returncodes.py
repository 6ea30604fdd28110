"""What the return codes of PKCS #11 mean to an operator: one table.

From the number to the kind of error, its words and the cure; and which of them a new session
may mend.  Whether one is opened is left to `sessions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable

if TYPE_CHECKING:
    from dkimcore.errors import KeyBackendError
    from dkimcore.keys.pkcs11.cryptoki import CryptokiError

__all__ = [
    "NOT_ABOUT_PIN",
    "NOT_INITIALIZED",
    "PIN_REFUSED",
    "REOPEN",
    "SESSIONS_GONE",
    "SESSION_COUNT",
    "SESSION_HANDLE_INVALID",
    "USER_ALREADY_LOGGED_IN",
    "described",
    "explain",
]

USER_ALREADY_LOGGED_IN = 0x100
NOT_INITIALIZED = 0x190
SESSION_COUNT = 0xB1
SESSION_HANDLE_INVALID = 0xB3

PIN_REFUSED = frozenset({0xA0, 0xA1, 0xA2, 0xA3, 0xA4})
"""The PIN was refused, and trying it again may lock the token."""

NOT_ABOUT_PIN = frozenset(
    # CANCEL, HOST_MEMORY, SLOT_ID_INVALID, DEVICE_ERROR, DEVICE_MEMORY, DEVICE_REMOVED,
    {0x01, 0x02, 0x03, 0x30, 0x31, 0x32}
    # FUNCTION_CANCELED, OPERATION_ACTIVE, OPERATION_NOT_INITIALIZED, SESSION_CLOSED,
    | {0x50, 0x90, 0x91, 0xB0}
    # SESSION_COUNT, SESSION_HANDLE_INVALID, SESSION_READ_WRITE_SO_EXISTS, TOKEN_NOT_PRESENT,
    | {SESSION_COUNT, SESSION_HANDLE_INVALID, 0xB8, 0xE0}
    # TOKEN_NOT_RECOGNIZED, USER_PIN_NOT_INITIALIZED, USER_ANOTHER_ALREADY_LOGGED_IN,
    | {0xE1, 0x102, 0x104}
    # USER_TOO_MANY_TYPES, CRYPTOKI_NOT_INITIALIZED
    | {0x105, NOT_INITIALIZED}
)
"""Why a login failed without that the PIN was looked at.  Makers have numbers of their own for a
wrong PIN, and some modules say no more than that they failed."""

REOPEN = frozenset(
    # SLOT_ID_INVALID, DEVICE_ERROR, DEVICE_REMOVED, KEY_HANDLE_INVALID, OBJECT_HANDLE_INVALID,
    {0x03, 0x30, 0x32, 0x60, 0x82}
    # OPERATION_ACTIVE, SESSION_CLOSED, SESSION_HANDLE_INVALID, TOKEN_NOT_PRESENT,
    | {0x90, 0xB0, SESSION_HANDLE_INVALID, 0xE0}
    # TOKEN_NOT_RECOGNIZED, USER_NOT_LOGGED_IN, CRYPTOKI_NOT_INITIALIZED
    | {0xE1, 0x101, NOT_INITIALIZED}
)
"""A new session, after a new login where that is needed, may do."""

SESSIONS_GONE = frozenset({0x32, 0xB0, 0xE0, 0xE1, NOT_INITIALIZED})
"""The module has closed the sessions already; their numbers may be those of others now."""

_WAIT = "the token may be back later; look whether it is there: pkcs11-tool --module M -L"
_PROGRAM = "this is a fault of the module or of dkimcore; report it with the module's version"
_OTHER_PROGRAM = "something else in this process uses the module; give dkimcore one of its own"

_TABLE: dict[int, tuple[str, type[KeyBackendError], str]] = {
    0x01: ("CANCEL", KeyUnavailable, "the module gave the call up"),
    0x02: ("HOST_MEMORY", KeyUnavailable, "the module found no memory"),
    0x03: ("SLOT_ID_INVALID", KeyUnavailable, f"its slot is gone; {_WAIT}"),
    0x05: ("GENERAL_ERROR", KeyUnavailable, "the module failed; its own log may say why"),
    0x06: ("FUNCTION_FAILED", KeyUnavailable, "the module failed; its own log may say why"),
    0x07: ("ARGUMENTS_BAD", KeyUnusable, _PROGRAM),
    0x09: (
        "NEED_TO_CREATE_THREADS",
        KeyUnusable,
        "the module wants threads of its own; see how its maker has them turned on",
    ),
    0x0A: (
        "CANT_LOCK",
        KeyUnusable,
        "the module cannot lock with the system's locks, so that threads would break it; ask "
        "its maker for one that takes CKF_OS_LOCKING_OK",
    ),
    0x10: ("ATTRIBUTE_READ_ONLY", KeyUnusable, "the token does not take an attribute of the key"),
    0x11: ("ATTRIBUTE_SENSITIVE", KeyUnusable, "the token does not show an attribute of the key"),
    0x12: ("ATTRIBUTE_TYPE_INVALID", KeyUnusable, "the token does not know an attribute"),
    0x13: ("ATTRIBUTE_VALUE_INVALID", KeyUnusable, "the token does not take a value of the key"),
    0x1B: ("ACTION_PROHIBITED", KeyDenied, "a policy of the token forbids it"),
    0x20: ("DATA_INVALID", KeyUnusable, "the token does not sign this digest"),
    0x21: ("DATA_LEN_RANGE", KeyUnusable, "the token does not sign a digest of this length"),
    0x30: ("DEVICE_ERROR", KeyUnavailable, f"the token failed; {_WAIT}"),
    0x31: ("DEVICE_MEMORY", KeyUnavailable, "the token is out of memory; delete what it need not"),
    0x32: ("DEVICE_REMOVED", KeyUnavailable, f"the token was taken away; {_WAIT}"),
    0x50: ("FUNCTION_CANCELED", KeyUnavailable, "the module gave the call up"),
    0x54: (
        "FUNCTION_NOT_SUPPORTED",
        KeyUnusable,
        "the module lacks this function; use another token, or make the key by its maker's tool",
    ),
    0x60: ("KEY_HANDLE_INVALID", KeyNotFound, "the key is gone from the token"),
    0x62: (
        "KEY_SIZE_RANGE",
        KeyUnusable,
        "the token does not take keys of this size; RSA-2048 is good",
    ),
    0x63: ("KEY_TYPE_INCONSISTENT", KeyUnusable, "the key is of a type that cannot do this"),
    0x68: ("KEY_FUNCTION_NOT_PERMITTED", KeyDenied, "the key may not sign; make one with CKA_SIGN"),
    0x70: ("MECHANISM_INVALID", KeyUnusable, "the token, or its policy, lacks this mechanism"),
    0x71: ("MECHANISM_PARAM_INVALID", KeyUnusable, "the token wants a parameter that DKIM has not"),
    0x82: ("OBJECT_HANDLE_INVALID", KeyNotFound, "the key is gone from the token"),
    0x90: ("OPERATION_ACTIVE", KeyUnavailable, _OTHER_PROGRAM),
    0x91: ("OPERATION_NOT_INITIALIZED", KeyUnavailable, _OTHER_PROGRAM),
    0xA0: ("PIN_INCORRECT", KeyDenied, "the PIN is wrong"),
    0xA1: ("PIN_INVALID", KeyDenied, "the PIN has characters that the token does not take"),
    0xA2: ("PIN_LEN_RANGE", KeyDenied, "the PIN is too short or too long for the token"),
    0xA3: ("PIN_EXPIRED", KeyDenied, "the PIN has to be changed, by the maker's tool"),
    0xA4: ("PIN_LOCKED", KeyDenied, "the PIN is locked; the security officer unlocks it"),
    0xB0: ("SESSION_CLOSED", KeyUnavailable, "the token closed the session"),
    SESSION_COUNT: (
        "SESSION_COUNT",
        KeyUnavailable,
        "the token has no session left; set threads of its section lower, or end other users",
    ),
    SESSION_HANDLE_INVALID: (
        "SESSION_HANDLE_INVALID",
        KeyUnavailable,
        "the token closed the session",
    ),
    0xB4: ("SESSION_PARALLEL_NOT_SUPPORTED", KeyUnusable, _PROGRAM),
    0xB5: ("SESSION_READ_ONLY", KeyUnusable, _PROGRAM),
    0xB8: ("SESSION_READ_WRITE_SO_EXISTS", KeyUnavailable, "the security officer is logged in"),
    0xD0: ("TEMPLATE_INCOMPLETE", KeyUnusable, "the token wants to know more about the key"),
    0xD1: (
        "TEMPLATE_INCONSISTENT",
        KeyUnusable,
        "the token does not take such a key; make it by its maker's tool and name it by its label",
    ),
    0xE0: ("TOKEN_NOT_PRESENT", KeyUnavailable, f"the token is not there; {_WAIT}"),
    0xE1: ("TOKEN_NOT_RECOGNIZED", KeyUnavailable, f"the token is not recognised; {_WAIT}"),
    0xE2: ("TOKEN_WRITE_PROTECTED", KeyDenied, "the token is write-protected"),
    USER_ALREADY_LOGGED_IN: ("USER_ALREADY_LOGGED_IN", KeyUnavailable, _PROGRAM),
    0x101: ("USER_NOT_LOGGED_IN", KeyUnavailable, "the token has ended the login"),
    0x102: (
        "USER_PIN_NOT_INITIALIZED",
        KeyDenied,
        "the token has no PIN yet; the security officer sets it",
    ),
    0x103: ("USER_TYPE_INVALID", KeyUnusable, "the token does not let a user log in for this"),
    0x104: (
        "USER_ANOTHER_ALREADY_LOGGED_IN",
        KeyUnavailable,
        "somebody else is logged in to the token from this process",
    ),
    0x105: ("USER_TOO_MANY_TYPES", KeyUnavailable, "too many users are logged in to the token"),
    0x130: ("DOMAIN_PARAMS_INVALID", KeyUnusable, "the token does not know this curve"),
    0x140: ("CURVE_NOT_SUPPORTED", KeyUnusable, "the token does not know this curve; use RSA"),
    0x150: ("BUFFER_TOO_SMALL", KeyUnusable, "its answer is longer than any that DKIM can use"),
    NOT_INITIALIZED: (
        "CRYPTOKI_NOT_INITIALIZED",
        KeyUnavailable,
        f"the module was finalised by another; {_OTHER_PROGRAM}",
    ),
    0x200: ("FUNCTION_REJECTED", KeyDenied, "somebody, or a policy of the token, rejected it"),
}
_VENDOR = 0x80000000


def described(error: CryptokiError) -> str:
    """Return a return code's name, number and function, such as ``CKR_PIN_LOCKED (0xa4) ...``."""
    known = _TABLE.get(error.code)
    name = f"CKR_{known[0]} ({error.code:#x})" if known else f"{error.code:#x}"
    return f"{name} of {error.function}"


def explain(error: CryptokiError, *, uri: str, doing: str) -> KeyBackendError:
    """Return what to raise instead of an error of the module.

    Args:
        error: The error.
        uri: The key that was asked for.
        doing: What was tried, such as ``signing``.
    """
    known = _TABLE.get(error.code)
    if known is not None:
        _, kind, words = known
    elif error.code >= _VENDOR:
        kind, words = KeyUnavailable, "the number is the maker's own; see the token's manual"
    else:
        kind, words = KeyUnavailable, "see the token's manual, and the module's own log"
    return kind(f"{doing} failed: {words} ({described(error)})", uri=uri)
