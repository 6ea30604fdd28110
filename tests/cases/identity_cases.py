"""Statements 36 to 49: i=, l=, q=, s=, t=, x=, z= (RFC 6376 section 3.5)."""

from collections.abc import Iterator

from . import keys
from .build import one, raw, swap
from .model import BAD, FAIL, NOW, PASS, PERM, Case, Verdict, at, choice
from .signing import MESSAGE, How, canonical_body, folded, signed, split, tags

_EITHER = choice("pass permerror")
_BODY = len(canonical_body(split(MESSAGE)[1], "relaxed"))


def cases() -> Iterator[Case]:
    """Every case of these tags."""
    yield from _auid()
    yield from _lengths()
    yield from _length_edges()
    yield from _queries()
    yield from _selectors()
    yield from _times()
    yield from _copies()


def _auid() -> Iterator[Case]:
    fine = {
        "domain": b"@example.com",
        "user": b"joe@example.com",
        "sub": b"@sub.example.com",
        "deep": b"joe@a.b.c.example.com",
        "coded-at": b"joe=40example.com",
        "coded-equals": b"joe=3Dtag@example.com",
        "coded-semicolon": b"joe=3Btag@example.com",
        "coded-domain": b"joe@ex=61mple.com",
        "fold": b"joe\r\n @exam\r\n\tple.com",
        "quoted-at": b'"a@b"@example.com',
        "plus": b"joe+list@example.com",
    }
    for label, text in fine.items():
        statement = 37 if "coded" in label or label in ("fold", "quoted-at") else 36
        yield one(f"i-fine-{label}", statement, PASS, "i= within d=", tags(extra=b"i=" + text))
    bad = {
        "no-at": b"example.com",
        "word": b"joe",
        "other": b"joe@example.org",
        "suffix-only": b"joe@fexample.com",
        "parent": b"joe@com",
        "empty-domain": b"joe@",
        "only-at": b"@",
        "longer": b"joe@example.com.evil.org",
        "last-at": b"joe@example.com@evil.org",
        "coded-other": b"joe@evil.org=40x",
        "dot-first": b"joe@.example.com",
        "coded-suffix": b"joe@f=65xample.com",
        "parent-of-d": b"@m",
    }
    for label, text in bad.items():
        yield one(
            f"i-bad-{label}", 36, PERM, "i= outside d= or malformed", tags(extra=b"i=" + text)
        )
    for label, text in {
        "lower-hex": b"joe=4a@example.com",
        "broken-hex": b"joe=4@example.com",
        "no-hex": b"joe=@example.com",
        "unquoted-at": b"a@b@example.com",
        "trailing-dot": b"joe@example.com.",
    }.items():
        yield one(
            f"i-odd-{label}", 37, _EITHER, "not dkim-quoted-printable", tags(extra=b"i=" + text)
        )
    strict = at("rsa", keys.rsa().record() + b"; t=s")
    yield one("i-absent-t-s", 36, PASS, "i= defaults to @d=", dns=strict)


def _lengths() -> Iterator[Case]:
    for label, text in {
        "negative": b"-1",
        "plus": b"+5",
        "hex": b"0x5",
        "underscore": b"5_0",
        "arabic": "\u0663".encode(),
        "exponent": b"1e3",
        "fraction": b"5.0",
        "spaces": b"1 0",
        "letters": b"abc",
        "digits-77": b"0" * 76 + b"5",
        "superscript": "²".encode(),
        "list": b"5,6",
    }.items():
        for allowed in (False, True):
            yield one(
                f"l-bad-{label}{'-allowed' * allowed}",
                38,
                BAD,
                "l= is 1*76DIGIT",
                tags(extra=b"l=" + text),
                limit=5,
                allow_length=allowed,
            )
    for label, number in {
        "one-more": _BODY + 1,
        "million": 1_000_000,
        "wrap-32": 2**32 + 5,
        "wrap-64": 2**64 + 5,
        "wrap-exact-64": 2**64 + _BODY,
        "digits-76": 10**76 - 1,
    }.items():
        for allowed in (False, True):
            yield one(
                f"l-beyond-{label}{'-allowed' * allowed}",
                39,
                BAD,
                "l= larger than the body",
                tags(extra=b"l=%d" % number),
                limit=5 if "wrap-32" in label or label == "wrap-64" else None,
                allow_length=allowed,
            )
    for label, number in {"all": _BODY, "zero": 0, "part": 5, "leading-zeros": 5}.items():
        text = b"l=%d" % number if label != "leading-zeros" else b"l=00005"
        yield one(
            f"l-{label}",
            40,
            choice("policy"),
            "a verifier may refuse l=",
            tags(extra=text),
            limit=number,
        )
        yield one(
            f"l-{label}-allowed",
            68,
            PASS,
            "l= counts canonical octets",
            tags(extra=text),
            limit=number,
            allow_length=True,
        )
    grown = tags(extra=b"l=%d" % _BODY)
    yield one(
        "l-appended",
        164,
        choice("policy"),
        "data beyond l= is unsigned",
        grown,
        limit=_BODY,
        mutate=lambda m: m + b"advert\r\n",
    )
    yield one(
        "l-appended-allowed",
        40,
        choice("pass"),
        "allowed on request",
        grown,
        limit=_BODY,
        mutate=lambda m: m + b"advert\r\n",
        allow_length=True,
    )
    yield one(
        "l-changed-allowed",
        68,
        FAIL,
        "a signed octet changed",
        grown,
        limit=_BODY,
        mutate=swap(b"Hi.", b"Ho."),
        allow_length=True,
    )
    yield one(
        "l-in-mid-blank-allowed",
        68,
        PASS,
        "l= may end inside a line",
        tags(extra=b"l=4"),
        limit=4,
        allow_length=True,
    )


