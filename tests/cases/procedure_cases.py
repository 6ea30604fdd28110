"""Statements 103 to 114, 131 to 136 and 164 to 172: procedure, IDNA, hostile messages."""

from collections.abc import Iterator

from . import keys
from .build import one, raw, swap
from .model import BAD, FAIL, PASS, PERM, TEMP, Answer, Case, at, choice
from .signing import MESSAGE, How, folded, signature_field, signed, tags

CRLF = b"\r\n"
_LIMIT = 5  # signatures that dkimcore looks at


def cases() -> Iterator[Case]:
    """Every such case."""
    yield from _mixtures()
    yield from _many()
    yield from _extra_fields()
    yield from _international()
    yield from _hostile()


def _field(value: bytes | None = None, message: bytes = MESSAGE) -> bytes:
    return signature_field(message, How(value=tags() if value is None else value)) + CRLF


def _mixtures() -> Iterator[Case]:
    good = _field
    kinds = {
        "malformed": (lambda: b"DKIM-Signature: nonsense\r\n", PERM),
        "failing": (lambda: _field().replace(b"h=from:to", b"h=from:cc"), FAIL),
        "no-key": (lambda: _field(tags(s=b"nowhere")), PERM),
        "sha1": (lambda: _field(tags(a=b"rsa-sha1")), PERM),
        "servfail": (lambda: _field(tags(s=b"down")), TEMP),
        "empty": (lambda: b"DKIM-Signature:\r\n", PERM),
        "foreign-v": (lambda: _field(tags(v=b"2")), PERM),
        "binary": (lambda: b"DKIM-Signature: \xff\x00;=\r\n", PERM),
    }
    down: dict[str, Answer] = {"down._domainkey.example.com.": "SERVFAIL"}
    for label, (make, verdict) in kinds.items():
        yield raw(
            f"mixed-{label}-above",
            103,
            (verdict, PASS),
            "one bad signature never spoils a good one",
            lambda make=make: make() + good() + MESSAGE,
            dns=down,
            overall="pass",
        )
        yield raw(
            f"mixed-{label}-below",
            105,
            (PASS, verdict),
            "whatever the order",
            lambda make=make: good() + make() + MESSAGE,
            dns=down,
            overall="pass",
        )
        yield raw(
            f"mixed-{label}-alone",
            107,
            (verdict,),
            "no better than unsigned",
            lambda make=make: make() + MESSAGE,
            dns=down,
            overall=" ".join(verdict.ours),
        )
    yield raw(
        "mixed-servfail-failing",
        107,
        (TEMP, FAIL),
        "a later try may still pass",
        lambda: kinds["servfail"][0]() + kinds["failing"][0]() + MESSAGE,
        dns=down,
        overall="temperror fail",
    )
    for position in range(_LIMIT):
        bad = [lambda: b"DKIM-Signature: nonsense\r\n"] * (_LIMIT - 1)
        makers = [*bad[:position], good, *bad[position:]]
        yield raw(
            f"one-of-{_LIMIT}-position-{position}",
            104,
            tuple(PASS if make is good else PERM for make in makers),
            "continue until one verifies",
            lambda makers=makers: b"".join(make() for make in makers) + MESSAGE,
            overall="pass",
        )
    yield raw(
        "same-signature-twice",
        103,
        (PASS, PASS),
        "each judged alone",
        lambda: _field() * 2 + MESSAGE,
    )
    other = at("rsa._domainkey.example.org", keys.rsa().record())
    yield raw(
        "two-domains",
        103,
        (PASS, PASS),
        "a third party and the author",
        lambda: _field(tags(d=b"example.org")) + _field() + MESSAGE,
        dns=other,
    )
    yield one("third-party", 112, PASS, "d= need not match From", tags(d=b"example.org"), dns=other)


def _many() -> Iterator[Case]:
    # The words beyond the limit, and how many there are, are ours to choose.
    for count in (6, 20, 500):
        yield raw(
            f"good-signatures-{count}",
            104,
            (),
            "a limit is allowed and wise",
            lambda count=count: _field() * count + MESSAGE,
            overall="pass",
        )
    never = choice("permerror policy pass")
    yield raw(
        "good-behind-limit",
        104,
        (PERM,) * _LIMIT + (never,),
        "beyond the limit",
        lambda: b"DKIM-Signature: x\r\n" * _LIMIT + _field() + MESSAGE,
        overall="permerror policy pass",
    )
    yield raw(
        "signatures-10000",
        165,
        (),
        "bounded work and DNS",
        lambda: _numbered(_field(), 10_000) + MESSAGE,
        heavy=True,
        overall="fail permerror policy",
    )
    yield raw(
        "signatures-10000-empty",
        165,
        (),
        "bounded work",
        lambda: b"DKIM-Signature:\r\n" * 10_000 + MESSAGE,
        heavy=True,
        overall="permerror policy",
    )
    yield raw(
        "signatures-1000-names",
        165,
        (),
        "bounded DNS",
        lambda: _numbered(_field(tags(s=b"%N%")), 1000) + MESSAGE,
        heavy=True,
        overall="permerror policy",
    )


