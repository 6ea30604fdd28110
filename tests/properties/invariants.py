"""The invariants of the protocol, each as a function that asserts it.

Hypothesis calls them from the tests beside this file, atheris from tests/fuzz: a
failure of either is a failure of the same sentence.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.protocol import authres
from dkimcore.protocol.canonical import BodyCanonicalizer, Canonicalization, canonicalize_field
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.message import Header, MessageReader
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.policy import Limits, VerifyPolicy
from dkimcore.protocol.relax import reduce_white_space
from dkimcore.protocol.result import Cause, SignatureResult, Status, Unusable
from dkimcore.protocol.sign import SignatureRequest, Signing
from dkimcore.protocol.signature import Signature
from dkimcore.protocol.taglist import (
    decode_quoted_printable,
    encode_quoted_printable,
    parse_tag_list,
    remove_white_space,
)
from dkimcore.protocol.verify import Verification
from tests.properties import models
from tests.protocol.material import NOW, PrivateKey, found

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.protocol.keyrecord import TxtAnswer
    from dkimcore.protocol.policy import SigningProfile

__all__ = [
    "SignedMessage",
    "a_changed_message_passes_only_if_canonicalization_hides_the_change",
    "body_canonicalization_is_that_of_the_rfc",
    "chunking_the_header_is_invisible",
    "field_canonicalization_is_that_of_the_rfc",
    "forgeries_are_found_and_cannot_be_injected",
    "key_record_survives_printing",
    "names_are_refused_or_kept",
    "nothing_raises_and_nothing_passes",
    "pieces",
    "quoted_printable_survives_printing",
    "signature_survives_printing",
    "tag_list_survives_printing",
    "white_space_is_reduced_as_the_rfc_says",
]

SYNTAX = Cause.SIGNATURE_SYNTAX_ERROR
LENIENT = VerifyPolicy(
    allow_body_length=True, allow_expired=True, allow_future=True, allow_historic=True
)


def pieces(octets: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut octets at these positions, taken modulo their number; some pieces may be empty."""
    ends = [*sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    starts = [0, *ends]
    return [octets[start:end] for start, end in zip(starts, ends, strict=False)]


def canonical_body(chunks: Sequence[bytes], canonicalization: Canonicalization) -> bytes:
    given: list[bytes] = []
    canonicalizer = BodyCanonicalizer(canonicalization, given.append)
    for chunk in chunks:
        canonicalizer.feed(chunk)
    canonicalizer.finish()
    return b"".join(given)


def body_canonicalization_is_that_of_the_rfc(octets: bytes, cuts: Sequence[int]) -> None:
    """Invariants 1 and 2: chunks are invisible, twice is as once, and the model agrees."""
    for canonicalization in Canonicalization:
        relaxed = canonicalization is Canonicalization.RELAXED
        expected = models.body(octets, relaxed=relaxed)
        assert canonical_body([octets], canonicalization) == expected
        assert canonical_body(pieces(octets, cuts), canonicalization) == expected
        assert canonical_body([expected], canonicalization) == expected


def white_space_is_reduced_as_the_rfc_says(octets: bytes) -> None:
    """`reduce_white_space` is the model's pattern, and twice is as once."""
    reduced = reduce_white_space(octets)
    assert reduced == models.reduce_white_space(octets)
    assert reduce_white_space(reduced) == reduced


def field_canonicalization_is_that_of_the_rfc(header: bytes) -> None:
    """Invariant 2 for each field of a header, also one whose first line is a fold."""
    parsed = Header(header)
    for position in range(len(parsed)):
        raw = parsed[position].raw
        for canonicalization in Canonicalization:
            relaxed = canonicalization is Canonicalization.RELAXED
            once = canonicalize_field(raw, canonicalization)
            assert once == models.field(raw, relaxed=relaxed)
            assert canonicalize_field(once, canonicalization) == once
            if re.match(rb"[!-9;-~]+(?:\r\n|[ \t])*:", raw):  # no h= can name another line
                assert parsed.canonical(canonicalization)[position] == once


def chunking_the_header_is_invisible(message: bytes, cuts: Sequence[int], limit: int) -> None:
    """Invariant 1 for `MessageReader`, also where the header is about as large as allowed."""

    def read(chunks: Sequence[bytes]) -> tuple[bytes, bool, bytes]:
        reader = MessageReader(max_header_octets=limit)
        body = b"".join(reader.feed(chunk) for chunk in chunks)
        return reader.finish().octets, reader.too_large, body

    whole = read([message])
    assert read(pieces(message, cuts)) == whole
    assert read([bytes([octet]) for octet in message]) == whole
    header, too_large, body = whole
    assert len(header) <= limit
    if too_large:
        assert body == b""
    else:
        assert message.startswith(header)
        assert message.endswith(body)


def _verify(
    message: bytes,
    cuts: Sequence[int],
    answers: Sequence[tuple[str, TxtAnswer]],
    *,
    policy: VerifyPolicy,
    late: bool,
) -> tuple[SignatureResult, ...]:
    reader = MessageReader(max_header_octets=policy.limits.header_octets)
    chunks = [reader.feed(chunk) for chunk in pieces(message, cuts)]
    header = reader.finish()
    verification = Verification(header, now=NOW, policy=policy, header_too_large=reader.too_large)
    for number, chunk in enumerate(chunks):
        if not late and number < len(answers):
            verification.answer(*answers[number])
        verification.feed(chunk)
    for name, answer in answers:  # an answer given twice changes nothing
        verification.answer(name, answer)
    return tuple(verification.finish())


def nothing_raises_and_nothing_passes(
    message: bytes,
    answer_for: Callable[[str], TxtAnswer],
    cuts: Sequence[int],
    *,
    policy: VerifyPolicy = LENIENT,
) -> None:
    """Invariants 1 and 6, for a message that nobody with a key signed."""
    reader = MessageReader(max_header_octets=policy.limits.header_octets)
    reader.feed(message)
    queries = Verification(reader.finish(), now=NOW, policy=policy).queries
    assert len(queries) <= policy.limits.signatures
    answers = [(name, answer_for(name)) for name in queries]
    whole = _verify(message, (), answers, policy=policy, late=True)
    assert all(result.status is not Status.PASS for result in whole)
    assert all(result.cause is not None for result in whole)
    assert len(whole) <= policy.limits.signatures + 1
    assert _verify(message, cuts, answers, policy=policy, late=False) == whole
    assert _verify(message, cuts, answers[::-1], policy=policy, late=True) == whole
    _is_safe_to_print(authres.render("mx.example.net", whole).raw, whole)


def _is_safe_to_print(raw: bytes, results: Sequence[SignatureResult]) -> None:
    """RFC 8601 section 2.2: nothing that a message brought stands outside of a value."""
    text = raw.decode("utf-8")
    assert all(line[:1] in (" ", "\t") for line in text.split("\r\n")[1:])
    assert not re.search("[\r\n]", text.replace("\r\n", ""))
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text.replace("\r\n", ""))
    assert len(re.findall(r"dkim=", bare)) == max(1, len(results))
    assert bare.count(";") == max(1, len(results))
    assert '"' not in bare.replace('""', "")


