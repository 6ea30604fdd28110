"""Tag-lists and dkim-quoted-printable (RFC 6376 sections 2.11 and 3.2).

Splits a tag-list into names and values, by the ABNF and no more generously: a
list that two parsers read differently is an attack (decision 6).  What a tag
means is left to `signature` and `keyrecord`.
"""

from __future__ import annotations

import binascii
import re

from dkimcore.protocol.result import Cause, Unusable

__all__ = [
    "decode_base64",
    "decode_quoted_printable",
    "encode_quoted_printable",
    "parse_tag_list",
    "remove_white_space",
    "split_list",
    "without_value",
]

_FWS = b" \t\r\n"

# valchar is %x21-3A / %x3C-7E (section 3.2); ";" divides.  RFC 8616 section 5 adds UTF-8.
_ALLOWED = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])

# tag-name = ALPHA *ALNUMPUNC ; ALNUMPUNC = ALPHA / DIGIT / "_"
_TAG_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*+")

# The names of sections 3.5 and 3.6.1, which need not be matched against the pattern.
_KNOWN = frozenset(b"v a b bh c d h i l q s t x z k n p".split())


def parse_tag_list(octets: bytes, cause: Cause) -> dict[bytes, bytes]:
    """Parse ``tag-spec *( ";" tag-spec ) [ ";" ]``.

    Args:
        octets: The tag-list, with folds where it had any.
        cause: What a malformed list means to the caller.

    Returns:
        Names to values, in order.  FWS around a value is not part of it; FWS inside is.

    Raises:
        Unusable: The list is malformed: duplicate or malformed names, an empty
            tag-spec, a missing "=", or octets that no value may hold.
    """
    _check_octets(octets, cause)
    specs = octets.split(b";")
    if not specs[-1].strip(_FWS):
        specs.pop()  # one final ";", with the white space that real mail has behind it
    tags: dict[bytes, bytes] = {}
    for spec in specs:
        name, equals, value = spec.partition(b"=")
        name = name.strip(_FWS)
        if not equals:
            raise Unusable(cause, "a tag-spec has no '='" if name else "a tag-spec is empty")
        if name not in _KNOWN and not _TAG_NAME.fullmatch(name):
            raise Unusable(cause, "a tag name is malformed")
        if name in tags:
            raise Unusable(cause, f"the tag {name.decode('ascii')}= stands more than once")
        tags[name] = value.strip(_FWS)
    if not tags:
        raise Unusable(cause, "the tag-list is empty")
    return tags


def _check_octets(octets: bytes, cause: Cause) -> None:
    rest = octets.translate(None, _ALLOWED)
    if rest:
        # FWS may fold: the only CR and LF allowed are CRLF with WSP behind it.
        unfolded = octets.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t")
        if unfolded.translate(None, _ALLOWED):
            raise Unusable(cause, "the tag-list holds a control character or a bare CR or LF")
    if not octets.isascii() and not _is_utf8(octets):
        raise Unusable(cause, "the tag-list is neither ASCII nor UTF-8")


def without_value(octets: bytes, name: bytes) -> bytes:
    """Delete a tag's value and all white space around it (RFC 6376 section 3.7).

    Args:
        octets: A well-formed tag-list, as it stands or canonicalized.
        name: A tag that it holds once.

    Returns:
        The tag-list with nothing between that tag's "=" and the next ";".
    """
    specs = octets.split(b";")
    for position in reversed(range(len(specs))):  # b= is the last tag of most signatures
        found, equals, _ = specs[position].partition(b"=")
        if found.strip(_FWS) == name:
            specs[position] = found + equals
            break
    return b";".join(specs)


def remove_white_space(value: bytes) -> bytes:
    """Remove FWS wherever it stands, as base64 values allow."""
    return value.translate(None, _FWS)


def decode_base64(value: bytes, cause: Cause, *, tag: str) -> bytes:
    """Decode base64 in which FWS may stand (RFC 6376 section 2.10, RFC 4648 section 4).

    Args:
        value: The encoded value; the empty one decodes to nothing.
        cause: What a malformed value means to the caller.
        tag: For the detail.

    Raises:
        Unusable: Other characters, or padding too little, too much or in the middle.
    """
    value = remove_white_space(value)
    try:
        octets = binascii.a2b_base64(value, strict_mode=True)
    except binascii.Error:
        raise Unusable(cause, f"{tag} is not base64") from None
    # strict_mode lets any number of "=" follow complete groups
    if len(value) != (len(octets) + 2) // 3 * 4:
        raise Unusable(cause, f"{tag} has more padding than base64 needs")
    return octets


def split_list(value: bytes) -> tuple[str, ...]:
    """Split a list whose elements are divided by ":" with FWS allowed around it.

    Elements that are not UTF-8 are altered: no name that this library knows is one of them.
    """
    return tuple(part.strip(_FWS).decode("utf-8", "replace") for part in value.split(b":"))


# dkim-safe-char = %x21-3A / %x3C / %x3E-7E ; RFC 8616 section 5 adds UTF-8-non-ascii.
_QP = re.compile(rb"(?:[!-:<>-~\x80-\xff]|=[0-9A-F]{2})*+")
_QP_OCTET = re.compile(rb"=([0-9A-F]{2})")
_QP_UNSAFE = re.compile(rb"[^!-:<>-~\x80-\xff]")
_QP_UNSAFE_OR_8_BIT = re.compile(rb"[^!-:<>-~]")


def decode_quoted_printable(value: bytes, cause: Cause) -> bytes:
    """Decode dkim-quoted-printable (RFC 6376 section 2.11).

    Args:
        value: The encoded value; FWS in it is removed.
        cause: What a malformed value means to the caller.

    Raises:
        Unusable: An "=" is not followed by two upper-case hexadecimal digits.
    """
    value = remove_white_space(value)
    if not _QP.fullmatch(value):
        raise Unusable(cause, "a value is not dkim-quoted-printable")
    if b"=" not in value:
        return value
    return _QP_OCTET.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), value)


def encode_quoted_printable(value: bytes, *, also: bytes = b"", keep_utf8: bool = True) -> bytes:
    """Encode as dkim-quoted-printable (RFC 6376 section 2.11).

    Args:
        value: Any octets.
        also: Further octets to encode, such as the "|" that divides ``z=``.
        keep_utf8: Leave well-formed UTF-8 as it is (RFC 8616 section 5).
    """
    unsafe = _QP_UNSAFE if keep_utf8 and _is_utf8(value) else _QP_UNSAFE_OR_8_BIT
    encoded = unsafe.sub(lambda match: b"=%02X" % match[0][0], value)
    for octet in also:
        encoded = encoded.replace(bytes([octet]), b"=%02X" % octet)
    return encoded


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
