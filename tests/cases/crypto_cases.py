"""Statements 71 to 83: signatures and their keys (RFC 8017, 8032, 8301, 8463)."""

import base64
import hashlib
from collections.abc import Callable, Iterator

from . import keys
from .build import one, raw
from .keys import SHA1_INFO, SHA256_INFO, RsaKey, rsa
from .model import BAD, FAIL, FAIL_OR_PERM, PASS, PERM, Case, at, choice
from .signing import MESSAGE, How, signed, tags

_ED = tags(a=b"ed25519-sha256", s=b"ed")


def cases() -> Iterator[Case]:
    """Every cryptographic case."""
    yield from _blocks()
    yield from _integers()
    yield from _sha1()
    yield from _sizes()
    yield from _exponents()
    yield from _two_algorithms()


def _octets(number: int) -> bytes:
    return number.to_bytes(256, "big")


def _padded(make: Callable[[bytes], bytes], key: RsaKey | None = None) -> Callable[[bytes], bytes]:
    """Sign whatever block `make` builds from the header hash."""
    used = key or rsa()
    return lambda data: _octets(
        used.power(int.from_bytes(make(hashlib.sha256(data).digest()), "big"))
    )


def _blocks() -> Iterator[Case]:
    info = SHA256_INFO
    full = b"\x00\x01" + b"\xff" * 202 + b"\x00"
    blocks: dict[str, Callable[[bytes], bytes]] = {
        "no-digest-info": lambda h: b"\x00\x01" + b"\xff" * 221 + b"\x00" + h,
        "sha1-info": lambda h: b"\x00\x01" + b"\xff" * 206 + b"\x00" + SHA1_INFO + h,
        "sha512-info": lambda h: full + bytes.fromhex("3031300d060960864801650304020305000420") + h,
        "hash-of-hash": lambda h: full + info + hashlib.sha256(h).digest(),
        "other-hash": lambda h: full + info + hashlib.sha256(b"other").digest(),
        "short-padding": lambda h: b"\x00\x01" + b"\xff" * 8 + b"\x00" + info + h + bytes(194),
        "garbage-behind": lambda h: b"\x00\x01" + b"\xff" * 8 + b"\x00" + info + h + b"\x5a" * 194,
        "block-type-2": lambda h: b"\x00\x02" + b"\xff" * 202 + b"\x00" + info + h,
        "block-type-0": lambda h: b"\x00\x00" + b"\x00" * 202 + b"\x00" + info + h,
        "padding-not-ff": lambda h: b"\x00\x01" + b"\xfe" * 202 + b"\x00" + info + h,
        "no-separator": lambda h: b"\x00\x01" + b"\xff" * 203 + info + h,
        "long-length": lambda h: b"\x00\x01" + b"\xff" * 201 + b"\x00" + b"\x30\x81" + info[1:] + h,
        "hex-hash": lambda h: (
            b"\x00\x01" + b"\xff" * 170 + b"\x00" + info[:-1] + b"\x40" + h.hex().encode()
        ),
    }
    for label, make in blocks.items():
        yield one(f"rsa-block-{label}", 72, FAIL, "the whole block counts", sign=_padded(make))
    absent = bytes.fromhex("302f300b0609608648016503040201")
    yield one(
        "rsa-block-no-null",
        72,
        choice("fail"),
        "RFC 8017 section 9.2 note 2 lets a verifier take absent parameters",
        sign=_padded(lambda h: b"\x00\x01" + b"\xff" * 204 + b"\x00" + absent + b"\x04\x20" + h),
    )
    yield one("rsa-plain", 71, PASS, "RSASSA-PKCS1-v1_5 over SHA-256")
    yield one("rsa-wrong-key", 83, FAIL, "another key", sign=rsa("b").sign)
    yield one("rsa-e3", 72, PASS, "e = 3", tags(s=b"rsae3"), sign=rsa("e3").sign)
    yield one(
        "rsa-e3-forged",
        72,
        FAIL,
        "Bleichenbacher: a cube root with garbage behind the hash",
        tags(s=b"rsae3"),
        sign=_cube_root_forgery,
    )


