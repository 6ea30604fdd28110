"""Body canonicalization alone, against SHA-256 over the same octets; and hostile bodies.

The body comes in chunks as the front ends give them out.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from benchmarks import messages
from benchmarks.report import Section, Target
from benchmarks.rounds import Spread, duration, measure, ratio, timed
from dkimcore.protocol.algorithm import HashAlgorithm
from dkimcore.protocol.canonical import BodyCanonicalizer, Canonicalization
from dkimcore.protocol.hashing import BodyHash
from dkimcore.protocol.speedups import in_use
from dkimcore.source import CHUNK

if TYPE_CHECKING:
    from benchmarks.rounds import Plan, Timed

__all__ = ["hostile", "relaxed"]

_GOALS = {"base64": 3, "text": 5, "html": 15, "double-spaced": 15}
_COLUMNS = (
    "body",
    "size",
    "SHA-256",
    "canonicalization",
    "body hash, relaxed",
    "body hash, simple",
)
_SIZES = {"10 kB": 10_000, "1 MB": 1_000_000}

# Ten times the octets in no more than this many times the time per octet.  A large body in
# one chunk leaves the processor's caches and gets fresh pages from the kernel at each step,
# which costs up to twice; quadratic work would show as 10.
_LINEAR = 3.0


def relaxed(plan: Plan) -> Section:
    """Measures the relaxed body canonicalization on ordinary bodies."""
    section = Section(
        title="Relaxed body canonicalization",
        note="How many times as long as SHA-256 over the same octets takes: canonicalization "
        "alone, in C where the accelerator is in use, and the body hash, SHA-256 itself included. "
        "Median (least..greatest) of all rounds.",
        columns=_COLUMNS,
    )
    for body in _GOALS:
        for size, octets in _SIZES.items():
            _relaxed_row(section, body, size, messages.body(body, octets), plan)
    return section


def _relaxed_row(section: Section, body: str, size: str, octets: bytes, plan: Plan) -> None:
    chunks = _chunks(octets, CHUNK)
    names = ["canonicalize", "relaxed", "simple"]
    seconds = measure(
        {
            "sha256": timed(lambda: _sha256(chunks)),
            "canonicalize": timed(lambda: _canonicalize(chunks)),
            "relaxed": timed(lambda: _hash(chunks, Canonicalization.RELAXED)),
            "simple": timed(lambda: _hash(chunks, Canonicalization.SIMPLE)),
        },
        plan,
    )
    ratios = {name: ratio(seconds[name], seconds["sha256"]) for name in names}
    sha256 = Spread.of(seconds["sha256"]).median
    section.rows.append([body, size, duration(sha256), *map(str, ratios.values())])
    figures = {name: asdict(spread) for name, spread in ratios.items()}
    section.data.append({"body": body, "size": size, "sha256_seconds": sha256, **figures})
    for name, what in (("canonicalize", "canonicalization"), ("relaxed", "body hash with SHA-256")):
        reached = ratios[name].median <= _GOALS[body]
        section.targets.append(
            Target(
                name=f"relaxed {what}, {size} of {body}",
                goal=f"at most {_GOALS[body]} times SHA-256",
                figure=str(ratios[name]),
                reached=reached,
                hot_spot="" if reached else f"canonicalization, in {in_use()}",
            )
        )


def hostile(plan: Plan, octets: int) -> Section:
    """Measures bodies made to be slow, at two sizes.

    Args:
        plan: How long to measure.
        octets: The larger size; the smaller one is a tenth.
    """
    large, small = _size(octets), _size(octets // 10)
    section = Section(
        title="Hostile bodies",
        note=f"The body hash over a body that repeats one thing, in chunks of {CHUNK} octets and "
        f"as a single chunk. Growth: time per octet at {large} over time per octet at {small}; "
        "1 is linear, 10 would be quadratic. Against SHA-256 over the same octets at the larger "
        "size.",
        columns=["body", "c=", "chunks", f"{small}", f"{large}", "growth", "times SHA-256"],
    )
    for name, repeated in messages.HOSTILE.items():
        for canonicalization in Canonicalization:
            for chunk in (CHUNK, octets):
                _hostile_row(section, name, repeated, canonicalization, chunk, octets, plan)
    data = max(section.data, key=lambda row: float(str(row["growth"])))
    growth = float(str(data["growth"]))
    section.targets.append(
        Target(
            name=f"hostile bodies, the greatest growth of {len(section.rows)}",
            goal=f"linear: at most {_LINEAR:g} times the time per octet for 10 times the octets",
            figure=f"{growth:.2f}: {data['body']}, {data['canonicalization']}",
            reached=growth <= _LINEAR,
        )
    )
    return section


def _hostile_row(
    section: Section,
    name: str,
    repeated: bytes,
    canonicalization: Canonicalization,
    chunk: int,
    octets: int,
    plan: Plan,
) -> None:
    body = repeated * (octets // len(repeated))
    small, large = _chunks(body[: octets // 10], chunk), _chunks(body, chunk)

    def contender(chunks: list[bytes]) -> Timed:
        return timed(lambda: _hash(chunks, canonicalization))

    seconds = measure(
        {
            "small": contender(small),
            "large": contender(large),
            "sha256": timed(lambda: _sha256(large)),
        },
        plan,
    )
    # The least of each: noise only ever adds, and two sizes are compared, not two programs.
    least = {name: min(figures) for name, figures in seconds.items()}
    growth = least["large"] / least["small"] / 10
    section.rows.append(
        [
            name,
            str(canonicalization),
            "one" if chunk == octets else str(len(large)),
            duration(least["small"]),
            duration(least["large"]),
            f"{growth:.2f}",
            f"{least['large'] / least['sha256']:.1f}",
        ]
    )
    section.data.append(
        {
            "body": name,
            "canonicalization": str(canonicalization),
            "chunk": chunk,
            "octets": octets,
            "seconds": least,
            "growth": growth,
        }
    )


def _chunks(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


def _sha256(chunks: list[bytes]) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def _canonicalize(chunks: list[bytes]) -> None:
    canonicalizer = BodyCanonicalizer(Canonicalization.RELAXED, len)
    for chunk in chunks:
        canonicalizer.feed(chunk)
    canonicalizer.finish()


def _hash(chunks: list[bytes], canonicalization: Canonicalization) -> bytes:
    body_hash = BodyHash(canonicalization, HashAlgorithm.SHA256)
    for chunk in chunks:
        body_hash.feed(chunk)
    return body_hash.finish()


def _size(octets: int) -> str:
    return f"{octets / 1e6:g} MB"
