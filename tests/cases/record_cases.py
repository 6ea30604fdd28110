"""Statements 84 to 102: key records (RFC 6376 section 3.6.1)."""

import base64
from collections.abc import Iterator

from . import keys
from .build import one
from .keys import rsa
from .model import BAD, PASS, PERM, TEMP, Case, Verdict, at, choice
from .signing import folded, tags

_P = rsa().public
_EITHER = choice("pass permerror")
_WHY = "what the record says of itself"


def cases() -> Iterator[Case]:
    """Every key record case."""
    yield from _answers()
    yield from _several()
    yield from _versions()
    yield from _public_keys()
    yield from _key_types()
    yield from _hashes_and_services()
    yield from _flags()
    yield from _other_tags()
    yield from _tag_lists()
    yield from _hostile()


def _record(
    name: str, statement: int, verdict: Verdict, text: bytes, why: str = _WHY, **more: object
) -> Case:
    """A genuine signature under the key record `text`, in which %P% is the right key."""
    record = text.replace(b"%P%", _P)
    return one(f"key-{name}", statement, verdict, why, dns=at("rsa", record), **more)  # type: ignore[arg-type]  # passed through


def _answers() -> Iterator[Case]:
    name = "rsa._domainkey.example.com."
    yield one("dns-nxdomain", 85, PERM, "no key", dns={name: "NXDOMAIN"})
    yield one("dns-nodata", 85, PERM, "no key", dns={name: ()})
    yield one("dns-servfail", 86, TEMP, "try later", dns={name: "SERVFAIL"})
    yield one("dns-name-unknown", 85, PERM, "no key", tags(s=b"nowhere"))
    yield one("dns-upper-case-selector", 84, PASS, "DNS names have no case", tags(s=b"RSA"))


def _several() -> Iterator[Case]:
    good, other, spf = rsa().record(), rsa("b").record(), b"v=spf1 -all"
    both = choice("pass permerror fail")
    for label, records, verdict in (
        ("good-spf", (good, spf), choice("pass")),
        ("spf-good", (spf, good), choice("pass")),
        ("good-other", (good, other), choice("pass")),
        ("other-good", (other, good), choice("pass")),
        ("good-revoked", (good, b"v=DKIM1; p="), both),
        ("revoked-good", (b"v=DKIM1; p=", good), both),
        ("good-good", (good, good), choice("pass")),
        ("good-ed", (good, keys.ed().record()), choice("pass")),
        ("ed-good", (keys.ed().record(), good), choice("pass")),
        ("spf-spf", (spf, spf), PERM),
        ("three-good-last", (other, keys.rsa("e3").record(), good), both),
        ("fifty-other", (other,) * 50, BAD),
        ("fifty-spf-good", (spf,) * 50 + (good,), both),
    ):
        yield one(f"records-{label}", 87, verdict, "several TXT records", dns=at("rsa", *records))


def _versions() -> Iterator[Case]:
    for label, text in {
        "plain": b"v=DKIM1; p=%P%",
        "absent": b"p=%P%",
        "spaced": b" v = DKIM1 ; p=%P%",
        "final-semicolon": b"v=DKIM1; p=%P%;",
        "tight": b"v=DKIM1;p=%P%",
        "p-middle": b"v=DKIM1; p=%P%; k=rsa",
    }.items():
        yield _record(f"v-fine-{label}", 88, PASS, text)
    for label, text in {
        "lower": b"v=dkim1; p=%P%",
        "other": b"v=DKIM2; p=%P%",
        "longer": b"v=DKIM1x; p=%P%",
        "short": b"v=DKIM; p=%P%",
        "one": b"v=1; p=%P%",
        "empty": b"v=; p=%P%",
        "double": b"v=DKIM1 DKIM1; p=%P%",
        "not-first": b"k=rsa; v=DKIM1; p=%P%",
        "last": b"p=%P%; v=DKIM1",
    }.items():
        verdict = choice("permerror") if label in ("not-first", "last") else PERM
        yield _record(f"v-bad-{label}", 88, verdict, text, "v= is DKIM1 and the first tag")


