"""Statements 17 to 30: DKIM-Signature tags up to d= (RFC 6376 section 3.5)."""

import base64
from collections.abc import Callable, Iterator

from . import keys
from .build import one, raw, swap
from .model import FAIL, FAIL_OR_PERM, PASS, PERM, Case, at, choice
from .signing import MESSAGE, How, folded, signed, tags

_EITHER = choice("pass permerror")


def cases() -> Iterator[Case]:
    """Every case of these tags."""
    yield from _field_names()
    yield from _required()
    yield from _versions()
    yield from _algorithms()
    yield from _signature_data()
    yield from _body_hash()
    yield from _canonicalization()
    yield from _domains()


def _field_names() -> Iterator[Case]:
    for name in (
        b"dkim-signature:",
        b"DKIM-SIGNATURE: ",
        b"DKIM-Signature :",
        b"Dkim-signaturE:\t",
    ):
        for way in (b"simple", b"relaxed"):
            label = f"{name.strip().decode()}-{way.decode()}"
            yield one(
                f"field-name-{label}",
                17,
                PASS,
                "names compare without case",
                tags(c=way),
                field=name,
            )
    for name in (b"X-DKIM-Signature", b"DKIM2-Signature", b"DKIM-Signature-X", b"DKIM-Signatur"):
        yield raw(
            f"not-a-signature-{name.decode()}",
            17,
            (),
            "another field",
            lambda name=name: signed(How(value=tags(), field=name + b": ")),
        )
    yield raw("none-unsigned", 146, (), "no signature", lambda: MESSAGE)
    yield raw("none-in-body", 17, (), "a body is not a header", lambda: MESSAGE + signed())
    yield raw("none-empty", 146, (), "no octets at all", lambda: b"")
    yield raw("none-only-body", 146, (), "no header", lambda: b"\r\n" + signed())


def _required() -> Iterator[Case]:
    for name in ("v", "a", "b", "bh", "d", "h", "s"):
        yield one(
            f"missing-{name}",
            18,
            PERM,
            f"{name}= is required",
            tags(**{name: None}),
            header="relaxed",
            body="relaxed",
            fields=(b"from", b"to", b"subject", b"date"),
        )


def _versions() -> Iterator[Case]:
    for version in (b"0.5", b"2", b"1.0", b"01", b"+1", b"1;v2=1", b"DKIM1", b"0", b"-1", b"11"):
        verdict = PASS if b";" in version else PERM
        label = version.decode().replace(";", "-")
        yield one(f"version-{label}", 19, verdict, "v= is exactly 1", tags(v=version))
    yield one("version-last", 20, PASS, "v= may come last", tags(v=None) + b"; v=1")
    yield one("version-middle", 20, PASS, "v= may stand anywhere", tags(v=None, extra=b"v=1"))


def _algorithms() -> Iterator[Case]:
    for name in (
        b"rsa-sha512",
        b"rsa-md5",
        b"ed25519-sha512",
        b"rsa",
        b"sha256",
        b"rsa-sha256-x",
        b"ed25519",
        b"dsa-sha256",
        b"ecdsa-sha256",
        b"rsa_sha256",
        b"rsa-sha-256",
        b"rsa-sha2561",
        b"none",
    ):
        yield one(f"algorithm-{name.decode()}", 21, PERM, "unknown algorithm", tags(a=name))
    yield one(
        "algorithm-sha512-genuine",
        21,
        PERM,
        "rsa-sha512 is not DKIM's",
        tags(a=b"rsa-sha512"),
        digest="sha512",
        sign=lambda data: keys.rsa().sign(data, _SHA512_INFO, "sha512"),
    )


_SHA512_INFO = bytes.fromhex("3051300d060960864801650304020305000440")


