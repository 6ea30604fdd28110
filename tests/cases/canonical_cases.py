"""Statements 50 to 70: canonicalization and what it hides (RFC 6376 section 3.4 and 3.7)."""

import base64
from collections.abc import Callable, Iterator

from .build import one, raw, swap
from .model import FAIL, FAIL_OR_PERM, PASS, PERM, Case, choice
from .signing import MESSAGE, signed, tags

_HEAD, _, _BODY = MESSAGE.partition(b"\r\n\r\n")
_ALL = b"from:to:subject:date:x-a"


def cases() -> Iterator[Case]:
    """Every canonicalization case."""
    yield from _header_changes()
    yield from _header_shapes()
    yield from _instances()
    yield from _not_messages()
    yield from _bodies()
    yield from _body_changes()
    yield from _large_bodies()


def _with(field: bytes) -> bytes:
    return field + MESSAGE


def _header_changes() -> Iterator[Case]:
    changes: dict[str, tuple[bytes, bytes, bool]] = {
        "double-space": (b"dinner  ready", b"dinner ready", True),
        "tab": (b"dinner  ready", b"dinner\t ready", True),
        "trailing-space": (b"ready?\r\n", b"ready? \r\n", True),
        "leading-space": (b"Subject: ", b"Subject:  ", True),
        "no-space": (b"Subject: ", b"Subject:", True),
        "name-case": (b"Subject:", b"SUBJECT:", True),
        "space-before-colon": (b"Subject:", b"Subject :", True),
        "fold": (b"dinner  ready", b"dinner\r\n ready", True),
        "fold-tab": (b"Subject: Is", b"Subject:\r\n\tIs", True),
        "blank-continuation": (b"ready?\r\n", b"ready?\r\n \t\r\n", True),
        "space-inside-word": (b"dinner", b"din ner", False),
        "space-removed": (b"dinner  ready", b"dinnerready", False),
        "letter-case": (b"dinner", b"Dinner", False),
        "vt": (b"dinner  ready", b"dinner\x0b ready", False),
        "nbsp": (b"dinner  ready", b"dinner\xa0ready", False),
        "nel": (b"ready?\r\n", b"ready?\x85\r\n", False),
        "ff-end": (b"ready?\r\n", b"ready?\x0c\r\n", False),
        "separator": (b"ready?\r\n", b"ready?\x1e\r\n", False),
    }
    for label, (old, new, hidden) in changes.items():
        statement = 51 if hidden else 52
        yield one(
            f"header-{label}-relaxed",
            statement,
            PASS if hidden else FAIL,
            "relaxed hides white space only",
            mutate=swap(old, new),
        )
        yield one(
            f"header-{label}-simple",
            50,
            FAIL,
            "simple hides nothing",
            tags(c=b"simple/simple"),
            mutate=swap(old, new),
        )


def _header_shapes() -> Iterator[Case]:
    shapes = {
        "empty": b"X-A:\r\n",
        "blank": b"X-A: \t \r\n",
        "blank-fold": b"X-A:\r\n \r\n",
        "blank-folds": b"X-A: a\r\n \r\n\t\r\n b\r\n",
        "obsolete": b"X-A : v\r\n",
        "obsolete-tab": b"X-A\t \t: v\r\n",
        "vt": b"X-A: \x0bvt\x0c \r\n",
        "separators": b"X-A: \x1c\x1d\x1e\x1f\x85\xa0 x\r\n",
        "nul": b"X-A: a\x00b\r\n",
        "latin1": b"X-A: caf\xe9 \xff\xfe\r\n",
        "utf8": "X-A: žluťoučký  kůň\r\n".encode(),
        "colons": b"X-A: a:b : c\r\n",
        "only-colon": b"X-A::\r\n",
        "mixed-case": b"x-A: V\r\n",
        "tabs": b"X-A:\t\ta\t\tb\t\r\n",
        "long": b"X-A: " + b"word  " * 8000 + b"\r\n",
        "long-fold": b"X-A: a" + b"\r\n  b" * 4000 + b"\r\n",
        "fold-of-crlf-look": b"X-A: a\\r\\n b\r\n",
    }
    for label, field in shapes.items():
        statement = (
            53 if "obsolete" in label else 59 if "blank" in label or label == "empty" else 58
        )
        for way in (b"simple", b"relaxed"):
            # A NUL is not RFC 5322; RFC 6376 section 3.8 lets a verifier refuse such a message.
            yield one(
                f"shape-{label}-{way.decode()}",
                statement,
                choice("pass permerror") if label == "nul" else PASS,
                "octets as they are",
                tags(h=_ALL, c=way),
                message=_with(field),
            )
    kelvin = "X-\u212a: v\r\n".encode()
    yield one(
        "name-kelvin",
        136,
        choice("pass permerror"),
        "lower-casing a name is ASCII only",
        tags(h=b"from:to:x-k"),
        message=_with(kelvin),
        fields=(b"from", b"to"),
    )


