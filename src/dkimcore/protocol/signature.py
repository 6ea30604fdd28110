"""The DKIM-Signature header field (RFC 6376 section 3.5).

Parses the field into a `Signature` and prints one, folded.  Whether we accept
what it says is left to `policy` and `verify`.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from functools import lru_cache

from dkimcore.errors import SettingsError
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.result import Cause, Unusable
from dkimcore.protocol.taglist import (
    decode_base64,
    decode_quoted_printable,
    encode_quoted_printable,
    parse_tag_list,
    remove_white_space,
)

__all__ = [
    "Signature",
    "append_signature_data",
    "is_queryable",
    "print_head",
    "print_unsigned",
]

_SYNTAX = Cause.SIGNATURE_SYNTAX_ERROR

_REQUIRED = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")

# sig-c-tag = sig-c-tag-alg ["/" sig-c-tag-alg]; one name alone leaves the body simple.
_CANONICALIZATIONS = {
    b"simple": (Canonicalization.SIMPLE, Canonicalization.SIMPLE),
    b"relaxed": (Canonicalization.RELAXED, Canonicalization.SIMPLE),
    **{
        f"{header}/{body}".encode(): (header, body)
        for header in Canonicalization
        for body in Canonicalization
    },
}

_ALGORITHMS = {algorithm.encode(): algorithm for algorithm in Algorithm}

# hdr-name *( [FWS] ":" [FWS] hdr-name ); field-name of RFC 5322 section 3.6.8 less ";".
_SIGNED_FIELDS = re.compile(
    rb"[!-9<-~]++(?:[ \t\r\n]*+:[ \t\r\n]*+[!-9<-~]++)*+",
)
# x-sig-q-tag-type ["/" x-sig-q-tag-args]: hyphenated-word and qp-hdr-value.
_QUERY_METHOD = re.compile(rb"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:/[^ \t\r\n]++)?")

# Where z= may be folded: anywhere but inside a hex-octet (section 2.11) or a UTF-8 character.
_QP_PIECES = re.compile(rb"(?:=[0-9A-F]{2}|.[\x80-\xbf]*+){1,24}", re.DOTALL)

# RFC 6376 section 3.5: x= and t= of over 12 digits may be taken as infinite.
INFINITE = 10**12

# Lines of a field we make; RFC 5322 section 2.1.1 says 78 without the CRLF.
_LINE = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The content of a DKIM-Signature field (RFC 6376 section 3.5).

    Attributes:
        algorithm: ``a=``.
        domain: ``d=``, the SDID.
        selector: ``s=``.
        signed_fields: ``h=`` in lower case, in order.
        body_hash: ``bh=``, decoded.
        signature_data: ``b=``, decoded; empty before signing.
        header_canonicalization: The first half of ``c=``.
        body_canonicalization: The second half of ``c=``.
        auid: ``i=``; None when absent, which means ``@`` and the domain.
        body_length: ``l=`` in octets; None when absent.
        timestamp: ``t=`` in seconds since 1970; None when absent.
        expiration: ``x=`` in seconds since 1970; None when absent.
        copied_fields: ``z=``, as it stands; diagnostic only.
    """

    algorithm: Algorithm
    domain: DomainName
    selector: Selector
    signed_fields: tuple[bytes, ...]
    body_hash: bytes
    signature_data: bytes = field(default=b"", repr=False)
    header_canonicalization: Canonicalization = Canonicalization.SIMPLE
    body_canonicalization: Canonicalization = Canonicalization.SIMPLE
    auid: Auid | None = None
    body_length: int | None = None
    timestamp: int | None = None
    expiration: int | None = None
    copied_fields: bytes | None = field(default=None, repr=False)

    @property
    def auid_domain(self) -> DomainName:
        """The domain of i=, or of d= where i= is absent."""
        return self.domain if self.auid is None else self.auid.domain

    @property
    def key_query(self) -> str:
        """The name at which the key record stands, absolute (section 3.6.2.1)."""
        return _query_name(self.domain, self.selector)

    @classmethod
    def read(cls, value: bytes) -> Signature | None:
        """Parse the body of a DKIM-Signature field; None if it cannot be used.

        For who wants to know whose signatures there are before any is verified.

        Args:
            value: As for `parse`.
        """
        try:
            return cls.parse(value)
        except Unusable:
            return None

    @classmethod
    def parse(cls, value: bytes) -> Signature:
        """Parse the body of a DKIM-Signature field (RFC 6376 section 6.1.1).

        Args:
            value: What stands behind the field's colon, as it is or in relaxed form: the
                meaning of each tag is the same.

        Raises:
            Unusable: The signature is to be ignored; the cause says why.
        """
        tags = parse_tag_list(value, _SYNTAX)
        for name in _REQUIRED:
            if name not in tags:
                raise Unusable(
                    Cause.MISSING_REQUIRED_TAG, f"the tag {name.decode('ascii')}= is missing"
                )
        if tags[b"v"] != b"1":
            raise Unusable(Cause.INCOMPATIBLE_VERSION, "v= is not 1")
        algorithm = _ALGORITHMS.get(tags[b"a"])
        if algorithm is None:
            raise Unusable(Cause.UNSUPPORTED_ALGORITHM, "a= names an unknown algorithm")
        canonicalizations = _CANONICALIZATIONS.get(tags.get(b"c", b"simple"))
        if canonicalizations is None:
            raise Unusable(
                Cause.UNSUPPORTED_CANONICALIZATION, "c= names an unknown canonicalization"
            )
        domain, selector = _domain(tags[b"d"]), _selector(tags[b"s"])
        if not is_queryable(domain, selector):
            raise Unusable(_SYNTAX, "s= and d= make a longer name than the DNS can hold")
        body_hash = _base64(tags[b"bh"], "bh=")
        if len(body_hash) != algorithm.hash_algorithm.digest_size:
            raise Unusable(_SYNTAX, "bh= has not the length of the hash that a= names")
        timestamp, expiration = _times(tags)
        _check_query_methods(tags)
        return cls(
            algorithm=algorithm,
            domain=domain,
            selector=selector,
            signed_fields=_signed_fields(tags[b"h"]),
            body_hash=body_hash,
            signature_data=_base64(tags[b"b"], "b="),
            header_canonicalization=canonicalizations[0],
            body_canonicalization=canonicalizations[1],
            auid=_auid(tags[b"i"], domain) if b"i" in tags else None,
            body_length=_number(tags[b"l"], "l=", 76) if b"l" in tags else None,
            timestamp=timestamp,
            expiration=expiration,
            copied_fields=tags.get(b"z"),
        )

    def print(self) -> bytes:
        """Print the DKIM-Signature field, folded, without a final CRLF.

        With empty signature data the field ends in ``b=``: the form that is hashed.
        The order of tags is v a c d s i t x l bh h z b.
        """
        head = print_head(
            algorithm=self.algorithm,
            canonicalizations=(self.header_canonicalization, self.body_canonicalization),
            domain=self.domain,
            selector=self.selector,
            auid=self.auid,
        )
        unsigned_field = print_unsigned(
            head,
            timestamp=self.timestamp,
            expiration=self.expiration,
            body_length=self.body_length,
            body_hash=self.body_hash,
            signed_fields=self.signed_fields,
            copied_fields=self.copied_fields,
        )
        return append_signature_data(unsigned_field, self.signature_data)


