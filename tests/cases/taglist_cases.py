"""Statements 1 to 16: tag-lists (RFC 6376 section 3.2)."""

from collections.abc import Iterator

from .build import one, raw
from .model import BAD, PASS, PERM, Case, choice
from .signing import MESSAGE, tags

_EITHER = choice("pass permerror")


def cases() -> Iterator[Case]:
    """Every tag-list case."""
    yield from _structure()
    yield from _white_space()
    yield from _names()
    yield from _duplicates()
    yield from _letter_case()
    yield from _octets()
    yield from _look_alikes()
    yield from _broken()


def _structure() -> Iterator[Case]:
    for way in ("simple", "relaxed"):
        c = f"{way}/{way}".encode()
        yield one(f"final-semicolon-{way}", 1, PASS, "one final ; is legal", tags(c=c, last=b";"))
        for label, end in (("space", b"; "), ("fold", b";\r\n "), ("tab", b"\t;\t")):
            yield one(
                f"white-space-at-end-{label}-{way}",
                7,
                choice("pass"),
                "white space after the final ; is real mail",
                tags(c=c, last=end),
            )
    yield one("semicolon-ends-value", 1, PERM, "y is a tag-spec without =", tags(extra=b"n=x;y"))
    bare = {
        "middle": tags(extra=b"foo"),
        "start": b"foo; " + tags(),
        "end": tags(last=b"; foo"),
        "end-semicolon": tags(last=b"; foo;"),
        "known-name": tags(extra=b"l"),
    }
    for label, value in bare.items():
        yield one(f"no-equals-{label}", 5, PERM, "a tag-spec without =", value)
    empty = {
        "middle": tags(extra=b""),
        "leading": b"; " + tags(),
        "final": tags(last=b";;"),
        "final-spaced": tags(last=b"; ;"),
        "folded": tags().replace(b"; s=", b";\r\n\t; s="),
    }
    empty["middle"] = tags().replace(b"; s=", b";; s=")
    for label, value in empty.items():
        yield one(f"empty-tag-spec-{label}", 6, PERM, "an empty tag-spec", value)


def _white_space() -> Iterator[Case]:
    gaps = {"space": b" ", "tab": b"\t", "fold": b"\r\n ", "fold-tab": b" \r\n\t", "many": b" \t  "}
    for way in ("simple", "relaxed"):
        c = f"{way}/{way}".encode()
        for label, gap in gaps.items():
            around = tags(c=c).replace(
                b"; s=rsa", b";" + gap + b"s" + gap + b"=" + gap + b"rsa" + gap
            )
            yield one(f"fws-around-{label}-{way}", 2, PASS, "FWS around name and =", around)
        spaced = tags(c=b" " + c + b" ", a=b" rsa-sha256\t", d=b"\r\n example.com ", v=b" 1 ")
        yield one(f"fws-in-every-tag-{way}", 2, PASS, "FWS around every value", spaced)
        yield one(
            f"fws-around-bh-{way}", 2, PASS, "FWS around bh=", tags(c=c, bh=b" \r\n\t%BH%\r\n ")
        )
        yield one(f"fws-around-b-{way}", 2, PASS, "FWS around b=", tags(c=c, b=b" \r\n\t%B% \r\n "))
    inside = {
        "a": tags(a=b"rsa- sha256"),
        "a-fold": tags(a=b"rsa-\r\n sha256"),
        "a-word": tags(a=b"rsa-sha256 x"),
        "d": tags(d=b"exam ple.com"),
        "d-fold": tags(d=b"example.\r\n com"),
        "s": tags(s=b"r sa"),
        "s-fold": tags(s=b"r\r\n\tsa"),
        "v": tags(v=b"1 1"),
        "c": tags(c=b"rel axed/relaxed"),
        "t": tags(extra=b"t=17 04000000"),
        "x": tags(extra=b"x=19 99999999"),
        "q": tags(extra=b"q=dns/ txt"),
        "name": tags().replace(b"bh=", b"b h="),
    }
    for label, value in inside.items():
        yield one(
            f"white-space-inside-{label}",
            3,
            PERM,
            "white space inside a value is significant",
            value,
            header="relaxed",
            body="relaxed",
        )