def _instances() -> Iterator[Case]:
    two = b"X-A: one\r\nX-A: two\r\n"
    for way in (b"simple", b"relaxed"):
        label = way.decode()
        yield one(
            f"bottom-first-{label}", 54, PASS, "", tags(h=b"from:x-a", c=way), message=_with(two)
        )
        yield one(
            f"bottom-first-added-above-{label}",
            54,
            PASS,
            "an instance above the signed ones is unsigned",
            tags(h=b"from:x-a", c=way),
            message=_with(two),
            mutate=lambda m: b"X-A: zero\r\n" + m,
        )
        yield one(
            f"bottom-first-added-below-{label}",
            54,
            FAIL,
            "an instance below takes the place",
            tags(h=b"from:x-a", c=way),
            message=_with(two),
            mutate=swap(b"X-A: two\r\n", b"X-A: two\r\nX-A: three\r\n"),
        )
        yield one(
            f"bottom-first-swapped-{label}",
            54,
            FAIL,
            "two instances changed places",
            tags(h=b"from:x-a:x-a", c=way),
            message=_with(two),
            mutate=swap(two, b"X-A: two\r\nX-A: one\r\n"),
        )
        yield one(
            f"order-of-names-{label}",
            55,
            PASS,
            "the order of different names does not matter",
            tags(c=way),
            mutate=swap(
                b"From: Joe <joe@example.com>\r\nTo: Suzie Q <suzie@example.net>\r\n",
                b"To: Suzie Q <suzie@example.net>\r\nFrom: Joe <joe@example.com>\r\n",
            ),
        )
        yield one(
            f"other-fields-added-{label}",
            56,
            PASS,
            "unsigned fields may come and go",
            tags(c=way),
            mutate=lambda m: b"Received: by x\r\nX-Spam: no\r\n" + m,
        )
        yield one(
            f"signature-field-changed-{label}",
            56,
            FAIL,
            "the DKIM-Signature itself is signed",
            tags(c=way, extra=b"n=abc"),
            mutate=swap(b"n=abc", b"n=abd"),
        )
        yield one(
            f"signature-field-tag-added-{label}",
            57,
            FAIL,
            "only the value of b= is left out",
            tags(c=way),
            mutate=swap(b"v=1; ", b"v=1; n=x; "),
        )
    yield one(
        "signature-refolded-simple",
        57,
        FAIL,
        "",
        tags(c=b"simple"),
        mutate=swap(b"v=1; a", b"v=1;  a"),
    )
    yield one("signature-refolded-relaxed", 57, PASS, "", mutate=swap(b"v=1; a", b"v=1; \t a"))
    for way in (b"simple", b"relaxed"):
        yield one(
            f"b-rewrapped-{way.decode()}",
            57,
            PASS,
            "white space inside b= is part of its value",
            tags(c=way),
            data=lambda s: b"\r\n\t ".join(_pieces(s)),
        )


def _pieces(signature: bytes) -> list[bytes]:
    text = base64.b64encode(signature)
    return [text[n : n + 19] for n in range(0, len(text), 19)]