def tag_list_survives_printing(octets: bytes) -> None:
    """Invariant 3 for tag-lists: what was parsed can be written down and is found again."""
    try:
        tags = parse_tag_list(octets, SYNTAX)
    except Unusable:
        return
    printed = b";".join(name + b"=" + value for name, value in tags.items())
    assert parse_tag_list(printed, SYNTAX) == tags
    assert parse_tag_list(b" " + printed.replace(b";", b" ;\r\n\t") + b" ; ", SYNTAX) == tags


def quoted_printable_survives_printing(octets: bytes) -> None:
    """Invariant 3 for dkim-quoted-printable, both ways."""
    encoded = encode_quoted_printable(octets)
    assert decode_quoted_printable(encoded, SYNTAX) == octets
    assert decode_quoted_printable(encode_quoted_printable(octets, also=b"|"), SYNTAX) == octets
    assert not re.search(rb"[\x00-\x20;\x7f]", encoded)
    try:
        decoded = decode_quoted_printable(octets, SYNTAX)
    except Unusable:
        return
    assert decode_quoted_printable(encode_quoted_printable(decoded), SYNTAX) == decoded


def signature_survives_printing(value: bytes) -> None:
    """Invariant 3 for DKIM-Signature fields; folds are put elsewhere in z= alone."""
    try:
        signature = Signature.parse(value)
    except Unusable:
        return
    printed = signature.print()
    again = Signature.parse(printed.partition(b":")[2])
    assert again.print() == printed or signature.copied_fields is not None
    assert _comparable(again) == _comparable(signature)


def _comparable(signature: Signature) -> dict[str, object]:
    values = {name: getattr(signature, name) for name in Signature.__slots__}
    copied = signature.copied_fields
    values["copied_fields"] = None if copied is None else remove_white_space(copied)
    values["texts"] = (signature.domain.text, signature.selector.text)
    return values


def key_record_survives_printing(octets: bytes) -> None:
    """Invariant 3 for key records."""
    try:
        record = KeyRecord.parse(octets)
    except Unusable:
        return
    assert KeyRecord.parse(record.print()) == record