def _names() -> Iterator[Case]:
    for label, text in {
        "hyphen": b"x-y=1",
        "digit": b"1a=1",
        "empty": b"=1",
        "underscore-first": b"_x=1",
        "dot": b"a.b=1",
        "space": b"a b=1",
        "utf8": "é=1".encode(),
        "quote": b'"a"=1',
        "colon": b"a:b=1",
    }.items():
        yield one(f"bad-name-{label}", 4, PERM, "not a tag-name", tags(extra=text))
    for text in (b"x_y=1", b"A1=2", b"zz9_=1", b"x=1999999999", b"long" * 20 + b"=1"):
        name = text.partition(b"=")[0].decode()[:8]
        yield one(f"good-name-{name}", 4, PASS, "a legal tag-name", tags(extra=text))


def _duplicates() -> Iterator[Case]:
    same = {
        "v": b"1",
        "a": b"rsa-sha256",
        "c": b"relaxed/relaxed",
        "d": b"example.com",
        "s": b"rsa",
        "h": b"from:to:subject:date",
        "bh": b"%BH%",
        "b": b"AAAA",
        "q": b"dns/txt",
        "i": b"@example.com",
        "t": b"1704000000",
        "x": b"1999999999",
        "z": b"From:x",
        "foo": b"bar",
    }
    for name, value in same.items():
        text = name.encode() + b"=" + value
        base = tags() if f"{name}=".encode() in tags() else tags(extra=text)
        yield one(f"duplicate-{name}", 8, PERM, f"two {name}= tags", base + b"; " + text)
    yield one("duplicate-first-wrong", 8, PERM, "d= twice", b"d=example.org; " + tags())
    yield one("duplicate-unknown-other", 8, PERM, "unknown twice", tags(extra=b"u=1; u=2"))
    yield one("duplicate-case-differs", 9, PASS, "u= and U= differ", tags(extra=b"u=1; U=2"))


def _letter_case() -> Iterator[Case]:
    for name in ("v", "a", "d", "s", "h", "bh", "b"):
        upper = tags().replace(f"{name}=".encode(), f"{name.upper()}=".encode(), 1)
        if name in ("h", "b"):
            upper = tags(**{name: None}) + f"; {name.upper()}=".encode()
            upper += b"from:to:subject:date" if name == "h" else b"%B%"
        yield one(
            f"upper-case-{name}",
            9,
            PERM,
            f"{name.upper()}= is an unknown tag, so {name}= is missing",
            upper,
            header="relaxed",
            body="relaxed",
            fields=(b"from", b"to", b"subject", b"date"),
        )
    yield one(
        "upper-case-extra", 9, PASS, "V= and D= are unknown", tags(extra=b"V=2; D=example.org")
    )
    for label, value in {
        "a": tags(a=b"RSA-SHA256"),
        "c": tags(c=b"Relaxed/RELAXED"),
        "q": tags(extra=b"q=DNS/TXT"),
    }.items():
        yield one(
            f"value-case-{label}", 12, _EITHER, "ABNF literals contradict case-sensitivity", value
        )
    yield one("unknown-tag-hashed", 10, PASS, "unknown tags are ignored", tags(extra=b"xx=yy"))
    for label, text in {
        "c": tags(c=b""),
        "i": tags(extra=b"i="),
        "q": tags(extra=b"q="),
        "l": tags(extra=b"l="),
        "t": tags(extra=b"t="),
        "x": tags(extra=b"x="),
        "a": tags(a=b""),
        "d": tags(d=b""),
        "s": tags(s=b""),
        "h": tags(h=b""),
        "v": tags(v=b""),
        "bh": tags(bh=b""),
        "b": tags(b=b""),
    }.items():
        yield one(
            f"empty-{label}",
            11,
            BAD if label in ("b", "bh", "l") else PERM,
            f"{label}= without a value is not an absent {label}=",
            text,
            header="simple" if label == "c" else "relaxed",
            body="simple" if label == "c" else "relaxed",
        )
    yield one("empty-unknown", 11, PASS, "an unknown tag may be empty", tags(extra=b"foo="))