def _length_edges() -> Iterator[Case]:
    head = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    edges: tuple[tuple[str, bytes, int, str, Verdict], ...] = (
        ("empty-simple", b"", 2, "simple", PASS),
        ("empty-simple-half", b"", 1, "simple", PASS),
        ("empty-simple-beyond", b"", 3, "simple", BAD),
        ("empty-relaxed", b"", 0, "relaxed", PASS),
        ("empty-relaxed-beyond", b"", 1, "relaxed", BAD),
        ("no-crlf-all", b"abc", 5, "simple", PASS),
        ("no-crlf-half", b"abc", 4, "relaxed", PASS),
        ("no-crlf-beyond", b"abc", 6, "relaxed", BAD),
        ("held-lines", b"a\r\n\r\n\r\n\r\nb\r\n", 5, "simple", PASS),
        ("held-lines-odd", b"a\r\n \r\n\t\r\n\r\nb\r\n", 6, "relaxed", PASS),
        ("trailing-lines-beyond", b"a\r\n\r\n\r\n", 5, "simple", BAD),
        ("trailing-blank-beyond", b"a\r\n \r\n\r\n", 5, "relaxed", BAD),
        ("inside-blanks", b"a    b\r\n", 2, "relaxed", PASS),
    )
    for label, body, number, way, verdict in edges:
        yield one(
            f"l-edge-{label}-allowed",
            68 if verdict is PASS else 39,
            verdict,
            "l= counts octets of the canonical body",
            tags(c=b"relaxed/" + way.encode(), extra=b"l=%d" % number),
            message=head + body,
            limit=number,
            allow_length=True,
        )
    grown = tags(c=b"relaxed/simple", extra=b"l=3")
    for label, tail in {"text": b"\r\n\r\nadvert\r\n", "lines": b"\r\n\r\n", "cut": b"x"}.items():
        yield one(
            f"l-edge-appended-{label}-allowed",
            40,
            choice("pass"),
            "what follows l= is not judged",
            grown,
            message=head + b"a\r\n",
            limit=3,
            mutate=lambda m, tail=tail: m + tail,
            allow_length=True,
        )


def _queries() -> Iterator[Case]:
    for label, text in {
        "default": b"dns/txt",
        "first": b"dns/txt:foo/bar",
        "second": b"foo/bar:dns/txt",
        "fws": b"foo : dns/txt",
        "third": b"foo:bar/baz:dns/txt",
    }.items():
        yield one(f"q-fine-{label}", 41, PASS, "one method is known", tags(extra=b"q=" + text))
    for label, text in {"unknown": b"foo", "other": b"dns/dkk", "http": b"http/txt"}.items():
        yield one(f"q-bad-{label}", 41, PERM, "no method is known", tags(extra=b"q=" + text))
    for label, text in {
        "old": b"dns",
        "spaced": b"dns / txt",
        "trailing": b"dns/txt:",
        "empty-element": b"dns/txt::foo",
    }.items():
        yield one(f"q-odd-{label}", 41, _EITHER, "outside the grammar", tags(extra=b"q=" + text))


