"""Authentication-Results fields (RFC 8601): print ours, recognise forged ones.

Values from a message are printed only as a token, an addr-spec of plain
characters or a quoted-string, so that none can bring in a result of its own
(CVE-2020-12272 was that).
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.protocol.message import HeaderField
from dkimcore.protocol.names import DomainName
from dkimcore.protocol.resinfo import comment_end, holds_dkim_result
from dkimcore.protocol.result import SignatureResult, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.protocol.algorithm import Algorithm
    from dkimcore.protocol.message import Header

__all__ = [
    "Words",
    "claimed_authserv_id",
    "default_words",
    "forged_positions",
    "holds_dkim_result",
    "render",
]

# value = token / quoted-string (RFC 2045 section 5.1: token); pvalue also allows
# [local-part] "@" domain-name.  RFC 8601 section 2.2 in mail with UTF-8: those octets too.
_TCHARS = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~\x80-\U0010ffff]+"
_PVALUE = re.compile(rf"{_TCHARS}|(?:{_TCHARS})?@{_TCHARS}")
_VALUE = re.compile(_TCHARS)

# RFC 6008 section 3: at least the first 8 characters of b=, more where signatures share them.
_SHORTEST_B = 8
# Signatures whose b= agree any further were made to agree, and need not be told apart.
_LONGEST_B = 64

# An address has no more (RFC 5321 section 4.5.3.1.3: 256 octets in a path, "<" and ">"
# among them).  A longer i= could make a line longer than the 998 of RFC 5322 section 2.1.1.
_LONGEST_AUID = 254

_LINE = 78

# The queue ids of MTAs; what else claims to be one is left out.
_JOB_ID = re.compile(r"[0-9A-Za-z._-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How a result is told.

    Attributes:
        status: The word of RFC 8601 section 2.7.1.
        reason: ``reason=``, or None.
        comment: What a person may want to know, without parentheses and backslashes; ours,
            never a stranger's.
    """

    status: Status
    reason: str | None = None
    comment: str | None = None


def default_words(result: SignatureResult) -> Words:
    """The words of `Cause`, by ADR 0003."""
    key = None if result.key_record is None else result.key_record.public_key
    comment = None
    if key is not None and result.status is Status.PASS:
        notes = [f"{key.bits}-bit key"]
        notes += ["DNSSEC"] * result.authentic + ["testing"] * result.testing
        comment = ", ".join(notes)
    reason = None if result.cause is None else result.cause.phrase
    return Words(status=result.status, reason=reason, comment=comment)


def render(
    authserv_id: str,
    results: Sequence[SignatureResult],
    *,
    words: Callable[[SignatureResult], Words] = default_words,
    header_b: bool = True,
    job_id: str | None = None,
    otherwise: str = "dkim=none",
) -> HeaderField:
    """Print an Authentication-Results field for a message's results (RFC 8601 section 2.2).

    Args:
        authserv_id: Who says so; the first token of the field.
        results: As `Verification.finish` returns them.
        words: How each result is told.
        header_b: Print header.b, which tells signatures of one domain apart (RFC 6008).
        job_id: A queue id to put behind the authserv-id and a slash, as OpenDKIM's
            AuthservIDWithJobID does; left out if it does not look like one.
        otherwise: What is said where there are no results; ours, never a stranger's.

    Returns:
        The field, folded, to put on top of the message (RFC 8601 section 5).

    Raises:
        SettingsError: The authserv-id is not printable on one line.
    """
    if not authserv_id.isprintable() or not authserv_id:
        raise SettingsError(f"{authserv_id!r} is not an authserv-id; use the host's domain name")
    who = _quoted_unless(_VALUE, authserv_id)
    if job_id is not None and _JOB_ID.fullmatch(job_id):
        # RFC 8601 would have it quoted; readers know OpenDKIM's form, which is not.
        who += f"/{job_id}"
    prefixes = _signature_prefixes(results)
    lines = [f"Authentication-Results: {who};"]
    for result, prefix in zip(results, prefixes, strict=True):
        lines += _resinfo(result, words(result), prefix if header_b else None)
        lines[-1] += ";"
    if not results:
        lines.append(f"{otherwise};")
    return HeaderField("\r\n\t".join(lines)[:-1].encode())