def _numbered(field: bytes, count: int) -> bytes:
    """`count` different fields made of one, each with a selector of its own if it says %N%."""
    return b"".join(
        field.replace(b"v=1;", b"v=1; n=%d;" % n).replace(b"%N%", b"s%d" % n) for n in range(count)
    )


def _extra_fields() -> Iterator[Case]:
    for name in (b"From", b"Subject", b"Date", b"To"):
        field = name + b": eve@example.org\r\n"
        yield one(
            f"extra-{name.decode().lower()}-above",
            113,
            choice("pass policy"),
            "an unsigned instance is reported, not treated as signed",
            mutate=lambda m, field=field: field + m,
        )
        yield one(
            f"extra-{name.decode().lower()}-below",
            171,
            FAIL,
            "the added instance is the one that is hashed",
            mutate=lambda m, field=field: m.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n", 1),
        )
    yield one(
        "from-removed",
        32,
        FAIL,
        "From is signed",
        mutate=swap(b"From: Joe <joe@example.com>\r\n", b""),
    )
    yield one("from-changed", 32, FAIL, "From is signed", mutate=swap(b"From: Joe", b"From: Eve"))
    yield one(
        "subject-removed",
        54,
        FAIL,
        "a signed field is gone",
        mutate=swap(b"Subject: Is dinner  ready?\r\n", b""),
    )
    yield one(
        "no-from-at-all",
        32,
        choice("permerror pass"),
        "a message without From",
        message=MESSAGE.replace(b"From:", b"X:"),
    )


def _international() -> Iterator[Case]:
    u_label, a_label = "bücher.example", "xn--bcher-kva.example"
    dns = at(f"rsa._domainkey.{a_label}", keys.rsa().record())
    message = MESSAGE.replace(b"Joe <joe@example.com>", "Jörg <jörg@bücher.example>".encode())
    fine = {
        "u-label": tags(d=u_label.encode()),
        "a-label": tags(d=a_label.encode()),
        "upper-a-label": tags(d=a_label.upper().encode()),
        "u-label-i": tags(d=u_label.encode(), extra=f"i=@{u_label}".encode()),
        "u-d-a-i": tags(d=u_label.encode(), extra=f"i=@mail.{a_label}".encode()),
        "a-d-u-i": tags(d=a_label.encode(), extra=f"i=jörg@mail.{u_label}".encode()),
        "i-coded": tags(d=u_label.encode(), extra=b"i=j=C3=B6rg@b=C3=BCcher.example"),
        "upper-u-label": tags(d="BÜCHER.example".encode()),
    }
    for label, value in fine.items():
        for way in (b"simple/simple", b"relaxed/relaxed"):
            statement = 134 if "-i" in label else 132
            yield one(
                f"idn-{label}-{way.partition(b'/')[0].decode()}",
                statement,
                choice("pass permerror") if label == "upper-u-label" else PASS,
                "U-labels in an internationalised message",
                value.replace(b"relaxed/relaxed", way),
                message=message,
                dns=dns,
            )
    selector = at(f"xn--bcher-kva._domainkey.{a_label}", keys.rsa().record())
    yield one(
        "idn-selector",
        132,
        PASS,
        "s= as U-label",
        tags(d=u_label.encode(), s="bücher".encode()),
        message=message,
        dns=selector,
    )
    yield one(
        "idn-converted-form-hashed",
        133,
        FAIL,
        "d= is hashed as written",
        tags(d=a_label.encode()),
        message=message,
        mutate=swap(b"d=" + a_label.encode(), b"d=" + u_label.encode()),
        dns=dns,
    )
    for label, value in {
        "other-i": tags(d=u_label.encode(), extra=b"i=@bucher.example"),
        "mismatch": tags(d=u_label.encode(), extra=b"i=@xn--bcher-kvb.example"),
        "full-stop": tags(d="bücher\u3002example".encode()),
        "empty-a-label": tags(d=b"xn--.example"),
        "joiner": tags(d="b\u200dcher.example".encode()),
        "long": tags(d="ü".encode() * 70 + b".example"),
        "latin1": tags(d="bücher.example".encode("latin-1")),
        "surrogate": tags(d=b"b\xed\xa0\x80cher.example"),
        "overlong": tags(d=b"b\xc1\xa1cher.example"),
    }.items():
        verdict = choice("permerror pass") if label in ("full-stop", "empty-a-label") else PERM
        yield one(
            f"idn-bad-{label}", 134, verdict, "not this domain", value, message=message, dns=dns
        )
    emoji = at("rsa._domainkey.xn--i-7iq.example", keys.rsa().record())
    yield one(
        "idn-emoji",
        132,
        choice("pass permerror"),
        "IDNA 2008 has no emoji, UTS 46 has",
        tags(d="i❤.example".encode()),
        message=message,
        dns=emoji,
    )
    yield one("idn-raw-header", 58, PASS, "raw UTF-8 in signed fields", message=message)