def _not_messages() -> Iterator[Case]:
    opaque = choice("pass fail permerror")
    shapes: dict[str, Callable[[bytes], bytes]] = {
        "no-colon": lambda m: m.replace(b"To:", b"garbage line\r\nTo:", 1),
        "mbox-from": lambda m: b"From joe Mon Jan  1 12:00:00 2024\r\n" + m,
        "first-continuation": lambda m: b" continued\r\n" + m,
        "first-tab": lambda m: b"\tcontinued\r\n" + m,
        "empty-name": lambda m: b": no name\r\n" + m,
        "space-name": lambda m: b"two words: x\r\n" + m,
        "utf8-name": lambda m: "nám: x\r\n".encode() + m,
        "nul-name": lambda m: b"a\x00b: x\r\n" + m,
        "many-colons": lambda m: b":::\r\n" + m,
    }
    for label, change in shapes.items():
        yield one(f"not-5322-{label}", 60, opaque, "never a crash", mutate=change)
    refused: dict[str, Callable[[bytes], bytes]] = {
        "bare-lf": lambda m: m.replace(
            b"Message-ID:", b"X-A: a\nFrom: eve@example.org\r\nMessage-ID:"
        ),
        "bare-cr": lambda m: m.replace(
            b"Message-ID:", b"X-A: a\rFrom: eve@example.org\r\nMessage-ID:"
        ),
        "bare-lf-end": lambda m: m.replace(b"<1@example.com>\r\n", b"<1@example.com>\n"),
        "cr-cr-lf": lambda m: m.replace(b"<1@example.com>\r\n", b"<1@example.com>\r\r\n"),
    }
    for label, change in refused.items():
        yield one(
            f"not-5322-{label}", 60, choice("permerror"), "no hidden second From", mutate=change
        )
    yield one(
        "no-body-no-gap", 60, PASS, "a header without the empty line", message=_HEAD + b"\r\n"
    )
    yield one(
        "no-body-no-crlf",
        60,
        choice("pass fail permerror"),
        "the last field lacks its CRLF",
        message=_HEAD,
    )
    yield one(
        "only-lf", 66, choice("permerror none"), "", mutate=lambda m: m.replace(b"\r\n", b"\n")
    )
    yield one("truncated", 60, FAIL, "cut in the body", mutate=lambda m: m[:-20])
    yield raw(
        "truncated-in-signature",
        60,
        (PERM,),
        "cut in the DKIM-Signature",
        lambda: signed()[:60],
    )


_BODIES = {
    "empty": b"",
    "one-crlf": b"\r\n",
    "crlfs": b"\r\n" * 9,
    "space-line": b" \r\n",
    "blank-lines": b" \r\n\t\r\n \t \r\n",
    "blank-then-empty": b"a\r\n \r\n\t\r\n\r\n",
    "no-final-crlf": b"one\r\ntwo",
    "no-final-crlf-blank": b"one\r\ntwo \t",
    "last-blank-no-crlf": b"one\r\n \t",
    "only-blank-no-crlf": b" \t ",
    "only-space": b" ",
    "trailing-empty": b"one\r\n\r\n\r\n\r\n",
    "leading-empty": b"\r\n\r\none\r\n",
    "leading-blank": b"  one\r\n\t\ttwo\r\n \tthree\r\n",
    "trailing-blank": b"one  \r\ntwo\t\r\nthree \t \r\n",
    "inner-blank": b"a  b\tc \t d\r\n",
    "one-octet": b"x",
    "vt-ff": b"\x0b\r\na\x0b\x0c b \x0b\r\n\x0c\r\n",
    "nul": b"a\x00b\r\n\x00\r\n",
    "eight-bit": bytes(range(128, 256)) + b"\r\n",
    "separators": b"\x1c \x1d\t\x1e  \x1f\x85\xa0 \r\n\xa0\r\n\x85\r\n",
    "dots": b".\r\n..\r\n.x\r\n",
    "from-line": b"From x\r\n>From y\r\n",
    "bare-cr": b"a\rb\r\r\nc \r\nd\r",
    "cr-end": b"a\r\n\r",
    "utf8": "žluťoučký  kůň \r\n".encode(),
    "long-line": b"word  " * 3000 + b"\r\n",
    "space-before-empty": b"a \r\n\r\n \r\nb\r\n",
    "ff-last": b"a\r\n\x0c\r\n",
    "crlf-space-crlf": b"\r\n \r\n",
}


def _bodies() -> Iterator[Case]:
    for label, body in _BODIES.items():
        for way in (b"simple", b"relaxed"):
            statement = 66 if label in ("vt-ff", "nul", "eight-bit", "bare-cr", "cr-end") else 61
            statement = 63 if "blank" in label and way == b"relaxed" else statement
            yield one(
                f"body-{label}-{way.decode()}",
                statement,
                PASS,
                "the body is octets",
                tags(c=b"relaxed/" + way),
                message=_HEAD + b"\r\n\r\n" + body,
            )
    for label, body in {"lf": b"one\ntwo \n\n\n", "mixed": b"one\r\ntwo\nthree  \r\n"}.items():
        for way in (b"simple", b"relaxed"):
            yield one(
                f"body-{label}-{way.decode()}",
                66,
                choice("pass fail permerror"),
                "bare LF: a library must say whether it converts",
                tags(c=b"relaxed/" + way),
                message=_HEAD + b"\r\n\r\n" + body,
            )


