"""Statements 50 to 60: header fields, and messages that are none (RFC 6376 section 3.4.2)."""

import base64
from collections.abc import Callable, Iterator

from .build import one, raw, swap
from .model import FAIL, PASS, PERM, Case, choice
from .signing import MESSAGE, signed, tags

_HEAD, _, _BODY = MESSAGE.partition(b"\r\n\r\n")
_ALL = b"from:to:subject:date:x-a"


def cases() -> Iterator[Case]:
    """Every such case."""
    yield from _header_changes()
    yield from _header_shapes()
    yield from _instances()
    yield from _not_messages()


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
            f"bottom-first-{label}",
            54,
            PASS,
            "the last instance is taken first",
            tags(h=b"from:x-a", c=way),
            message=_with(two),
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
        "white space in the DKIM-Signature",
        tags(c=b"simple"),
        mutate=swap(b"v=1; a", b"v=1;  a"),
    )
    yield one(
        "signature-refolded-relaxed",
        57,
        PASS,
        "white space in the DKIM-Signature",
        mutate=swap(b"v=1; a", b"v=1; \t a"),
    )
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
        "only-lf",
        66,
        choice("permerror none"),
        "a message with LF line ends",
        mutate=lambda m: m.replace(b"\r\n", b"\n"),
    )
    yield one("truncated", 60, FAIL, "cut in the body", mutate=lambda m: m[:-20])
    yield raw(
        "truncated-in-signature",
        60,
        (PERM,),
        "cut in the DKIM-Signature",
        lambda: signed()[:60],
    )