def names_are_refused_or_kept(octets: bytes) -> None:
    """Statements 27, 42: a name is a name, its text is kept, its A-labels are stable."""
    text = octets.decode("utf-8", "surrogateescape")
    for parse in (DomainName.parse, Selector.parse):
        try:
            name = parse(text)
        except SettingsError:
            continue
        assert name.ascii.isascii()
        assert name.ascii == name.ascii.lower()
        assert len(name.ascii) <= 253
        assert all(0 < len(label) <= 63 for label in name.ascii.split("."))
        assert parse(name.ascii) == name
        assert str(name) == text
    try:
        auid = Auid.parse(text)
    except SettingsError:
        return
    assert auid.domain.is_within(auid.domain)
    local_part = auid.local_part.decode("utf-8", "surrogateescape")
    assert Auid.parse(f"{local_part}@{auid.domain}") == auid


def forgeries_are_found_and_cannot_be_injected(value: bytes, authserv_id: str) -> None:
    """RFC 8601 section 5: a field whose authserv-id is ours, or not certain, is found."""
    header = Header(b"Authentication-Results:" + value)
    if len(header) != 1:
        return
    claimed = authres.claimed_authserv_id(header[0].value)
    found_at = authres.forged_positions(header, authserv_id)
    plain = authserv_id.casefold()
    if claimed is None or claimed == plain:
        assert found_at == (0,)
    # Who names himself plainly is believed, whatever comes behind.
    if re.match(rb"[ \t]*[a-z0-9.-]*[a-z0-9-][ \t]*(;|\Z)", header[0].value):
        assert (found_at == (0,)) == (claimed == plain)
    # However it is dressed up, our name in front of the results is recognised.
    begins = re.match(rb'[ \t\r\n]*"?([^\s"();\\/]*)\.?"?(?=[\s;]|\Z)', header[0].value)
    if begins and begins[1].decode("utf-8", "replace").casefold() == plain:
        assert found_at == (0,)


class SignedMessage:
    """A message that this library signed; checks that it passes.

    Invariant 4, for a key, a profile and a message that can be signed honestly.
    """

    def __init__(
        self,
        message: bytes,
        key: PrivateKey,
        *,
        domain: DomainName,
        selector: Selector,
        profile: SigningProfile,
        auid: Auid | None = None,
    ) -> None:
        self.key = key
        self.profile = profile
        reader = MessageReader(max_header_octets=Limits().header_octets)
        body = reader.feed(message)
        request = SignatureRequest(
            domain=domain, selector=selector, algorithm=key.algorithm, profile=profile, auid=auid
        )
        signing = Signing(reader.finish(), [request], now=NOW)
        signing.feed(body)
        (task,) = signing.finish()
        self.field = task.complete(key.sign_digest(task.header_hash)).raw
        self.octets = self.field + b"\r\n" + message
        result = self.results(self.octets)[0]
        assert result.passed, result
        assert all(len(line) <= 998 for line in self.field.split(b"\r\n"))
        assert result.signature is not None
        self.signature = result.signature
        self.view = self.view_of(self.octets)

    def results(self, message: bytes) -> tuple[SignatureResult, ...]:
        record = found(self.key.record())
        policy = VerifyPolicy(allow_body_length=True, limits=Limits(signed_fields=1000))
        reader = MessageReader(max_header_octets=Limits().header_octets)
        body = reader.feed(message)
        verification = Verification(reader.finish(), now=NOW, policy=policy)
        for name in verification.queries:
            verification.answer(name, record)
        verification.feed(body)
        return tuple(verification.finish())

    def view_of(self, message: bytes) -> object:
        """What of a message this signature protects, by the naive model."""
        return models.signed_view(
            message,
            list(self.signature.signed_fields),
            relaxed_header=self.profile.header_canonicalization is Canonicalization.RELAXED,
            relaxed_body=self.profile.body_canonicalization is Canonicalization.RELAXED,
            length=self.signature.body_length,
        )


def a_changed_message_passes_only_if_canonicalization_hides_the_change(
    signed: SignedMessage, changed: bytes
) -> None:
    """Invariant 5: a pass means that the model sees no difference in what is signed."""
    results = signed.results(changed)
    passed = [result for result in results if result.passed]
    if passed:
        assert signed.view_of(changed) == signed.view
        (result,) = passed
        assert result.signature is not None
        assert result.signature.signature_data == signed.signature.signature_data
    elif signed.view_of(changed) == signed.view and results:
        # Not passing is right only where b= itself was changed, or the header is not clean.
        data = models.signature_data(changed)
        assert results[0].cause is Cause.MESSAGE_SYNTAX_ERROR or (
            _decoded(data or b"") != signed.signature.signature_data
        ), results


def _decoded(value: bytes) -> bytes | None:
    try:
        return binascii.a2b_base64(remove_white_space(value), strict_mode=True)
    except binascii.Error:
        return None