def _body_changes() -> Iterator[Case]:
    changes: dict[str, tuple[Callable[[bytes], bytes], str]] = {
        "empty-lines-added": (lambda m: m + b"\r\n\r\n", "both"),
        "blank-line-added": (lambda m: m + b" \r\n", "relaxed"),
        "final-crlf-cut": (lambda m: m[:-2], "both"),
        "line-end-space": (swap(b"Hi.\r\n", b"Hi. \r\n"), "relaxed"),
        "space-widened": (swap(b"the  game", b"the \t game"), "relaxed"),
        "space-narrowed": (swap(b"the  game", b"the game"), "relaxed"),
        "space-removed": (swap(b"the  game", b"thegame"), "none"),
        "indented": (swap(b"Hi.", b" Hi."), "none"),
        "letter": (swap(b"Hi.", b"hi."), "none"),
        "line-removed": (swap(b"\r\n\r\nJoe.", b"\r\nJoe."), "none"),
        "line-added": (lambda m: m + b"advert\r\n", "none"),
        "stuffed": (swap(b"Joe.", b".Joe."), "none"),
        "nbsp": (swap(b"the  game", b"the\xa0 game"), "none"),
        "vt-end": (swap(b"Hi.\r\n", b"Hi.\x0b\r\n"), "none"),
        "empty-line-inside": (swap(b"Hi.\r\n", b"Hi.\r\n\r\n"), "none"),
        "all-removed": (lambda m: m.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", "none"),
    }
    for label, (change, hidden) in changes.items():
        for way in ("simple", "relaxed"):
            verdict = PASS if hidden in ("both", way) else FAIL
            yield one(
                f"body-change-{label}-{way}",
                61 if way == "simple" else 62,
                verdict,
                "what canonicalization hides, and what not",
                tags(c=b"relaxed/" + way.encode()),
                mutate=change,
            )
    for way, verdict in (("simple", FAIL), ("relaxed", FAIL)):
        yield one(
            f"body-leading-blank-cut-{way}",
            65,
            verdict,
            "leading white space is reduced, not removed",
            tags(c=b"relaxed/" + way.encode()),
            message=_HEAD + b"\r\n\r\n  one\r\n",
            mutate=swap(b"  one", b"one"),
        )
    yield one(
        "body-space-line-cut-simple",
        64,
        FAIL,
        "a line of one space is not empty",
        tags(c=b"relaxed/simple"),
        message=_HEAD + b"\r\n\r\none\r\n \r\n",
        mutate=swap(b"one\r\n \r\n", b"one\r\n\r\n"),
    )
    yield one(
        "body-null-hash-simple",
        61,
        FAIL_OR_PERM,
        "",
        tags(c=b"relaxed/simple", bh=_EMPTY_RELAXED),
        message=_HEAD + b"\r\n\r\n",
    )
    yield one(
        "body-null-hash-relaxed", 62, PASS, "", tags(bh=_EMPTY_RELAXED), message=_HEAD + b"\r\n\r\n"
    )
    yield one(
        "body-crlf-hash-simple",
        61,
        PASS,
        "",
        tags(c=b"relaxed/simple", bh=_EMPTY_SIMPLE),
        message=_HEAD + b"\r\n\r\n",
    )
    yield one(
        "body-crlf-hash-relaxed", 62, FAIL, "", tags(bh=_EMPTY_SIMPLE), message=_HEAD + b"\r\n\r\n"
    )


_EMPTY_SIMPLE = b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="
_EMPTY_RELAXED = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def _large_bodies() -> Iterator[Case]:
    large: dict[str, Callable[[], bytes]] = {
        "10mb-spaces": lambda: b" " * 10_000_000 + b"\r\n",
        "10mb-spaces-x": lambda: b" " * 10_000_000 + b"x\r\n",
        "10mb-line": lambda: b"x" * 10_000_000,
        "300k-empty-lines": lambda: b"\r\n" * 300_000,
        "300k-empty-lines-x": lambda: b"\r\n" * 300_000 + b"x\r\n",
        "200k-blank-lines": lambda: b" \t\r\n" * 200_000,
        "200k-blank-lines-x": lambda: b" \t\r\n" * 200_000 + b"x",
        "5mb-space-letter": lambda: b"a " * 2_500_000 + b"\r\n",
        "3mb-tabs-lines": lambda: b"\t\t \r\nx\r\n" * 400_000,
        "5mb-cr": lambda: b"\r" * 5_000_000,
    }
    for label, body in large.items():
        for way in (b"simple", b"relaxed"):
            yield one(
                f"large-{label}-{way.decode()}",
                70,
                PASS,
                "linear time",
                tags(c=b"relaxed/" + way),
                message=lambda body=body: _HEAD + b"\r\n\r\n" + body(),
                heavy=True,
            )
