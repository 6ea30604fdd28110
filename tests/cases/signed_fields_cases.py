"""Statements 31 to 35: h=, the signed fields (RFC 6376 section 3.5 and 5.4)."""

from collections.abc import Iterator

from .build import one, raw, swap
from .model import BAD, FAIL, PASS, PERM, Case, choice
from .signing import MESSAGE, How, folded, signed, tags


def cases() -> Iterator[Case]:
    """Every case of h=."""
    yield from _signed_fields()
    yield from _own_field()


def _signed_fields() -> Iterator[Case]:
    names = (b"from", b"to", b"subject", b"date")
    for label, text in {
        "only-colon": b":",
        "final-colon": b"from:to:subject:date:",
        "first-colon": b":from:to:subject:date",
        "two-colons": b"from::to:subject:date",
        "blank-element": b"from: :to:subject:date",
        "space-inside": b"fr om:to:subject:date",
        "space-list": b"from to subject date",
        "comma-list": b"from,to,subject,date",
        "nul": b"from:to\x00:subject:date",
        "utf8": "from:tö".encode(),
        "quote": b'"from":to',
    }.items():
        verdict = choice("permerror") if "colon" in label or "blank" in label else PERM
        verdict = choice("permerror pass") if label == "utf8" else verdict
        yield one(f"h-bad-{label}", 31, verdict, "malformed h=", tags(h=text), fields=names)
    for label, text in {
        "fws": b"from :\tto : \r\n subject:\r\n\tdate ",
        "tight": b"from:to:subject:date",
        "odd-name": b"from:x-!#$%&'*+-/?^_`{|}~",
        "trailing-fold": b"from:to:subject:date\r\n ",
        "from-only": b"from",
    }.items():
        yield one(f"h-fine-{label}", 31, PASS, "well-formed h=", tags(h=text))
    for text in (
        b"to:subject",
        b"x-from:to",
        b"fromage",
        b"from-x:to",
        b"resent-from",
        b"sender:to",
    ):
        label = text.decode().replace(":", "-")
        yield one(f"h-without-from-{label}", 32, PERM, "From is not signed", tags(h=text))
    for text in (b"FROM", b"From:To", b"to:fRoM", b"date:subject:to:from"):
        label = text.decode().replace(":", "-")
        yield one(f"h-from-{label}", 32, PASS, "From in any case, anywhere", tags(h=text))
    two = b"Subject: top\r\nSUBJECT: middle\r\n" + MESSAGE
    yield one("h-case-counts", 33, PASS, "same name", tags(h=b"from:Subject:SUBJECT"), message=two)
    yield one(
        "h-case-counts-3",
        33,
        PASS,
        "three names, two of three instances and one more",
        tags(h=b"from:subject:Subject:sUBJECT"),
        message=two,
    )
    yield one(
        "h-case-swapped",
        33,
        FAIL,
        "two instances changed places",
        tags(h=b"from:Subject:SUBJECT"),
        message=two,
        mutate=swap(b"Subject: top\r\nSUBJECT: middle\r\n", b"SUBJECT: middle\r\nSubject: top\r\n"),
    )
    absent = tags(h=b"from:to:cc:x-none:reply-to:subject:resent-from")
    yield one("h-absent", 34, PASS, "absent fields give nothing", absent)
    yield one(
        "h-absent-simple",
        34,
        PASS,
        "absent fields give nothing",
        absent.replace(b"relaxed/relaxed", b"simple"),
    )
    for field in (b"Cc: eve@example.org\r\n", b"X-None:\r\n", b"Reply-To: eve@example.org\r\n"):
        yield one(
            f"h-absent-added-{field.split(b':')[0].decode()}",
            34,
            FAIL,
            "a field signed as absent appeared",
            absent,
            mutate=lambda message, field=field: field + message,
        )
    over = tags(h=b"from:from:subject:subject:to")
    yield one("oversigned", 34, PASS, "a name once more than there are instances", over)
    for field in (b"From: eve@example.org\r\n", b"Subject: win\r\n", b"subject :x\r\n"):
        yield one(
            f"oversigned-added-{field.split(b':')[0].decode().strip()}",
            34,
            FAIL,
            "an oversigned field got another instance",
            over,
            mutate=lambda message, field=field: field + message,
        )
    yield one(
        "h-200-names",
        31,
        PASS,
        "199 names are few enough",
        tags(h=folded(b"from:" + b"x-a:" * 197 + b"to", 60)),
    )
    many = folded(b"from:" + b"x-a:" * 3000 + b"to", 60)
    yield one("h-3000-names", 31, choice("policy permerror pass"), "bounded h=", tags(h=many))


def _own_field() -> Iterator[Case]:
    own = tags(h=b"from:dkim-signature")
    yield one("h-own-name", 35, choice("pass"), "the own field is never selected", own)
    older = b"DKIM-Signature: v=1; a=x; b=keep; d=example.org; s=o; h=from; bh=x\r\n" + MESSAGE
    for way in (b"simple", b"relaxed"):
        value = tags(h=b"from:dkim-signature", c=way)
        yield raw(
            f"h-other-signature-{way.decode()}",
            35,
            (PASS, PERM),
            "another signature is an ordinary field, b= kept",
            lambda value=value: signed(How(value=value), older),
        )
        yield raw(
            f"h-other-signature-changed-{way.decode()}",
            35,
            (FAIL, PERM),
            "its b= counts",
            lambda value=value: signed(How(value=value), older).replace(b"b=keep", b"b=kept"),
        )
    yield raw(
        "h-other-signature-twice",
        35,
        (choice("pass"), PASS),
        "the second signs the first and one absent",
        lambda: signed(How(value=tags(h=b"from:dkim-signature:dkim-signature")), signed()),
    )
    yield raw(
        "h-own-below",
        35,
        (BAD, PASS),
        "a signature below others does not select itself",
        lambda: b"DKIM-Signature: v=1\r\n" + signed(),
    )