def _encoded(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda signature: change(base64.b64encode(signature))


def _signature_data() -> Iterator[Case]:
    spread: dict[str, Callable[[bytes], bytes]] = {
        "spaces": lambda b: b" ".join(b[n : n + 1] for n in range(len(b))),
        "tabs": lambda b: b.replace(b"A", b"A\t"),
        "fold-each": lambda b: folded(b, 1),
        "fold-inside-quad": lambda b: folded(b, 37),
        "in-padding": lambda b: b.replace(b"==", b"= ="),
        "one-line": lambda b: b,
    }
    for label, change in spread.items():
        for way in (b"simple", b"relaxed"):
            yield one(
                f"b-white-space-{label}-{way.decode()}",
                22,
                PASS,
                "white space in b= is ignored",
                tags(c=way),
                data=_encoded(change),
            )
    broken: dict[str, Callable[[bytes], bytes]] = {
        "exclamation": lambda b: b[:50] + b"!" + b[50:],
        "asterisk-end": lambda b: b + b"*",
        "after-padding": lambda b: b + b"QUJD",
        "dash": lambda b: b[:50] + b"-" + b[50:],
        "third-pad": lambda b: b + b"=",
        "pad-inside": lambda b: b[:50] + b"=" + b[50:],
        "pad-first": lambda b: b"=" + b,
        "utf8": lambda b: b + "é".encode(),
        "nul": lambda b: b[:50] + b"\x00" + b[50:],
    }
    for label, change in broken.items():
        yield one(f"b-junk-{label}", 23, PERM, "not base64", data=_encoded(change))
    url = base64.urlsafe_b64encode
    yield one("b-url-alphabet", 23, PERM, "base64url is not base64", data=lambda b: url(b))
    yield one("b-truncated-quad", 23, FAIL_OR_PERM, "cut", data=_encoded(lambda b: b[:-4]))
    yield one("b-truncated-half", 23, FAIL_OR_PERM, "cut", data=_encoded(lambda b: b[:172]))
    yield one("b-one-char", 23, FAIL_OR_PERM, "cut", data=lambda b: b"A")
    yield one(
        "b-no-padding", 23, choice("permerror"), "padding left out", data=_encoded(lambda b: b[:-2])
    )
    yield one("b-flipped", 83, FAIL, "another signature", data=_encoded(lambda b: b"AAAA" + b[4:]))


def _body_hash() -> Iterator[Case]:
    b64 = base64.b64encode
    lengths: dict[str, Callable[[bytes], bytes]] = {
        "prefix-16": lambda h: b64(h[:16]),
        "prefix-20": lambda h: b64(h[:20]),
        "prefix-31": lambda h: b64(h[:31]),
        "prefix-1": lambda h: b64(h[:1]),
        "extended-1": lambda h: b64(h + b"\x00"),
        "extended-32": lambda h: b64(h + h),
        "wrong": lambda h: b64(bytes(32)),
        "hex": lambda h: h.hex().encode(),
    }
    for label, encode in lengths.items():
        verdict = FAIL if label == "wrong" else FAIL_OR_PERM
        yield one(f"bh-{label}", 24, verdict, "not the body's hash", body_hash=encode)
    broken: dict[str, Callable[[bytes], bytes]] = {
        "junk": lambda h: b64(h)[:20] + b"!" + b64(h)[20:],
        "after-padding": lambda h: b64(h) + b"QUJD",
        "equals": lambda h: b"=" * 44,
    }
    for label, encode in broken.items():
        yield one(f"bh-{label}", 24, FAIL_OR_PERM, "not base64", body_hash=encode)
    yield one("bh-folded", 24, PASS, "FWS in bh=", body_hash=lambda h: folded(b64(h), 11))
    yield one(
        "bh-no-padding", 24, choice("permerror"), "no padding", body_hash=lambda h: b64(h)[:-1]
    )


def _canonicalization() -> Iterator[Case]:
    yield one("c-absent", 25, PASS, "simple/simple", tags(c=None))
    yield one("c-one-name-simple", 25, PASS, "simple/simple", tags(c=b"simple"))
    yield one("c-one-name-relaxed", 25, PASS, "relaxed/simple", tags(c=b"relaxed"))
    changed = swap(b"the  game", b"the game")
    yield one("c-one-name-body", 25, FAIL, "body is simple", tags(c=b"relaxed"), mutate=changed)
    yield one("c-absent-body", 25, FAIL, "body is simple", tags(c=None), mutate=changed)
    yield one("c-relaxed-relaxed-body", 25, PASS, "body is relaxed", mutate=changed)
    header = swap(b"dinner  ready", b"dinner ready")
    yield one("c-absent-header", 25, FAIL, "header is simple", tags(c=None), mutate=header)
    yield one(
        "c-simple-relaxed",
        25,
        FAIL,
        "a changed run of spaces in the header",
        tags(c=b"simple/relaxed"),
        mutate=header,
    )
    yield one(
        "c-relaxed-simple",
        25,
        PASS,
        "a changed run of spaces in the header",
        tags(c=b"relaxed/simple"),
        mutate=header,
    )
    for text in (
        b"relaxed/",
        b"/relaxed",
        b"/",
        b"relaxed/relaxed/relaxed",
        b"relaxed/relaxed/",
        b"nofws",
        b"relaxed/nofws",
        b"nofws/relaxed",
        b"relaxed|relaxed",
        b"relaxed,relaxed",
        b"relaxed /relaxed",
        b"relaxed/ relaxed",
        b"relaxed / relaxed",
        b"relaxed/\r\n relaxed",
        b"relax/relaxed",
        b"relaxedx/relaxed",
    ):
        label = text.decode().replace("\r\n", "~").replace(" ", "_")
        yield one(
            f"c-bad-{label}",
            26,
            PERM,
            "malformed or unknown c=",
            tags(c=text),
            header="relaxed",
            body="relaxed",
        )


def _domains() -> Iterator[Case]:
    record = keys.rsa().record()
    label63 = b"a" * 63
    longest = b".".join((label63, label63, label63, b"a" * 42, b"test"))
    fine = {
        "upper": b"EXAMPLE.COM",
        "label-63": label63 + b".example",
        "digits": b"1.2.3.example",
        "hyphen": b"a-b.example",
        "a-label": b"xn--bcher-kva.example",
        "many-labels": b".".join([b"a"] * 60) + b".test",
    }
    for label, domain in fine.items():
        dns = at(f"rsa._domainkey.{domain.decode().lower()}", record)
        yield one(f"d-fine-{label}", 27, PASS, "a domain name", tags(d=domain), dns=dns)
    bad = {
        "one-label": b"com",
        "one-label-2": b"localhost",
        "address": b"[192.0.2.1]",
        "final-dot": b"example.com.",
        "first-dot": b".example.com",
        "two-dots": b"example..com",
        "label-64": b"a" * 64 + b".example",
        "too-long": longest + b"." + label63 + b".test",
        "at": b"joe@example.com",
        "bang": b"exa!mple.com",
        "slash": b"a/b.example",
        "colon": b"example.com:53",
        "star": b"*.example.com",
        "quote": b'"example".com',
        "percent": b"%00.example.com",
        "dots": b"../..",
        "only-dot": b".",
        "paren": b"example.net(.example.com",
        "backslash": b"example\\.com",
    }
    for label, domain in bad.items():
        name = domain.decode().lower().removesuffix(".")
        dns = at(f"rsa._domainkey.{name}", record)
        statement = 29 if label in ("dots", "at", "star", "percent") else 27
        yield one(f"d-bad-{label}", statement, PERM, "not a domain name", tags(d=domain), dns=dns)
    for label, text in {"first-hyphen": b"-a.example", "last-hyphen": b"a-.example"}.items():
        dns = at(f"rsa._domainkey.{text.decode()}", record)
        yield one(f"d-{label}", 27, _EITHER, "hyphen at a label's edge", tags(d=text), dns=dns)
    dns = at("rsa._domainkey.ex_ample.com", record)
    yield one("d-underscore", 30, _EITHER, "underscore in d=", tags(d=b"ex_ample.com"), dns=dns)
    dns = at("dkim_s1024", record)
    yield one(
        "s-underscore", 30, choice("pass"), "underscore in s=", tags(s=b"dkim_s1024"), dns=dns
    )
    yield one(
        "d-i-case", 28, PASS, "domains compare without case", tags(extra=b"i=joe@Sub.EXAMPLE.com")
    )
    dns = at("rsa._domainkey.example.com", keys.rsa().record() + b"; t=s")
    yield one("t-s-case", 28, PASS, "t=s without case", tags(extra=b"i=joe@Example.COM"), dns=dns)