def _resinfo(result: SignatureResult, words: Words, prefix: str | None) -> list[str]:
    signature = result.signature
    if signature is None:
        return [*_lines(words.status, words.reason, words.comment, None)]
    auid = f"@{signature.domain}" if signature.auid is None else str(signature.auid)
    # UTF-8 stands only in internationalised messages (RFC 8601 section 2.2 by RFC 6532),
    # which d= in U-labels proves; header.d says enough without this.
    printable = auid.isascii() or not signature.domain.text.isascii()
    is_told = printable and len(auid.encode()) <= _LONGEST_AUID
    signer = (
        signature.domain.text,
        auid if is_told else None,
        signature.algorithm,
        signature.selector.text,
    )
    lines = [*_lines(words.status, words.reason, words.comment, signer)]
    if prefix is not None:
        _add(lines, f"header.b={_quoted_unless(_PVALUE, prefix)}")
    return lines


# All but header.b: the same few signers come all day, and laying this out takes 4 us.  A domain
# name and a selector have 253 octets at most, an auid that is told `_LONGEST_AUID`.
@lru_cache(maxsize=512)
def _lines(
    status: Status,
    reason: str | None,
    comment: str | None,
    signer: tuple[str, str | None, Algorithm, str] | None,
) -> tuple[str, ...]:
    lines = [f"dkim={status}"]
    if reason is not None:
        _add(lines, f"reason={_quoted(reason)}")
    if comment is not None:
        _add(lines, f"({comment})")
    if signer is not None:
        domain, auid, algorithm, selector = signer
        _add(lines, f"header.d={_quoted_unless(_PVALUE, domain)}")
        if auid is not None:
            _add(lines, f"header.i={_quoted_unless(_PVALUE, auid)}")
        _add(lines, f"header.a={algorithm}")
        _add(lines, f"header.s={_quoted_unless(_PVALUE, selector)}")
    return tuple(lines)


def _add(lines: list[str], part: str) -> None:
    """Put a part behind the others, on a new line where the last one would become too long."""
    if len(lines[-1]) + len(part) + 3 < _LINE:
        lines[-1] += f" {part}"
    else:
        lines.append(f" {part}")


def _quoted_unless(pattern: re.Pattern[str], value: str) -> str:
    if pattern.fullmatch(value) and value.isprintable():
        return value
    return _quoted(value)


def _quoted(value: str) -> str:
    printable = "".join(char if char.isprintable() else "?" for char in value)
    escaped = printable.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _signature_prefixes(results: Sequence[SignatureResult]) -> list[str]:
    """The beginnings of b= that tell the signatures apart (RFC 6008 section 3)."""
    if len(results) == 1 and results[0].signature is not None:
        octets = results[0].signature.signature_data[: _SHORTEST_B * 3 // 4]
        return [binascii.b2a_base64(octets, newline=False).decode("ascii")]
    whole = [
        ""
        if result.signature is None
        else binascii.b2a_base64(result.signature.signature_data, newline=False).decode("ascii")
        for result in results
    ]
    length = _SHORTEST_B
    while length < _LONGEST_B and len({text[:length] for text in whole}) < len(set(whole)):
        length += 1
    return [text[:length] for text in whole]


def forged_positions(
    header: Header,
    authserv_id: str,
    *,
    also: Callable[[str], bool] | None = None,
    only_dkim: bool = False,
) -> tuple[int, ...]:
    """Find the Authentication-Results fields that claim to be ours (RFC 8601 section 5).

    A field that arrives from outside with our authserv-id is forged, whatever it is dressed
    up in: another case, a version, a final dot; or comments, blanks, quotes, backslashes and
    control characters at any place, which generous readers drop.  So is one whose authserv-id
    is not certain: a reader more generous than us might believe it.  Of all fields together
    only so many octets are read, from the top; what lies behind them is not certain.

    Args:
        header: The message's header as received.
        authserv_id: Ours.
        also: Whether another's fields are to be found, too; asked with each reading of a
            field's authserv-id, in lower case.
        only_dkim: Leave fields that surely hold no dkim result, such as those which another
            filter of the same host has put there.

    Returns:
        Positions in the header, bottom up: fields are to be deleted in this order, or
        deleting one moves the others (CVE-2022-48521 was that).
    """
    positions = header.positions(b"authentication-results")
    if not positions:
        return ()
    ours = _spellings(authserv_id)
    found = []
    heads_left = results_left = _MOST_READ
    for position in positions:  # who relayed the message last stands on top
        value = header[position].value
        claimed, octets = _readings(value[:heads_left], is_whole=len(value) <= heads_left)
        heads_left -= octets
        is_ours = not claimed.isdisjoint(ours) or (also is not None and any(map(also, claimed)))
        if is_ours and only_dkim:
            results_left -= len(value)
            is_ours = results_left < 0 or holds_dkim_result(value)
        if is_ours or not claimed:
            found.append(position)
    return tuple(reversed(found))


# Octets of a message's authserv-ids, and of results in our name.  Reading 250 kB of "(a)(a)..."
# takes 0.2 s, in which a milter serves nobody else; a real authserv-id has some 20 octets, and
# a field some hundred.
_MOST_READ = 8192


# A host has one name; where a virtual host has its own, a few.
@lru_cache(maxsize=64)
def _spellings(authserv_id: str) -> frozenset[str]:
    """Our authserv-id as written, in A-labels and in U-labels."""
    normal = _normal(authserv_id)
    plain = _normal(_ODD.sub("", normal))
    try:
        name = DomainName.parse(normal)
    except SettingsError:  # an authserv-id need not be a domain name
        return frozenset((normal, plain))
    return frozenset((normal, plain, name.ascii, name.u_labels))


def claimed_authserv_id(value: bytes) -> str | None:
    """The authserv-id that an Authentication-Results field claims, for comparison.

    As RFC 8601 section 2.2 has it; some readers join what stands apart.

    Args:
        value: The field's body.

    Returns:
        In lower case, without final dots and ``/...`` behind it; None if there is none.
    """
    rest = _skip_cfws(value)
    if rest is None:
        return None
    match = _AUTHSERV_ID.match(rest)
    if match is None:
        return None
    quoted = match[1]
    octets = match[0] if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)
    return _normal(octets.decode("utf-8", "replace"))


