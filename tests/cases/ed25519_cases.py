"""Statements 78 to 80: Ed25519 (RFC 8032 section 5.1, RFC 8463)."""

import base64
import hashlib
from collections.abc import Callable, Iterator

from . import keys
from .build import one
from .model import BAD, FAIL_OR_PERM, PASS, PERM, Case, at, choice
from .signing import tags

_ED = tags(a=b"ed25519-sha256", s=b"ed")
# The order of the base point (RFC 8032 section 5.1).
_L = 2**252 + 27742317777372353535851937790883648493
_P = 2**255 - 19


def cases() -> Iterator[Case]:
    """Every Ed25519 case."""
    yield from _ed25519()
    yield from _ed25519_points()


def _ed25519() -> Iterator[Case]:
    key = keys.ed()
    for way in (b"simple", b"relaxed"):
        yield one(
            f"ed25519-{way.decode()}",
            78,
            PASS,
            "PureEdDSA over the SHA-256 digest",
            tags(a=b"ed25519-sha256", s=b"ed", c=way + b"/" + way),
            sign=key.sign,
        )
    signers: dict[str, Callable[[bytes], bytes]] = {
        "not-hashed": key.sign_raw,
        "hashed-twice": lambda d: key.sign(hashlib.sha256(d).digest()),
        "hex-digest": lambda d: key.sign_raw(hashlib.sha256(d).hexdigest().encode()),
        "sha512": lambda d: key.sign_raw(hashlib.sha512(d).digest()),
        "other-key": keys.ed("other").sign,
        "short": lambda d: key.sign(d)[:63],
        "long": lambda d: key.sign(d) + b"\x00",
        "empty-ish": lambda _: b"\x00",
        "zero": lambda _: bytes(64),
        "rsa-length": lambda _: bytes(256),
        "s-plus-l": lambda d: _plus_order(key.sign(d)),
        "s-all-ones": lambda d: key.sign(d)[:32] + b"\xff" * 32,
        "r-invalid": lambda d: b"\xff" * 32 + key.sign(d)[32:],
        "swapped": lambda d: key.sign(d)[32:] + key.sign(d)[:32],
    }
    for label, sign in signers.items():
        yield one(
            f"ed25519-bad-{label}", 80, FAIL_OR_PERM, "RFC 8032 section 5.1.7", _ED, sign=sign
        )
    info = bytes.fromhex("302a300506032b6570032100") + key.raw()
    records = {
        "info": info,
        "31": key.raw()[:31],
        "33": key.raw() + b"\x00",
        "64": key.raw() * 2,
        "1": b"\x00",
        "pem": b"-----BEGIN PUBLIC KEY-----",
    }
    for label, octets in records.items():
        record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(octets)
        yield one(
            f"ed25519-key-{label}",
            79,
            PERM,
            "p= is the 32 raw octets",
            _ED,
            sign=key.sign,
            dns=at("ed", record),
        )


def _plus_order(signature: bytes) -> bytes:
    s = int.from_bytes(signature[32:], "little") + _L
    return signature[:32] + s.to_bytes(32, "little")


def _point(number: int) -> bytes:
    return number.to_bytes(32, "little")


def _ed25519_points() -> Iterator[Case]:
    """Keys for which R = the identity and S = 0 satisfy the equation, or that are no points."""
    identity = _point(1)

    def forged(_: bytes) -> bytes:
        return identity + bytes(32)

    small = {
        "identity": identity,
        "order-2": _point(_P - 1),
        "order-4": _point(0),
        "order-4-sign": _point(1 << 255),
        "order-8": bytes.fromhex(
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
        ),
    }
    for label, octets in small.items():
        yield one(
            f"ed25519-small-{label}",
            80,
            choice("permerror fail policy"),
            "a key of small order verifies what nobody signed",
            _ED,
            sign=forged,
            dns=at("ed", b"v=DKIM1; k=ed25519; p=" + base64.b64encode(octets)),
        )
    none = {
        "identity-plus-p": _point(_P + 1),
        "identity-sign": _point(1 | 1 << 255),
        "zero-plus-p": _point(_P),
        "all-ones": b"\xff" * 32,
        "not-on-curve": _point(2),
    }
    for label, octets in none.items():
        yield one(
            f"ed25519-no-point-{label}",
            80,
            BAD,
            "RFC 8032 section 5.1.3: decoding fails",
            _ED,
            sign=forged,
            dns=at("ed", b"v=DKIM1; k=ed25519; p=" + base64.b64encode(octets)),
        )