def _cube_root_forgery(data: bytes) -> bytes:
    start = b"\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\x00" + SHA256_INFO
    start += hashlib.sha256(data).digest()
    top = int.from_bytes(start + b"\xff" * (256 - len(start)), "big")
    root = 1 << ((top.bit_length() + 2) // 3)
    while (better := (2 * root + top // root**2) // 3) < root:
        root = better
    assert _octets(root**3).startswith(start)
    return _octets(root)


def _short_signature(value: bytes) -> Callable[[bytes], bytes]:
    """Never called with `value` unless its signature begins with a zero octet."""
    return lambda data: rsa().sign(data).lstrip(b"\x00")


def _integers() -> Iterator[Case]:
    n = rsa().n
    values: dict[str, Callable[[bytes], bytes]] = {
        "plus-n": lambda d: (int.from_bytes(rsa().sign(d), "big") + n).to_bytes(257, "big"),
        "leading-zero": lambda d: b"\x00" + rsa().sign(d),
        "leading-zeros": lambda d: bytes(64) + rsa().sign(d),
        "trailing-zero": lambda d: rsa().sign(d) + b"\x00",
        "zero": lambda _: bytes(256),
        "one": lambda _: _octets(1),
        "n-minus-1": lambda _: _octets(n - 1),
        "n": lambda _: _octets(n),
        "ones": lambda _: b"\xff" * 256,
        "negated": lambda d: _octets(n - int.from_bytes(rsa().sign(d), "big")),
        "reversed": lambda d: rsa().sign(d)[::-1],
        "one-octet": lambda _: b"\x01",
        "64-octets": lambda _: bytes(64),
    }
    for label, make in values.items():
        yield one(
            f"rsa-number-{label}", 72, FAIL_OR_PERM, "length is the modulus's, s < n", sign=make
        )
    # A signature that begins with a zero octet, and the same without it.
    stamp = _zero_led_stamp()
    yield one("rsa-zero-led", 72, PASS, "a leading zero octet belongs to it", tags(extra=stamp))
    yield one(
        "rsa-zero-led-cut",
        72,
        FAIL_OR_PERM,
        "one octet too short",
        tags(extra=stamp),
        sign=_short_signature(stamp),
    )


# Found by counting n= upwards until the signature began with a zero octet.
_ZERO_LED = 119


def _zero_led_stamp() -> bytes:
    return b"n=%d" % _ZERO_LED


def _sha1() -> Iterator[Case]:
    def sign(key: RsaKey) -> Callable[[bytes], bytes]:
        return lambda data: key.sign(data, SHA1_INFO, "sha1")

    for way in (b"simple", b"relaxed"):
        yield one(
            f"rsa-sha1-{way.decode()}",
            73,
            PERM,
            "rsa-sha1 MUST NOT verify",
            tags(a=b"rsa-sha1", c=way),
            digest="sha1",
            sign=sign(rsa()),
        )
    yield one(
        "rsa-sha1-key-h",
        73,
        PERM,
        "the record does not matter",
        tags(a=b"rsa-sha1"),
        digest="sha1",
        sign=sign(rsa()),
        dns=at("rsa", rsa().record() + b"; h=sha1"),
    )
    yield one("rsa-sha1-sha256-inside", 73, PERM, "a= alone makes it historic", tags(a=b"rsa-sha1"))
    yield one(
        "rsa-sha256-sha1-inside",
        73,
        FAIL,
        "the hash is the one that a= names",
        digest="sha256",
        sign=sign(rsa()),
    )
    yield one("rsa-sha256-sha1-body", 24, FAIL_OR_PERM, "a bh= of 20 octets", digest="sha1")


def _sizes() -> Iterator[Case]:
    for name in ("512", "768", "1023"):
        yield one(
            f"rsa-bits-{name}",
            74,
            PERM,
            "below 1024 bits is never valid",
            tags(s=b"rsa" + name.encode()),
            sign=lambda data, name=name: rsa(name).sign(data),
        )
    for name in ("1024", "1025", "1536", "2047", "3072", "4096"):
        yield one(
            f"rsa-bits-{name}",
            75,
            PASS,
            "1024 to 4096 bits",
            tags(s=b"rsa" + name.encode()),
            sign=lambda data, name=name: rsa(name).sign(data),
        )
    for name, word in (
        ("8192", "pass"),
        ("8208", "permerror policy"),
        ("16384", "permerror policy"),
    ):
        yield one(
            f"rsa-bits-{name}",
            75,
            choice(word),
            "above 4096 bits: MAY",
            tags(s=b"rsa" + name.encode()),
            sign=lambda data, name=name: rsa(name).sign(data),
            dns={f"rsa{name}._domainkey.example.com.": (rsa(name).record(),)},
        )


def _exponents() -> Iterator[Case]:
    n = rsa().n
    one_key = RsaKey(n=n, e=1)

    def forge(data: bytes) -> bytes:
        return _octets(one_key.block(SHA256_INFO + hashlib.sha256(data).digest()))

    yield one(
        "rsa-exponent-1",
        77,
        choice("permerror policy fail"),
        "with e = 1 anybody signs",
        sign=forge,
        dns=at("rsa", one_key.record()),
    )
    wide = 2**64 + 13
    for label, exponent in {
        "0": 0,
        "2": 2,
        "65536": 65536,
        "even-large": 2**31,
        "wide": wide,
        "n-minus-2": n - 2,
    }.items():
        key = RsaKey(n=n, e=exponent)
        yield one(
            f"rsa-exponent-{label}",
            77,
            BAD,
            "an unreasonable exponent, bounded work",
            dns=at("rsa", key.record()),
        )
    big = rsa("16384")
    yield one(
        "rsa-exponent-huge-16384",
        169,
        BAD,
        "a 16384-bit exponent must not cost seconds",
        tags(s=b"big"),
        sign=lambda _: bytes(2048),
        dns=at("big", RsaKey(n=big.n, e=big.n - 2).record()),
    )
    for label, modulus in {"zero": 0, "one": 1, "even": n - 1, "prime-power": rsa().p ** 2}.items():
        key = RsaKey(n=modulus, e=65537)
        yield one(
            f"rsa-modulus-{label}", 101, BAD, "a strange modulus", dns=at("rsa", key.record())
        )


def _two_algorithms() -> Iterator[Case]:
    def both(first: str) -> bytes:
        inner = signed(sign=keys.ed().sign, value=_ED) if first == "rsa" else signed()
        return (
            signed(message=inner)
            if first == "rsa"
            else signed(How(value=_ED, sign=keys.ed().sign), inner)
        )

    for first in ("rsa", "ed25519"):
        yield raw(
            f"dual-{first}-first", 81, (PASS, PASS), "two algorithms", lambda f=first: both(f)
        )
    yield one(
        "bh-wrong-b-right",
        82,
        FAIL,
        "bh= is checked as well",
        body_hash=lambda _: base64.b64encode(hashlib.sha256(b"other").digest()),
    )
    yield one(
        "bh-right-b-wrong", 82, FAIL, "b= is checked as well", sign=lambda d: rsa().sign(d + b"x")
    )
    yield one("ed25519-tag-rsa-key", 91, PERM, "k= must fit a=", tags(a=b"ed25519-sha256"))
    yield one("rsa-tag-ed25519-key", 91, PERM, "k= must fit a=", tags(s=b"ed"), sign=keys.ed().sign)
    yield one(
        "message-from-md5",
        21,
        PERM,
        "rsa-md5 is no algorithm",
        tags(a=b"rsa-md5"),
        digest="md5",
        message=MESSAGE,
    )