def _selectors() -> Iterator[Case]:
    record = keys.rsa().record()
    for text in ("a.b", "s-1", "2024", "x" * 63, "a.b.c.d.e.f", "RSA"):
        dns = at(f"{text.lower()}._domainkey.example.com", record)
        yield one(f"s-fine-{text[:10]}", 42, PASS, "a selector", tags(s=text.encode()), dns=dns)
    for label, text in {
        "two-dots": "a..b",
        "first-dot": ".a",
        "final-dot": "a.",
        "space": "a b",
        "label-64": "x" * 64,
        "at": "a@b",
        "star": "*",
        "slash": "../x",
        "too-long": ".".join(["x" * 60] * 4),
        "semicolon-escape": "a\\",
    }.items():
        dns = at(f"{text}._domainkey.example.com", record)
        yield one(f"s-bad-{label}", 42, PERM, "not a selector", tags(s=text.encode()), dns=dns)


def _times() -> Iterator[Case]:
    wrong = {
        "letters": b"abc",
        "negative": b"-1",
        "plus": b"+9",
        "fraction": b"1.5",
        "spaces": b"1 2",
        "hex": b"0x10",
        "exponent": b"1e9",
        "superscript": "²".encode(),
        "arabic": "\u0661".encode(),
        "unit": b"1704000000s",
        "date": b"2024-01-01",
        "comma": b"1,704",
    }
    for tag in (b"t=", b"x="):
        for label, text in wrong.items():
            yield one(
                f"{tag[:1].decode()}-bad-{label}", 43, PERM, "not 1*12DIGIT", tags(extra=tag + text)
            )
    for label, text in {
        "t-zero": b"t=0",
        "t-one": b"t=1",
        "t-2038": b"t=1704110400; x=2147483648",
        "x-2106": b"x=4294967297",
        "x-12-digits": b"x=999999999999",
        "x-leading-zero": b"x=004294967297",
        "t-x": b"t=1704110000; x=1704200000",
        "t-now": b"t=%d" % NOW,
        "x-now": b"x=%d" % NOW,
    }.items():
        yield one(f"time-fine-{label}", 43, PASS, "in time", tags(extra=text))
    for digits in (13, 20, 76):
        yield one(
            f"x-{digits}-digits", 44, _EITHER, "may be infinite", tags(extra=b"x=" + b"9" * digits)
        )
    for label, moment in {
        "t-future": NOW + 3600,
        "t-wrap-32": 2**32 + 5,
        "t-far": 10**12 - 1,
    }.items():
        yield one(label, 45, choice("policy"), "signed in the future", tags(extra=b"t=%d" % moment))
    yield one("t-skew", 45, choice("pass"), "within clock skew", tags(extra=b"t=%d" % (NOW + 200)))
    for label, text in {
        "less": b"t=1704110000; x=1704100000",
        "equal": b"t=1704110000; x=1704110000",
        "order": b"x=5; t=6",
        "future": b"t=1999999999; x=1999999998",
    }.items():
        yield one(f"x-not-after-t-{label}", 46, BAD, "x= must exceed t=", tags(extra=text))
    for label, text in {
        "hour": b"x=%d" % (NOW - 3600),
        "years": b"t=1000000000; x=1100000000",
        "one": b"x=1",
        "zero": b"x=0",
    }.items():
        yield one(f"expired-{label}", 47, choice("permerror"), "expired", tags(extra=text))
    yield one(
        "expired-just",
        47,
        choice("permerror pass"),
        "a small fudge",
        tags(extra=b"x=%d" % (NOW - 1)),
    )


def _copies() -> Iterator[Case]:
    for label, text in {
        "plain": b"z=From:joe@example.com|To:suzie@example.net",
        "coded": b"z=Subject:a=20b=3B=7C|From:x",
        "folded": b"z=From:joe@\r\n example.com|\r\n To:x",
        "other": b"z=From:eve@example.org",
    }.items():
        yield one(f"z-fine-{label}", 48, PASS, "z= is diagnostic only", tags(extra=text))
    yield one(
        "z-does-not-repair",
        48,
        FAIL,
        "the real header counts",
        tags(extra=b"z=To:Suzie=20Q=20<suzie@example.net>"),
        mutate=swap(b"Suzie Q <", b"Suzie <"),
    )
    for label, text in {
        "no-colon": b"z=From",
        "bad-hex": b"z=From:=ZZ",
        "empty-part": b"z=|||",
        "empty": b"z=",
        "long": b"z=" + folded(b"From:" + b"=41" * 3000),
    }.items():
        yield one(f"z-odd-{label}", 48, _EITHER, "a bad z= must not crash", tags(extra=text))
    yield raw(
        "z-huge",
        48,
        (choice("pass permerror policy"),),
        "z= of 60 kB",
        lambda: signed(How(value=tags(extra=b"z=" + folded(b"From:" + b"x" * 60000)))),
    )