def print_head(
    *,
    algorithm: Algorithm,
    canonicalizations: tuple[Canonicalization, Canonicalization],
    domain: DomainName,
    selector: Selector,
    auid: Auid | None,
) -> bytes:
    """Print what the signatures of one key have in common: v a c d s i (see `Signature`)."""
    header, body = canonicalizations
    lines = [
        b"DKIM-Signature: v=1; a=%b; c=%b/%b;"
        % (algorithm.encode(), header.encode(), body.encode()),
        b"d=%b;" % domain.text.encode(),
        b"s=%b;" % selector.text.encode(),
    ]
    if len(lines[1]) + len(lines[2]) < _LINE - 2:
        lines[1:] = [b" ".join(lines[1:])]
    if auid is not None:
        # UTF-8 may stand for itself only in internationalised messages (RFC 8616 section 5),
        # and only there is the domain written in U-labels.
        keep_utf8 = not auid.domain.text.isascii()
        local_part = encode_quoted_printable(auid.local_part, keep_utf8=keep_utf8)
        lines.append(b"i=%b@%b;" % (local_part, auid.domain.text.encode()))
    return b"\r\n\t".join(lines)


def print_unsigned(
    head: bytes,
    *,
    timestamp: int | None,
    expiration: int | None,
    body_length: int | None,
    body_hash: bytes,
    signed_fields: tuple[bytes, ...],
    copied_fields: bytes | None,
) -> bytes:
    """Print the field behind a head up to ``b=``: t x l bh h z (see `Signature`)."""
    lines = [head]
    numbers = b"" if timestamp is None else b" t=%d;" % timestamp
    if expiration is not None:
        numbers += b" x=%d;" % expiration
    if body_length is not None:
        numbers += b" l=%d;" % body_length
    if numbers:
        lines.append(numbers[1:])
    lines.append(b"bh=%b;" % binascii.b2a_base64(body_hash, newline=False))
    lines.append(_print_signed_fields(signed_fields))
    if copied_fields is not None:
        lines += _QP_PIECES.findall(b"z=%b;" % copied_fields)
    lines.append(b"b=")
    return b"\r\n\t".join(lines)