def _hostile() -> Iterator[Case]:
    many = b"".join(b"X-%d: y\r\n" % n for n in range(100_000))
    huge = choice("pass policy permerror")
    yield one("fields-100000", 70, huge, "linear", message=lambda: many + MESSAGE, heavy=True)
    yield one(
        "fields-100000-same",
        70,
        huge,
        "linear",
        tags(h=folded(b"from" + b":x" * 190)),
        message=lambda: b"X: y\r\n" * 100_000 + MESSAGE,
        heavy=True,
    )
    yield one(
        "fields-20000",
        70,
        huge,
        "linear",
        tags(h=b"from:to:x-19999"),
        message=lambda: b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + MESSAGE,
        heavy=True,
    )
    for label, field in {
        "folds": b"X-A: a" + b"\r\n " * 60_000 + b"b\r\n",
        "spaces": b"X-A: a" + b" " * 200_000 + b"b\r\n",
        "tabs-colon": b"X-A" + b"\t" * 200_000 + b": b\r\n",
        "1mb": b"X-A: " + b"x" * 1_000_000 + b"\r\n",
    }.items():
        yield one(
            f"field-{label}",
            70,
            huge,
            "linear",
            tags(h=b"from:x-a"),
            message=field + MESSAGE,
            heavy=True,
        )
    blanks = b"\r\n " * 5000
    for label, value in {
        "b-blanks": tags(b=b"%B%" + blanks),
        "b-only-blanks": tags(b=b"\r\n " * 5000),
        "h-blanks": tags(h=b"from" + blanks + b":to"),
        "d-blanks": tags(d=b"example.com" + blanks),
        "z-blanks": tags(extra=b"z=From:" + blanks + b"x"),
        "i-blanks": tags(extra=b"i=" + blanks + b"@example.com"),
        "i-coded": tags(extra=b"i=" + folded(b"=41" * 4000) + b"@example.com"),
        "i-ats": tags(extra=b"i=" + b"@" * 10_000 + b"example.com"),
        "l-digits": tags(extra=b"l=" + b"9" * 15_000),
        "t-digits": tags(extra=b"t=" + b"9" * 15_000),
        "x-digits": tags(extra=b"x=" + b"9" * 15_000),
    }.items():
        yield one(
            f"hostile-{label}",
            168,
            choice("pass policy permerror fail"),
            "all parsers are total, in linear time",
            value,
        )
    for label, octets in {
        "nuls": bytes(5000),
        "crs": b"\r" * 5000,
        "lfs": b"\n" * 5000,
        "spaces": b" " * 5000,
        "colons": b":" * 5000,
        "binary": bytes(range(256)) * 20,
        "colon-lf": b":\n" * 2000,
        "utf16": "From: a@b.example\r\n\r\nx".encode("utf-16"),
        "one-octet": b"D",
        "name-only": b"DKIM-Signature",
    }.items():
        yield raw(
            f"octets-{label}",
            168,
            (),
            "any octets in, a result out",
            lambda octets=octets: octets,
            overall="none permerror",
        )
    yield raw(
        "octets-signature-in-nuls",
        168,
        (BAD,),
        "NULs for a tag-list",
        lambda: b"DKIM-Signature: " + bytes(5000) + b"\r\n" + MESSAGE,
    )
    yield raw("no-policy-needed", 109, (PASS,), "a plain pass needs no setting", lambda: signed())
