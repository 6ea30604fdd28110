"""Where the time of one verification and of one signing goes.

No profiler, which would change what it looks at: the steps are run by hand as the blocking
front end runs them, with a look at the clock between them, in turn with
the whole.  Parts of a step are measured alone.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dkimcore
from benchmarks import messages
from benchmarks.contenders import KeyPair
from benchmarks.report import Section
from benchmarks.rounds import timed
from dkimcore.protocol.algorithm import HashAlgorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.hashing import BodyHash, header_hash, select_fields
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.message import Header, MessageReader
from dkimcore.protocol.sign import Signing
from dkimcore.protocol.signature import Signature
from dkimcore.protocol.taglist import without_value
from dkimcore.protocol.verify import Verification

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Step", "breakdown", "hot_spot", "steps"]

_MAX_HEADER = dkimcore.Limits().header_octets


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the table.

    Attributes:
        name: What is done.
        seconds: How long it takes; median.
        part: Whether it is a part of the step above it.
        crypto: Whether it is the cryptography itself, which nobody can avoid.
    """

    name: str
    seconds: float
    part: bool = False
    crypto: bool = False


def breakdown(cells: list[tuple[str, int, str]], count: int) -> Section:
    """Measures the steps.

    Args:
        cells: Operation, octets and body of each message.
        count: How many times.
    """
    section = Section(
        title="Where the time goes",
        note="RSA-2048, relaxed/relaxed, the whole message in memory. Parts (behind a dash) are "
        "measured alone and belong to the step above them. The last step is what the others leave "
        "of the whole.",
        columns=["", "step", "time", "of the whole"],
    )
    pair = KeyPair.make("rsa-sha256")
    for operation, octets, body in cells:
        found = steps(operation, messages.message(body, octets), pair, count)
        whole = found[0].seconds
        for step in found:
            section.rows.append(
                [
                    f"{operation} {octets} {body}" if step is found[0] else "",
                    ("- " if step.part else "") + step.name,
                    f"{step.seconds * 1e6:.1f} µs",
                    f"{step.seconds / whole:.0%}",
                ]
            )
            section.data.append(
                {
                    "operation": operation,
                    "octets": octets,
                    "body": body,
                    "step": step.name,
                    "part": step.part,
                    "seconds": step.seconds,
                }
            )
    return section


def hot_spot(
    operation: str, octets: bytes, pair: KeyPair, count: int, *, canonicalization: str
) -> str:
    """Names the steps, other than cryptography, that take the most time."""
    found = steps(operation, octets, pair, count, canonicalization=canonicalization)
    whole = found[0].seconds
    crypto = sum(step.seconds for step in found if step.crypto)
    # A step that contains the cryptography counts without it.
    own: dict[str, float] = {}
    last = ""
    for step in found[1:]:
        if not step.part:
            last = step.name
            own[last] = 0.0 if step.crypto else step.seconds
        elif step.crypto:
            own[last] -= step.seconds
    most = sorted(own.items(), key=lambda item: -item[1])[:3]
    named = ", ".join(f"{name} {seconds * 1e6:.0f} µs" for name, seconds in most)
    return f"{whole * 1e6:.0f} µs, of which cryptography {crypto * 1e6:.0f} µs, {named}"


def steps(
    operation: str,
    message: bytes,
    pair: KeyPair,
    count: int,
    *,
    canonicalization: str = "relaxed/relaxed",
) -> list[Step]:
    """Measures the steps of one operation; the first one is the whole."""
    if operation == "verify":
        return _verify_steps(pair.sign(message, canonicalization), pair, count)
    return _sign_steps(message, pair.signer(canonicalization), count)


def _verify_steps(message: bytes, pair: KeyPair, count: int) -> list[Step]:
    resolver, policy, now = pair.resolver, dkimcore.VerifyPolicy(), int(time.time())
    names = (
        "read the header",
        "parse the signature, select its fields",
        "ask the resolver",
        "parse the key, check the header hash",
        "hash the body",
        "give results",
    )

    def once() -> list[int]:
        clock = time.perf_counter_ns
        marks = [clock()]
        dkimcore.verify(message, resolver=resolver)
        marks.append(clock())
        reader = MessageReader(max_header_octets=_MAX_HEADER)
        rest = reader.feed(message)
        marks.append(clock())
        assert reader.header is not None
        verification = Verification(reader.header, now=now, policy=policy)
        marks.append(clock())
        answer = resolver.lookup_txt(verification.queries[0])
        marks.append(clock())
        verification.answer(verification.queries[0], answer)
        marks.append(clock())
        verification.feed(rest)
        marks.append(clock())
        assert verification.finish().passed
        marks.append(clock())
        return marks

    parts = _verify_parts(message, pair, count)
    return _compose(names, _medians(once, count), parts)