def _query_name(domain: DomainName, selector: Selector) -> str:
    return f"{selector.ascii}._domainkey.{domain.ascii}."


def is_queryable(domain: DomainName, selector: Selector) -> bool:
    """Whether the name of the key record fits in the DNS (RFC 1035 section 2.3.4)."""
    return len(_query_name(domain, selector)) <= 254


def append_signature_data(unsigned_field: bytes, signature_data: bytes) -> bytes:
    """Complete a field that ends in ``b=``; what was hashed stays as it is."""
    data = binascii.b2a_base64(signature_data, newline=False)
    pieces = [data[start : start + 70] for start in range(0, len(data), 70)]
    return unsigned_field + b"\r\n\t".join(pieces)


# A site's messages name the same fields over and over.
@lru_cache(maxsize=256)
def _print_signed_fields(names: tuple[bytes, ...]) -> bytes:
    """Print ``h=``, folded where FWS is allowed: after a colon."""
    lines: list[bytes] = []
    line = b"h=" + names[0]
    for name in names[1:]:
        if len(line) + len(name) < _LINE - 4:  # TAB, SP, ":" and ":" or ";" are to be added
            line += b":" + name
        else:
            lines.append(line + b":")
            line = name
    return b"\r\n\t".join([*lines, line + b";"])


# The domains, selectors and lists of fields of a day's mail are few, and a message that names a
# known one is read 3 us faster.  Only what is well-formed is kept, so that none is long.
@lru_cache(maxsize=512)
def _domain(value: bytes) -> DomainName:
    try:
        return DomainName.parse(value.decode("utf-8"))
    except SettingsError:
        raise Unusable(_SYNTAX, "d= is not a domain name") from None


@lru_cache(maxsize=512)
def _selector(value: bytes) -> Selector:
    try:
        return Selector.parse(value.decode("utf-8"))
    except SettingsError:
        raise Unusable(_SYNTAX, "s= is not a selector") from None


def _auid(value: bytes, domain: DomainName) -> Auid:
    decoded = decode_quoted_printable(value, _SYNTAX)
    local_part, at, name = decoded.rpartition(b"@")
    if not at:
        raise Unusable(_SYNTAX, "i= has no '@'")
    try:
        auid = Auid(local_part, DomainName.parse(name.decode("utf-8")))
    except (SettingsError, UnicodeDecodeError):
        raise Unusable(_SYNTAX, "i= has no domain name behind its '@'") from None
    if not auid.domain.is_within(domain):
        raise Unusable(Cause.DOMAIN_MISMATCH, "i= is not within d=")
    return auid


def _base64(value: bytes, tag: str) -> bytes:
    octets = decode_base64(value, _SYNTAX, tag=tag)
    if not octets:
        raise Unusable(_SYNTAX, f"{tag} is empty")
    return octets


def _number(value: bytes, tag: str, digits: int) -> int:
    if not value.isdigit() or len(value) > digits:
        raise Unusable(_SYNTAX, f"{tag} is not a decimal number of at most {digits} digits")
    return int(value)


def _time(value: bytes, tag: str) -> int:
    return INFINITE if len(value) > 12 and value.isdigit() else _number(value, tag, 12)


def _times(tags: dict[bytes, bytes]) -> tuple[int | None, int | None]:
    timestamp = _time(tags[b"t"], "t=") if b"t" in tags else None
    expiration = _time(tags[b"x"], "x=") if b"x" in tags else None
    if timestamp is not None and expiration is not None and expiration <= timestamp:
        raise Unusable(_SYNTAX, "x= is not later than t=")
    return timestamp, expiration


def _check_query_methods(tags: dict[bytes, bytes]) -> None:
    value = tags.get(b"q")
    if value is None or value == b"dns/txt":
        return
    methods = [method.strip(b" \t\r\n") for method in value.split(b":")]
    if not all(map(_QUERY_METHOD.fullmatch, methods)):
        raise Unusable(_SYNTAX, "q= is not a list of query methods")
    if b"dns/txt" not in methods:
        raise Unusable(Cause.UNSUPPORTED_QUERY_METHOD, "q= names no known query method")


def _signed_fields(value: bytes) -> tuple[bytes, ...]:
    # Real lists have 300 octets; those of 16 KiB that a stranger may send are not kept.
    return _known_fields(value) if len(value) <= 1024 else _split_fields(value)


def _split_fields(value: bytes) -> tuple[bytes, ...]:
    if not _SIGNED_FIELDS.fullmatch(value):
        raise Unusable(_SYNTAX, "h= is empty or holds what is not a field name")
    names = remove_white_space(value).lower().split(b":")
    if b"from" not in names:
        raise Unusable(Cause.FROM_NOT_SIGNED, "h= does not name From")
    return tuple(names)


_known_fields = lru_cache(maxsize=512)(_split_fields)