# quoted-string, or what generous readers take for a token: up to white space, ";" or "(".
_AUTHSERV_ID = re.compile(rb'"((?:[^"\\]|\\.)*+)"|[^\s;("]++', re.DOTALL)


def _normal(authserv_id: str) -> str:
    # OpenDKIM writes "authserv-id/job-id"; what follows the slash is not part of it.
    return authserv_id.partition("/")[0].strip().rstrip(".").lower()


def _readings(value: bytes, *, is_whole: bool) -> tuple[frozenset[str], int]:
    """All that readers may take for a field's authserv-id; none if it is not certain.

    Not whole: the rest of the field was cut off.  Also says how many octets were read.

    OpenDKIM and OpenDMARC join tokens at dots and drop backslashes; others take the first
    token alone, or drop what has no place in a name.
    """
    octets, end = _head(value)
    claimed = claimed_authserv_id(value)
    head = octets.decode("utf-8", "replace")
    # Libraries decode the encoded-words of RFC 2047, which have no place here, before they look.
    if claimed is None or "=?" in head or (end == len(value) and not is_whole):
        return frozenset(), end
    readings = set[str]()
    for text in (head.partition("/")[0], head):
        words = _ODD.sub(" ", text).split()
        if words:
            at_dots = " ".join(words).replace(" .", ".").replace(". ", ".").partition(" ")[0]
            unversioned = words[:-1] if words[-1].isdecimal() else words
            readings |= {words[0], at_dots, "".join(words), "".join(unversioned)}
    names = frozenset(filter(None, map(_normal, readings)))
    return names and names | {claimed}, end


# What is no part of a name, and what is not seen: white space, controls, most ASCII, and
# octets that are no UTF-8.
_ODD = re.compile(r"[^-._\w\u00c0-\U0010ffff]|[\s\u2000-\u206f\ufeff\ufffd]")
_HEAD_PIECE = re.compile(rb'"(?:[^"\\]|\\.)*+"|[^"(;]++', re.DOTALL)


def _head(value: bytes) -> tuple[bytes, int]:
    """What stands before the first ";" of a field's body, without comments and backslashes.

    Also says where it was known to end.

    A comment or quoted-string that does not end is read as if it did not begin.
    """
    pieces = []
    position = 0
    while position < len(value) and value[position : position + 1] != b";":
        if value[position : position + 1] == b"(":
            end = comment_end(value, position + 1)
            piece = b" "
        else:
            match = _HEAD_PIECE.match(value, position)
            end = -1 if match is None else match.end()
            piece = value[position:end]
        if end < 0:
            pieces.append(value[position:].partition(b";")[0])
            position = len(value)
            break
        pieces.append(piece)
        position = end
    return b"".join(pieces).replace(b"\\", b""), position


def _skip_cfws(value: bytes) -> bytes | None:
    """Skip white space and nested comments; None if a comment does not end."""
    position = 0
    while position >= 0:
        while value[position : position + 1] in (b" ", b"\t", b"\r", b"\n"):
            position += 1
        if value[position : position + 1] != b"(":
            return value[position:]
        position = comment_end(value, position + 1)
    return None