def _octets() -> Iterator[Case]:
    for label, octet in {
        "nul": b"\x00",
        "soh": b"\x01",
        "vt": b"\x0b",
        "ff": b"\x0c",
        "del": b"\x7f",
        "esc": b"\x1b",
        "bare-cr": b"\r",
        "bare-lf": b"\n",
        "bare-lf-space": b"\n ",
    }.items():
        yield one(
            f"control-in-unknown-{label}",
            13,
            PERM,
            "not a value character",
            tags(extra=b"n=a" + octet + b"b"),
        )
    for label, value in {
        "d": tags(d=b"example.com\x00"),
        "s": tags(s=b"rsa\x00"),
        "h": tags(h=b"from:to\x00"),
        "a": tags(a=b"rsa-sha256\x0b"),
        "b": tags(last=b"\x00"),
        "bh": tags(bh=b"%BH%\x0c"),
    }.items():
        yield one(
            f"control-in-{label}", 13, PERM, "not a value character", value, fields=(b"from", b"to")
        )
    yield one(
        "utf8-unknown", 14, choice("pass"), "UTF-8 in an unknown tag", tags(extra="n=é".encode())
    )
    yield one("bad-utf8-unknown", 14, _EITHER, "invalid UTF-8 in a tag", tags(extra=b"n=\xff\xfe"))
    yield one("bad-utf8-d", 14, PERM, "invalid UTF-8 in d=", tags(d=b"ex\xffample.com"))
    yield one("nbsp-around", 14, PERM, "U+00A0 is not white space", tags(s=b"\xa0rsa"))


def _look_alikes() -> Iterator[Case]:
    texts = {
        "spaced-b": b"n=x b=abc",
        "folded-b": b"n=x\r\n b=abc",
        "xb": b"xb=abc",
        "bb": b"bb=abc",
        "b1": b"b1=abc",
        "x_b": b"x_b=abc",
        "equals": b"n=b=abc==",
        "bh-like": b"n=bh=%7B",
        "quoted": b'n="b=abc"',
    }
    for way in ("simple", "relaxed"):
        c = f"{way}/{way}".encode()
        for label, text in texts.items():
            yield one(
                f"like-b-{label}-{way}", 15, PASS, "only b= is emptied", tags(c=c, extra=text)
            )
            yield one(
                f"like-b-{label}-after-{way}",
                15,
                PASS,
                "only b= is emptied",
                tags(c=c, last=b"; " + text),
            )
        first = b"b=%B%; " + tags(c=c, b=None)
        yield one(f"b-first-{way}", 15, PASS, "b= may come first", first)
        tight = tags(c=c, b=None) + b";b=%B%;foo=bar"
        yield one(f"b-tight-{way}", 15, PASS, "b= without blanks around", tight)
        yield one(f"bh-last-{way}", 15, PASS, "bh= after b=", tags(c=c, bh=None) + b"; bh=%BH%")


def _broken() -> Iterator[Case]:
    for label, text in {
        "empty": b"",
        "spaces": b"   ",
        "fold": b"\r\n \r\n ",
        "semicolon": b";",
        "equals": b"=",
        "many-equals": b"====",
        "word": b"v",
        "tag-only": b"v=1",
        "v-semicolon": b"v=1;",
        "nul": b"\x00",
        "binary": bytes(range(128, 256)),
        "json": b'{"v": 1}',
    }.items():
        yield raw(
            f"broken-{label}",
            16,
            (PERM,),
            "not a signature, and no exception",
            lambda text=text: b"DKIM-Signature: " + text + b"\r\n" + MESSAGE,
        )
    for label, text in {
        "semicolons": b";" * 15000,
        "tags": b"; ".join(b"t%d=1" % n for n in range(1500)),
        "value": b"n=" + b"x" * 15000,
        "folds": b"n=" + b"\r\n x" * 3500,
        "base64": b"b=" + b"\r\n A" * 3500,
        "long": b"n=" + b"y " * 30000,
    }.items():
        yield raw(
            f"huge-{label}",
            16,
            (BAD,),
            "malformed and large: bounded time",
            lambda text=text: b"DKIM-Signature: v=1; " + text + b"\r\n" + MESSAGE,
        )
