"""Writes the seeds that each fuzz target starts from: ``python -m tests.fuzz.seeds``.

A target reads its first octets as choices (see its ``check``), so a seed is these, and
then a well-formed thing for the fuzzer to break. The files are kept with the targets.
"""

from __future__ import annotations

import hashlib

from tests.fuzz.driver import FOLDER
from tests.milter.talks import TALKS
from tests.protocol import material

__all__ = ["SEEDS", "main"]

SIGNATURES = (
    b" v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=s1; q=dns/txt;\r\n"
    b"\tt=1600000000; x=1800000000; l=3; i=a=40b@mail.example.com; z=From:a|To:b;\r\n"
    b"\th=From : To:Subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA BBBB",
    "v=1;a=ed25519-sha256;d=bücher.example;s=s1;h=from;i=ü@bücher.example;"
    "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;b=AA==".encode(),
    b"v=1; a=rsa-sha1; d=example.com; s=s1; h=from; bh=uoq1oCgLlTqpdDX/iUbLy7J1Wic=; b=AA==",
)
RECORDS = (
    b"v=DKIM1; h=sha1 : sha256; k=rsa; n=a=3Bb; s=email : other; t=y:s; p="
    + material.rsa(1024).record().partition(b"p=")[2],
    material.ed25519().record(),
    b"p=",
)
RESULTS = (
    b' mx.example.net 1; dkim=pass (2048-bit key) reason="good" header.d=example.com',
    b'\r\n\t(a(b)\\)) "MX.example.net." (c); none',
)
DOMAINS = ("example.com", "bücher.example", "xn--bcher-kva.example", "a@mail.example.com")
BODIES = (b"a \t b \r\n\r\n \t\r\n", b"\r\n\r\n", b" ", b"a\r\r\n\n", b"", b"x\r\n" * 9)
HEADERS = (b"A: x\r\nB :\ty\r\n\tz  \r\n", b" fold\r\nno colon\r\nFrom:\r\n \r\n x")


def _verify() -> list[bytes]:
    return [
        b"\x00\x01\x00\x00" + RECORDS[0] + b"\n\n" + RECORDS[1] + b"\n\n\n"
        b"DKIM-Signature:" + value + b"\r\n" + material.MESSAGE
        for value in SIGNATURES
    ] + [bytes([2, 0, 9, 0, 40, 1, 0, choice, *range(choice, choice + 120)]) for choice in (1, 70)]


def _parsers() -> list[bytes]:
    things = (
        SIGNATURES,
        SIGNATURES,
        RECORDS,
        RESULTS,
        [name.encode() for name in DOMAINS],
        (b"a=20b", b"caf\xc3\xa9=3D"),
    )
    return [bytes([kind, 0]) + text for kind, texts in enumerate(things) for text in texts]


def _sign_verify() -> list[bytes]:
    return [
        b"".join(hashlib.sha256(bytes([seed, part])).digest() for part in range(12))
        for seed in range(8)
    ]


def _session() -> list[bytes]:
    """Whole messages, as `tests.fuzz.fuzz_session` reads steps, on each site."""
    signed, plain, broken = (bytes([3, 0, 4, 0, 5, header, 11, 12, 0]) for header in (1, 0, 2))
    return [
        bytes([site, peer]) + plain + signed + broken + signed
        for site, peer in ((0, 0), (0, 1), (1, 1), (5, 1), (6, 1), (7, 0), (7, 1))
    ]


def _speedups() -> list[bytes]:
    """Octets as they are, and choices of `tests.speedups.same.hostile`."""
    plain = [b"\x00\x00" + octets for octets in (*BODIES, *HEADERS)]
    return plain + [b"\x02\x00\x40\x00\x41\x01\x0c" + bytes(range(n, n + 24)) for n in range(8)]


def _conversation() -> list[bytes]:
    """Connections to spoil, and some as octets; see `tests.fuzz.fuzz_conversation`."""
    chosen = [
        bytes([site, 0, talk, change, *range(talk, talk + 60)])
        for site, talk, change in ((0, 0, 1), (1, 3, 2), (5, 2, 4), (6, 9, 6), (7, 12, 8))
    ]
    return chosen + [b"\x00\x03\x3f" + b"".join(talk) for talk in (TALKS[0], TALKS[12])]


SEEDS = {
    "conversation": _conversation,
    "session": _session,
    "verify": _verify,
    "parsers": _parsers,
    "canonical": lambda: [b"\x00\x00" + octets for octets in (*BODIES, *HEADERS)],
    "sign_verify": _sign_verify,
    "speedups": _speedups,
}


def main() -> None:
    """Write each target's seeds to its folder, under names that tell their content."""
    for target, make in SEEDS.items():
        folder = FOLDER / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for seed in make():
            (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


if __name__ == "__main__":
    main()