def _verify_parts(message: bytes, pair: KeyPair, count: int) -> dict[str, list[Step]]:
    """Measures the larger calls alone, by the step they belong to."""
    section, _, body = message.partition(b"\r\n\r\n")
    header = Header(section)
    value = header.canonical(Canonicalization.RELAXED)[0].partition(b":")[2]
    signature = Signature.parse(value)
    names = signature.signed_fields
    positions = select_fields(header, names, own_position=0)
    key = KeyRecord.parse(pair.record).public_key
    assert key is not None

    def hash_header() -> bytes:
        own = header.canonical(signature.header_canonicalization)[0].partition(b":")
        return header_hash(
            header,
            positions,
            own[0] + own[1] + without_value(own[2], b"b"),
            canonicalization=signature.header_canonicalization,
            hash_algorithm=signature.algorithm.hash_algorithm,
        )

    digest = hash_header()

    def part(name: str, function: Callable[[], object], *, crypto: bool = False) -> Step:
        return Step(name=name, seconds=_alone(function, count), part=True, crypto=crypto)

    return {
        "parse the signature, select its fields": [
            part("Signature.parse", lambda: Signature.parse(value)),
            part("select_fields", lambda: select_fields(header, names, own_position=0)),
        ],
        "parse the key, check the header hash": [
            part("KeyRecord.parse", lambda: KeyRecord.parse(pair.record)),
            part("header_hash", hash_header),
            part(
                "RSA verify",
                lambda: key.verifies(signature.signature_data, digest, signature.algorithm),
                crypto=True,
            ),
        ],
        "hash the body": _body_parts(body, signature.body_canonicalization, count),
    }


def _sign_steps(message: bytes, signer: dkimcore.Signer, count: int) -> list[Step]:
    now = int(time.time())
    names = (
        "read the header",
        "begin",
        "check line ends, hash the body",
        "choose fields, print the signature, hash the header",
        "RSA sign",
        "complete",
    )

    def once() -> list[int]:
        clock = time.perf_counter_ns
        marks = [clock()]
        dkimcore.sign(message, [signer])
        marks.append(clock())
        reader = MessageReader(max_header_octets=_MAX_HEADER)
        rest = reader.feed(message)
        marks.append(clock())
        assert reader.header is not None
        signing = Signing(reader.header, [signer.request()], now=now)
        marks.append(clock())
        signing.feed(rest)
        marks.append(clock())
        (task,) = signing.finish()
        marks.append(clock())
        signature_data = signer.key.sign_digest(task.header_hash)
        marks.append(clock())
        task.complete(signature_data)
        marks.append(clock())
        return marks

    body = message.partition(b"\r\n\r\n")[2]
    canonicalization = signer.profile.body_canonicalization
    parts = {"check line ends, hash the body": _body_parts(body, canonicalization, count)}
    return _compose(names, _medians(once, count), parts)


def _body_parts(body: bytes, canonicalization: Canonicalization, count: int) -> list[Step]:
    def hash_body() -> bytes:
        body_hash = BodyHash(canonicalization, HashAlgorithm.SHA256)
        body_hash.feed(body)
        return body_hash.finish()

    sha256 = _alone(lambda: hashlib.sha256(body).digest(), count)
    both = _alone(hash_body, count)
    return [
        Step(
            name=f"{canonicalization} canonicalization", seconds=max(both - sha256, 0.0), part=True
        ),
        Step(name="SHA-256", seconds=sha256, part=True, crypto=True),
    ]


def _compose(
    names: tuple[str, ...], medians: list[float], parts: dict[str, list[Step]]
) -> list[Step]:
    whole, *seconds = medians
    found = [Step(name="whole", seconds=whole)]
    for name, figure in zip(names, seconds, strict=True):
        found.append(Step(name=name, seconds=figure, crypto=name.startswith("RSA")))
        found += parts.get(name, [])
    rest = max(whole - sum(seconds), 0.0)
    found.append(Step(name="front end: chunks, clock, deadline", seconds=rest))
    return found


def _medians(once: Callable[[], list[int]], count: int) -> list[float]:
    """Runs the whole and its steps so many times; returns the median of each, in seconds."""
    for _ in range(20):
        once()
    runs = [once() for _ in range(count)]
    return [
        statistics.median(run[step + 1] - run[step] for run in runs) / 1e9
        for step in range(len(runs[0]) - 1)
    ]


def _alone(function: Callable[[], object], count: int) -> float:
    """The median of turns so short that most are undisturbed."""
    run = timed(function)
    run(5)
    return statistics.median(run(5) / 5 for _ in range(max(20, count // 5)))
