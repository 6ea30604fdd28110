"""The author's address (RFC 5322 section 3.4, RFC 6532), which chooses who signs.

Reads a From field, or another field that holds addresses, and finds its first address.
Display names, comments and group names are passed over and never decoded; whether anything
is signed for the address is left to the tables.

What real mail contains is taken even where RFC 5322 forbids it, as long as every generous
reader would find the same address: a bare comma in a display name, words without "@" or the
same address once more behind ``<...>``, a final ">" that is missing.  What readers take for
different addresses (two "@", an open quotation mark, another address behind ``<...>``,
``<mailto:...>``) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING

from dkimcore.errors import MessageError
from dkimcore.protocol.names import to_a_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.protocol.message import Header

__all__ = ["Mailbox", "author"]

# RFC 5321 section 4.5.3.1 allows 64 octets before and 255 behind the "@"; longer local parts
# exist.  The bound keeps what tables do with an address cheap.
_MAX_OCTETS = 998

# A field of 250 kB of "a@a@..." takes 0.1 s of reading, in which a milter serves nobody else.
# Names, comments and addresses of real authors have some hundred octets.
_MAX_FIELD_OCTETS = 8192

# Octets above 127 are UTF-8 (RFC 6532) or an unannounced charset; both are atext here.
_TOKEN = re.compile(
    rb"""(?P<space>[ \t\r\n]++)
    |(?P<word>"(?:[^"\\]|\\.)*+"|\[(?:[^\[\]\\]|\\.)*+\]|(?:[^\x00-\x20\x7f"()<>\[\]:;@,\\]|\\.)++)
    |(?P<special>[<>@,:;(])""",
    re.VERBOSE | re.DOTALL,
)
# How nearly all fields are written, in one step: "Name Name <user@example.com>", also with a
# quoted name, or the address alone.  Token by token the same takes 10 us instead of 2.
_PLAIN = re.compile(
    rb"""[ \t\r\n]*+
    (?:(?:"[^"\\]*+"[ \t\r\n]*+|[^\x00-\x20\x7f"()<>\[\]:;@,\\]++[ \t\r\n]*+)*+(?P<bracket><))?+
    (?P<user>[A-Za-z0-9!\#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!\#$%&'*+/=?^_`{|}~-]++)*+)
    @(?P<host>[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++)*+)
    (?(bracket)>)[ \t\r\n]*+""",
    re.VERBOSE,
)
_SPECIALS = frozenset((b"@", b"<", b">", b",", b":", b";"))
_COMMENT_PART = re.compile(rb"(?:[^()\\]|\\.)*+([()])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address, ``Local-part "@" Domain``; compares without regard to the domain's case.

    Attributes:
        local_part: As written, with its quotation marks where it has them.
        domain: In lower case and A-labels; a domain literal, or what is no domain name at
            all, in lower case.
        domain_text: As written; octets that are no UTF-8 are surrogate escapes.
    """

    local_part: bytes
    domain: str
    domain_text: str = field(compare=False)

    @classmethod
    def make(cls, local_part: bytes, domain: bytes) -> Mailbox:
        """Make a mailbox of its two parts, such as those of an envelope address."""
        text = domain.decode("utf-8", "surrogateescape")
        try:
            name = to_a_labels(text)
        except ValueError:
            name = text.lower()
        return cls(local_part, name, text)

    @classmethod
    def parse(cls, value: bytes) -> Mailbox:
        """Parse the body of a From field, or of another that holds addresses.

        ``<...>`` wins over bare text before it, of several addresses the first is taken,
        also from a group; comments, and a source route, are left out.

        Args:
            value: The octets behind the field's colon, folded or not.

        Raises:
            MessageError: There is no address in it, or not the same one for all readers, or it
                has more than 8192 octets.
        """
        if len(value) > _MAX_FIELD_OCTETS:
            raise MessageError(f"the address field is longer than {_MAX_FIELD_OCTETS} octets")
        return _known(value) if len(value) <= _LONGEST_KNOWN else cls._read(value)

    @classmethod
    def _read(cls, value: bytes) -> Mailbox:
        plain = _PLAIN.fullmatch(value)
        if plain is not None and len(value) <= _MAX_OCTETS:
            return cls.make(plain["user"], plain["host"])
        return cls._parse(value)

    @classmethod
    def _parse(cls, value: bytes) -> Mailbox:
        tokens = _tokens(value)
        item: list[bytes] = []  # words and "@" of the address that is being read
        for token in tokens:
            if token == b"<":
                inside, *others = _until_closed(tokens), *_behind(tokens)
                mailbox = _bracketed(inside)
                if len(others) > 1 or any(_bracketed(other) != mailbox for other in others):
                    raise MessageError("another address stands behind '<...>' in the field")
                return mailbox
            if token in (b",", b";", b":"):
                # A name or a group's name, "Smith, John <john@example.com>"
                if b"@" in item and token != b":":
                    break
                item.clear()
            else:
                item.append(token)
        return _address(item, strict=False)

    @property
    def address(self) -> str:
        """Local part as written, "@", and the domain for comparison; not for printing."""
        return f"{self.local_part.decode('utf-8', 'surrogateescape')}@{self.domain}"

    def __str__(self) -> str:
        return self.address.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# Who wrote once writes again: 2 us of reading less.
_known = lru_cache(maxsize=1024)(Mailbox._read)
_LONGEST_KNOWN = 300


def author(header: Header) -> Mailbox:
    """Return the address that a message says it is from.

    Args:
        header: The message's header.

    Raises:
        MessageError: There is no From field, or more than one (RFC 5322 section 3.6), or it
            holds no address.
    """
    positions = header.positions(b"from")
    if len(positions) != 1:
        raise MessageError(
            f"the message has {len(positions) or 'no'} From fields; RFC 5322 section 3.6 "
            "wants exactly one"
        )
    return Mailbox.parse(header[positions[0]].value)


def _tokens(value: bytes) -> Iterator[bytes]:
    """Yield words, specials, and b" " for each run of white space and comments."""
    position, spaced = 0, False
    while position < len(value):
        match = _TOKEN.match(value, position)
        if match is None:
            raise MessageError(
                "the address field holds a control character, or a quotation mark or bracket "
                "without its partner; it should be like: Name <user@example.com>"
            )
        position = match.end()
        if match["space"] or match[0] == b"(":
            position = position if match["space"] else _comment_end(value, position)
            if not spaced:
                yield b" "
            spaced = True
        else:
            spaced = False
            yield match[0]


def _comment_end(value: bytes, position: int) -> int:
    depth = 1
    while depth:
        match = _COMMENT_PART.match(value, position)
        if match is None:
            raise MessageError("a comment in the address field has no end; close it with ')'")
        depth += 1 if match[1] == b"(" else -1
        position = match.end()
    return position


def _until_closed(tokens: Iterator[bytes]) -> list[bytes]:
    """Return what stands up to ">", or up to the end of the field."""
    return list(takewhile(lambda token: token != b">", tokens))


def _behind(tokens: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield what stands in more ``<...>`` before the next address; refuses other addresses."""
    before = b"<"
    for token in takewhile(lambda token: token not in (b",", b";"), tokens):
        if token != b" " and before == b"<":
            raise MessageError("something stands right behind '<...>' in the address field")
        if token == b"<":
            yield _until_closed(tokens)
        elif token in _SPECIALS or b"@" in token or b"=?" in token:  # also in quotes, or encoded
            raise MessageError("what stands behind '<...>' may be an address, too")
        before = token


def _bracketed(inside: list[bytes]) -> Mailbox:
    return _address(_without_route(inside), strict=True)


def _without_route(inside: list[bytes]) -> list[bytes]:
    """Drop ``@one,@two:`` (RFC 5322 section 4.4)."""
    stripped = [token for token in inside if token != b" "]
    if stripped[:1] == [b"@"] and b":" in inside:
        return inside[inside.index(b":") + 1 :]
    return inside


def _address(item: list[bytes], *, strict: bool) -> Mailbox:
    """Make a mailbox of words, b"@" and b" "; not strict: words may stand before it."""
    if b"@" not in item:
        raise MessageError("there is no address in the field; it needs one as user@example.com")
    at = item.index(b"@")
    before, domain = _joined(item[:at]), _joined(item[at + 1 :])
    if len(domain) != 1 or not before or (strict and len(before) != 1):
        raise MessageError("the address in the field is malformed; write one as user@example.com")
    if len(before[-1]) + len(domain[0]) > _MAX_OCTETS:
        raise MessageError(f"the address in the field is longer than {_MAX_OCTETS} octets")
    if b'"' in domain[0] or b"" in domain[0].removesuffix(b".").split(b"."):
        raise MessageError("the address in the field has a malformed domain")
    return Mailbox.make(before[-1], domain[0])


def _joined(tokens: list[bytes]) -> list[bytes]:
    """Join words that touch, also across space around dots (RFC 5322 section 4.4)."""
    words: list[list[bytes]] = []
    touching = False
    for token in tokens:
        if token == b" ":
            touching = False
            continue
        if token in _SPECIALS:
            raise MessageError("an address in the field holds an unquoted '@', ',', ':' or ';'")
        if words and (touching or token.startswith(b".") or words[-1][-1].endswith(b".")):
            words[-1].append(token)
        else:
            words.append([token])
        touching = True
    return [b"".join(word) for word in words]
