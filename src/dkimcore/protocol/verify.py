"""The verifier as a state machine (RFC 6376 section 6).

`Verification` states its key queries and accepts answers; it asks nobody.  A
front end is a loop that carries questions out and answers in, and feeds the
body.  Whatever the message or an answer holds, nothing raises: each signature
ends in a `SignatureResult`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import StateError
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.candidate import Candidate
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.hashing import BodyHash, header_hash, select_fields
from dkimcore.protocol.keyrecord import KeyRecord, TxtStatus
from dkimcore.protocol.policy import VerifyPolicy
from dkimcore.protocol.result import Cause, Unusable, Usage, VerifyResults
from dkimcore.protocol.signature import Signature
from dkimcore.protocol.taglist import without_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.protocol.crypto import PublicKey
    from dkimcore.protocol.keyrecord import TxtAnswer
    from dkimcore.protocol.message import Header

__all__ = ["Verification"]

# A UDP or TCP DNS message holds no more than this (RFC 1035 section 4.2.2).
_MAX_ANSWER_OCTETS = 65_535

# Fields of which people see one instance; others in the message may deceive (section 8.15).
_SEEN = (b"from", b"subject", b"date", b"to", b"cc", b"reply-to", b"content-type")


class Verification:
    """Verifies all signatures of one message.

    Call `answer` for each name in `queries`, in any order and also between chunks of the
    body; `feed` the body while `wants_body`; then `finish`, once.

    Args:
        header: The message's header.
        now: The time of reception, in seconds since 1970.
        policy: Which signatures to accept.
        header_too_large: Whether the header section was cut off at the limit.
        positions: Which DKIM-Signature fields to evaluate, counted from 0 at the top, in this
            order; None means the first `Limits.signatures`.  IndexError if one is not there.
    """

    __slots__ = (
        "_body_hashes",
        "_body_octets",
        "_candidates",
        "_evaluated",
        "_finished",
        "_found",
        "_header",
        "_limits_exceeded",
        "_now",
        "_policy",
        "_wanted",
        "queries",
    )

    queries: tuple[str, ...]
    """The distinct names at which TXT records are needed, absolute, in order of signatures."""

    def __init__(
        self,
        header: Header,
        *,
        now: int,
        policy: VerifyPolicy | None = None,
        header_too_large: bool = False,
        positions: Sequence[int] | None = None,
    ) -> None:
        self._header = header
        self._now = now
        self._policy = VerifyPolicy() if policy is None else policy
        self._body_hashes: dict[tuple[object, object, int | None], BodyHash] = {}
        self._body_octets = 0
        self._finished = False
        self._limits_exceeded: dict[str, None] = {}
        fields = header.positions(b"dkim-signature")
        self._found = len(fields)
        # Counted before any work is done, so that many signatures cost no more than few.
        limit = self._policy.limits.signatures
        chosen = range(min(limit, len(fields))) if positions is None else positions
        self._evaluated = len(chosen)
        self._candidates = [
            Candidate(position=position, field_position=fields[position]) for position in chosen
        ]
        if header_too_large:
            self._candidates = [Candidate(position=0, field_position=0)]
            detail = f"the header section has over {self._policy.limits.header_octets} octets"
            self._exceed("header_octets", self._candidates[0], detail)
        elif self._candidates:
            self._parse_signatures()
        if positions is None and len(fields) > limit and not header_too_large:
            rest = Candidate(position=limit, field_position=fields[limit])
            self._exceed(
                "signatures",
                rest,
                f"this and all further signatures were not evaluated: {len(fields)} in the "
                f"message, {limit} allowed",
            )
            self._candidates.append(rest)
        self.queries = self._state_queries()
        self._wanted = self._wanted_body_hashes()

    def _exceed(self, limit: str, candidate: Candidate, detail: str) -> None:
        self._limits_exceeded[limit] = None
        candidate.conclude(Cause.LIMIT_EXCEEDED, detail)

    def _state_queries(self) -> tuple[str, ...]:
        limit = self._policy.limits.queries
        queries: dict[str, None] = {}
        for candidate in self._candidates:
            if candidate.cause is not None or candidate.signature is None:
                continue
            candidate.key_query = candidate.signature.key_query
            if candidate.key_query not in queries and len(queries) == limit:
                self._exceed("queries", candidate, f"over {limit} key queries")
                continue
            queries[candidate.key_query] = None
            candidate.body_hash = self._shared_body_hash(candidate.signature)
        return tuple(queries)

    def _parse_signatures(self) -> None:
        malformed = self._header.has_bare_cr_or_lf
        for candidate in self._candidates:
            if malformed:
                candidate.conclude(
                    Cause.MESSAGE_SYNTAX_ERROR, "the header section holds a bare CR or LF"
                )
                continue
            field = self._header.canonical(Canonicalization.RELAXED)[candidate.field_position]
            limit = self._policy.limits.signature_octets
            if len(field) > limit:
                self._exceed("signature_octets", candidate, f"the field has over {limit} octets")
                continue
            try:
                candidate.signature = Signature.parse(field.partition(b":")[2])
            except Unusable as unusable:
                candidate.conclude(unusable.cause, unusable.detail)
                continue
            self._judge(candidate, candidate.signature)

    def _judge(self, candidate: Candidate, signature: Signature) -> None:
        if len(signature.signed_fields) > self._policy.limits.signed_fields:
            limit = self._policy.limits.signed_fields
            self._exceed("signed_fields", candidate, f"h= has over {limit} names")
            return
        names = signature.signed_fields
        header = self._header
        candidate.positions = select_fields(header, names, own_position=candidate.field_position)
        several = [name for name in _SEEN if len(header.index.get(name, ())) > 1]
        candidate.unsigned_fields = tuple(
            name.decode("ascii")
            for name in several
            if len(header.positions(name)) > names.count(name)
        )
        refusal = self._refusal(signature)
        if refusal is not None:
            candidate.conclude(*refusal)

    def _refusal(self, signature: Signature) -> tuple[Cause, str] | None:
        policy = self._policy
        if signature.algorithm.is_historic and not policy.allow_historic:
            return Cause.HISTORIC_ALGORITHM, f"{signature.algorithm} is not verified (RFC 8301)"
        expiration, timestamp = signature.expiration, signature.timestamp
        skew = policy.clock_skew
        if not policy.allow_expired and expiration is not None and expiration + skew < self._now:
            return Cause.SIGNATURE_EXPIRED, f"x= is {self._now - expiration} seconds ago"
        if not policy.allow_future and timestamp is not None and timestamp > self._now + skew:
            return Cause.SIGNATURE_IN_FUTURE, f"t= is {timestamp - self._now} seconds ahead"
        if signature.body_length is not None and not policy.allow_body_length:
            return Cause.UNSIGNED_CONTENT, "l= leaves what follows in the body unsigned"
        for required in sorted(policy.must_be_signed):
            name = required.encode()
            if len(self._header.positions(name)) > signature.signed_fields.count(name):
                return Cause.UNACCEPTABLE_SIGNATURE, f"a {required} field is not signed"
        return None

    def answer(self, name: str, answer: TxtAnswer) -> None:
        """Take the answer to a key query (RFC 6376 section 6.1.2).

        The header hash is checked at once: a signature that fails here needs no body.

        Args:
            name: One of `queries`; others are ignored.
            answer: What the resolver said.
        """
        for candidate in self._candidates:
            signature = candidate.signature
            if candidate.cause is not None or candidate.answered or signature is None:
                continue
            if candidate.key_query == name:
                candidate.answered = True
                candidate.authentic = answer.authentic
                self._try_records(candidate, signature, answer)
        self._wanted = self._wanted_body_hashes()

    def _try_records(self, candidate: Candidate, signature: Signature, answer: TxtAnswer) -> None:
        if answer.status is TxtStatus.FAILED:
            candidate.conclude(Cause.KEY_UNAVAILABLE, answer.detail or "the key query failed")
            return
        if answer.status is TxtStatus.NO_RECORD or not answer.records:
            candidate.conclude(Cause.NO_KEY, f"no TXT record at {candidate.key_query}")
            return
        try:
            records = self._parse_records(answer)
        except Unusable as unusable:
            candidate.conclude(unusable.cause, unusable.detail)
            return
        own_hash: bytes | None = None
        for number, record in enumerate(records):
            refusal = record.refusal(signature) or self._key_refusal(record.public_key)
            if refusal is None and record.public_key is not None:
                if own_hash is None:
                    own_hash = self._header_hash(candidate, signature)
                algorithm = signature.algorithm
                if record.public_key.verifies(signature.signature_data, own_hash, algorithm):
                    candidate.key_record = record
                    candidate.cause, candidate.detail = None, ""
                    return
                refusal = Cause.SIGNATURE, "the signature does not fit the header and the key"
            # Of several records the first one's verdict stands, unless a later one verifies.
            if number == 0 and refusal is not None:
                candidate.key_record = record
                candidate.conclude(*refusal)

    def _parse_records(self, answer: TxtAnswer) -> list[KeyRecord]:
        """Parse the key records among an answer's TXT records; what is none is passed over."""
        if sum(map(len, answer.records)) > _MAX_ANSWER_OCTETS:
            raise Unusable(Cause.LIMIT_EXCEEDED, "the answer is larger than a DNS message")
        records = []
        first_problem: Unusable | None = None
        for octets in answer.records:
            try:
                records.append(KeyRecord.parse(octets))
            except Unusable as unusable:
                first_problem = first_problem or unusable
        if len(records) > self._policy.limits.key_records:
            self._limits_exceeded["key_records"] = None
            raise Unusable(Cause.KEY_SYNTAX_ERROR, f"{len(records)} key records at one name")
        if not records and first_problem is not None:
            raise first_problem
        return records

    def _key_refusal(self, public_key: PublicKey | None) -> tuple[Cause, str] | None:
        if public_key is None or public_key.key_type is not KeyType.RSA:
            return None
        if public_key.bits < self._policy.min_rsa_bits:
            return (
                Cause.KEY_TOO_SHORT,
                f"the key has {public_key.bits} bits, at least {self._policy.min_rsa_bits} needed",
            )
        if public_key.bits > self._policy.max_rsa_bits:
            return (
                Cause.KEY_UNACCEPTABLE,
                f"the key has {public_key.bits} bits, at most {self._policy.max_rsa_bits} allowed",
            )
        return None

    def _header_hash(self, candidate: Candidate, signature: Signature) -> bytes:
        canonicalization = signature.header_canonicalization
        own_field = self._header.canonical(canonicalization)[candidate.field_position]
        name, colon, value = own_field.partition(b":")
        return header_hash(
            self._header,
            candidate.positions or (),
            name + colon + without_value(value, b"b"),
            canonicalization=canonicalization,
            hash_algorithm=signature.algorithm.hash_algorithm,
        )

    def _shared_body_hash(self, signature: Signature) -> BodyHash:
        """One body hash for all signatures that need the same one (section 3.7)."""
        lane = (
            signature.body_canonicalization,
            signature.algorithm.hash_algorithm,
            signature.body_length,
        )
        body_hash = self._body_hashes.get(lane)
        if body_hash is None:
            body_hash = self._body_hashes[lane] = BodyHash(*lane)
        return body_hash

    @property
    def _body_too_large(self) -> bool:
        limit = self._policy.limits.body_octets
        return limit is not None and self._body_octets > limit

    def _wanted_body_hashes(self) -> list[BodyHash]:
        wanted: list[BodyHash] = []
        if self._body_too_large:
            return wanted
        for candidate in self._candidates:
            body_hash = candidate.body_hash
            if candidate.cause is None and body_hash is not None and body_hash not in wanted:
                wanted.append(body_hash)
        return wanted

    @property
    def wants_body(self) -> bool:
        """Whether any signature still depends on the body; False lets a milter skip it."""
        return bool(self._wanted)

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body, in wire form (RFC 6376 section 5.3).

        Raises:
            StateError: `finish` was called before.
        """
        if self._finished:
            raise StateError("feed() after finish()")
        self._body_octets += len(chunk)
        if self._body_too_large:
            self._wanted = []
        for body_hash in self._wanted:
            body_hash.feed(chunk)

    def finish(self) -> VerifyResults:
        """End the body and conclude each signature.

        Returns:
            One result per evaluated signature, from the top; empty when there is none.

        Raises:
            StateError: `finish` was called before.
        """
        if self._finished:
            raise StateError("finish() was called twice")
        self._finished = True
        digests = {id(body_hash): body_hash.finish() for body_hash in self._wanted}
        for candidate in self._candidates:
            body_hash, signature = candidate.body_hash, candidate.signature
            if candidate.cause is not None or body_hash is None or signature is None:
                continue
            length = signature.body_length
            if id(body_hash) in digests:
                candidate.body_octets = body_hash.total
            if not candidate.answered:
                candidate.conclude(Cause.KEY_UNAVAILABLE, "the key query was not answered")
            elif self._body_too_large:
                detail = f"the body has over {self._policy.limits.body_octets} octets"
                self._exceed("body_octets", candidate, detail)
            elif length is not None and length > body_hash.total:
                detail = f"l={length}, but the body has {body_hash.total} octets"
                candidate.conclude(Cause.BODY_TOO_SHORT, detail)
            elif digests[id(body_hash)] != signature.body_hash:
                candidate.conclude(Cause.BODY_HASH, "the body was changed or bh= is not its hash")
        usage = Usage(
            signatures=self._found,
            evaluated=self._evaluated,
            queries=len(self.queries),
            body_octets=self._body_octets,
            body_hashes=len(digests),
            limits=tuple(self._limits_exceeded),
        )
        candidates = sorted(self._candidates, key=lambda candidate: candidate.position)
        return VerifyResults((candidate.result() for candidate in candidates), usage=usage)