def _public_keys() -> Iterator[Case]:
    for label, text in {
        "absent": b"v=DKIM1; k=rsa",
        "revoked": b"v=DKIM1; p=",
        "revoked-semicolon": b"v=DKIM1; p=;",
        "revoked-blank": b"v=DKIM1; p= \t ",
        "revoked-later": b"v=DKIM1; p=; n=gone",
        "no-equals": b"v=DKIM1; p",
        "upper": b"v=DKIM1; P=%P%",
    }.items():
        yield _record(f"p-{label}", 89, PERM, text, "no usable key")
    for label, value in {
        "spaces": b" ".join(_P[n : n + 5] for n in range(0, len(_P), 5)),
        "tabs": _P.replace(b"A", b"A\t"),
        "folds": folded(_P, 40),
        "around": b"  " + _P + b"  ",
    }.items():
        yield _record(f"p-{label}", 90, PASS, b"v=DKIM1; p=" + value, "white space in p=")
    broken = {
        "junk-inside": _P[:50] + b"!" + _P[50:],
        "junk-behind": _P + b"*",
        "after-padding": base64.b64encode(rsa().info() + b"\x00") + b"QUJD",
        "url-alphabet": base64.urlsafe_b64encode(rsa().info()),
        "escaped": _P.replace(b"+", b"\\+"),
        "nul": _P[:50] + b"\x00" + _P[50:],
        "vt": _P[:50] + b"\x0b" + _P[50:],
        "cut": _P[:-8],
        "half": _P[: len(_P) // 2],
        "pem-head": b"-----BEGIN PUBLIC KEY-----" + _P,
        "quotes": b'"' + _P + b'"',
        "one-char": b"A",
        "not-der": base64.b64encode(b"hello world" * 20),
        "empty-der": base64.b64encode(b"\x30\x00"),
        "trailing-der": base64.b64encode(rsa().info() + b"\x00\x00\x00"),
        "ec-key": base64.b64encode(_EC_KEY),
    }
    for label, value in broken.items():
        verdict = choice("permerror") if label == "trailing-der" else PERM
        yield _record(f"p-{label}", 90, verdict, b"v=DKIM1; p=" + value, "not this key in base64")
    yield _record(
        "p-no-padding", 90, choice("permerror"), b"v=DKIM1; p=" + _unpadded(), "padding left out"
    )
    bare = base64.b64encode(rsa().bare())
    yield _record("p-bare", 92, PASS, b"v=DKIM1; p=" + bare, "RSAPublicKey, as the text says")


_EC_KEY = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d81"
    "2deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def _unpadded() -> bytes:
    """The key with a base64 text that needs padding, which is left out."""
    text = base64.b64encode(rsa().info())
    return text.rstrip(b"=") if text.endswith(b"=") else text[:-1]


def _key_types() -> Iterator[Case]:
    yield _record("k-rsa", 91, PASS, b"v=DKIM1; k=rsa; p=%P%")
    yield _record("k-spaced", 91, PASS, b"v=DKIM1; k = rsa ; p=%P%")
    for text in (b"dsa", b"ed25519", b"rsa2", b"r sa", b"", b"rsa:ed25519", b"rsa-sha256"):
        yield _record(
            f"k-bad-{text.decode() or 'empty'}", 91, PERM, b"v=DKIM1; k=" + text + b"; p=%P%"
        )
    yield _record("k-upper", 12, _EITHER, b"v=DKIM1; k=RSA; p=%P%")
    ed, value = keys.ed(), tags(a=b"ed25519-sha256", s=b"ed")
    for label, text in {
        "absent": b"v=DKIM1; p=" + ed.public,
        "rsa": b"v=DKIM1; k=rsa; p=" + ed.public,
        "empty": b"v=DKIM1; k=; p=" + ed.public,
    }.items():
        yield one(
            f"key-k-{label}-ed25519-key",
            91,
            PERM,
            "k= defaults to rsa",
            value,
            sign=ed.sign,
            dns=at("ed", text),
        )


def _hashes_and_services() -> Iterator[Case]:
    lists: tuple[tuple[bytes, bytes, Verdict], ...] = (
        (b"h", b"sha256", PASS),
        (b"h", b"sha1:sha256", PASS),
        (b"h", b" sha1 : sha256 ", PASS),
        (b"h", b"foo:sha256:bar", PASS),
        (b"h", b"sha1", PERM),
        (b"h", b"sha512", PERM),
        (b"h", b"sha2567", PERM),
        (b"h", b"xsha256", PERM),
        (b"h", b"sha-256", PERM),
        (b"h", b"rsa-sha256", PERM),
        (b"h", b"foo:bar", PERM),
        (b"h", b"", PERM),
        (b"h", b"SHA256", _EITHER),
        (b"h", b"sha256:", _EITHER),
        (b"s", b"email", PASS),
        (b"s", b"*", PASS),
        (b"s", b"other:email", PASS),
        (b"s", b"other : *", PASS),
        (b"s", b" email ", PASS),
        (b"s", b"other", PERM),
        (b"s", b"emailx", PERM),
        (b"s", b"xemail", PERM),
        (b"s", b"tlsrpt", PERM),
        (b"s", b"", PERM),
        (b"s", b"EMAIL", _EITHER),
        (b"s", b"**", PERM),
    )
    for name, text, verdict in lists:
        statement = 93 if name == b"h" else 94
        label = text.decode().replace(" ", "_").replace(":", "+").replace("*", "any") or "empty"
        yield _record(
            f"{name.decode()}-{label}",
            statement,
            verdict,
            b"v=DKIM1; " + name + b"=" + text + b"; p=%P%",
            "the list must name what is used",
        )


def _flags() -> Iterator[Case]:
    sub, same = tags(extra=b"i=joe@mail.example.com"), tags(extra=b"i=joe@example.com")
    for label, flags in {
        "s": b"s",
        "y-s": b"y:s",
        "s-y": b"s:y",
        "spaced": b" y : s ",
        "unknown-s": b"foo:s",
    }.items():
        record = b"v=DKIM1; t=" + flags + b"; p=%P%"
        yield _record(f"t-{label}-sub", 95, PERM, record, "i= is not d= itself", value=sub)
        yield _record(f"t-{label}-same", 95, PASS, record, "i= is d= itself", value=same)
    for label, flags in {"y": b"y", "unknown": b"foo:bar", "sx": b"sx", "xs": b"xs"}.items():
        record = b"v=DKIM1; t=" + flags + b"; p=%P%"
        yield _record(f"t-{label}-sub", 96, PASS, record, "no flag forbids this", value=sub)
    testing = b"v=DKIM1; t=y; p=%P%"
    yield _record("t-y-pass", 96, PASS, testing, "testing does not change the result")
    yield _record(
        "t-y-fail",
        96,
        choice("fail"),
        testing,
        "testing does not change the result",
        mutate=lambda m: m.replace(b"Hi.", b"Ho."),
    )
    yield _record("t-upper", 95, _EITHER, b"v=DKIM1; t=S; p=%P%", value=sub)
    yield _record("t-empty", 95, _EITHER, b"v=DKIM1; t=; p=%P%", value=sub)


def _other_tags() -> Iterator[Case]:
    for label, text in {
        "g-any": b"g=*",
        "g-other": b"g=nobody",
        "g-empty": b"g=",
        "n-plain": b"n=a note",
        "n-equals": b"n=a=b==c",
        "n-empty": b"n=",
        "n-coded": b"n=a=3Bb",
        "n-like-p": b"n=p=AAAA",
        "unknown": b"zz=1",
        "upper-k": b"K=dsa",
        "upper-t": b"T=s",
    }.items():
        statement = 97 if label.startswith("g") else 98
        yield _record(
            f"other-{label}", statement, PASS, b"v=DKIM1; " + text + b"; p=%P%", "has no meaning"
        )


def _tag_lists() -> Iterator[Case]:
    for label, text in {
        "p": b"v=DKIM1; p=%P%; p=%P%",
        "p-revoked": b"v=DKIM1; p=; p=%P%",
        "p-other": b"v=DKIM1; p=%P%; p=",
        "k": b"v=DKIM1; k=rsa; k=rsa; p=%P%",
        "v": b"v=DKIM1; v=DKIM1; p=%P%",
        "unknown": b"v=DKIM1; zz=1; zz=2; p=%P%",
    }.items():
        yield _record(f"duplicate-{label}", 99, PERM, text, "a duplicate invalidates the record")
    for label, text in {
        "empty-spec": b"v=DKIM1;; p=%P%",
        "leading": b"; v=DKIM1; p=%P%",
        "no-equals": b"v=DKIM1; foo; p=%P%",
        "hyphen": b"v=DKIM1; a-b=1; p=%P%",
        "comma": b"v=DKIM1, k=rsa, p=%P%",
    }.items():
        yield _record(f"malformed-{label}", 1, PERM, text, "a malformed tag-list")
    for label, text in {
        "escaped-semicolon": b"v=DKIM1\\; k=rsa\\; p=%P%",
        "quoted": b'"v=DKIM1; k=rsa; p=%P%"',
        "quoted-parts": b'"v=DKIM1; p=" "%P%"',
        "parentheses": b"( v=DKIM1; p=%P% )",
    }.items():
        yield _record(f"zone-file-{label}", 102, PERM, text, "zone file syntax is not repaired")


def _hostile() -> Iterator[Case]:
    for label, text in {
        "spf": b"v=spf1 include:_spf.example.com ~all",
        "prose": b"This domain is parked.",
        "empty": b"",
        "space": b" ",
        "html": b"<html><body>404</body></html>",
        "nul": b"v=DKIM1; p=%P%\x00",
        "nul-first": b"\x00v=DKIM1; p=%P%",
        "binary": bytes(range(256)),
        "8-bit": b"v=DKIM1; p=%P%; n=\xff\xfe",
        "utf8-note": "v=DKIM1; n=clé; p=%P%".encode(),
        "dmarc": b"v=DMARC1; p=reject",
        "bom": b"\xef\xbb\xbfv=DKIM1; p=%P%",
        "newline": b"v=DKIM1;\n p=%P%",
        "crlf-fold": b"v=DKIM1;\r\n p=%P%",
        "equals": b"=" * 200,
        "semicolons": b";" * 60_000,
        "60kb": b"v=DKIM1; n=" + b"x" * 60_000 + b"; p=%P%",
        "60kb-p": b"v=DKIM1; p=" + b"A" * 60_000,
        "60kb-spaces": b"v=DKIM1; p=" + b" " * 60_000 + b"%P%",
        "tags": b"v=DKIM1; " + b"".join(b"a%d=1; " % n for n in range(8000)) + b"p=%P%",
    }.items():
        loose = ("8-bit", "utf8-note", "60kb", "60kb-spaces", "tags", "crlf-fold")
        verdict = choice("pass permerror policy") if label in loose else PERM
        verdict = PASS if label == "crlf-fold" else verdict
        verdict = BAD if label in ("semicolons", "60kb-p") else verdict
        statement = 101 if "60kb" in label or label in ("nul", "binary", "tags") else 100
        yield _record(f"hostile-{label}", statement, verdict, text, "data, whatever it holds")
