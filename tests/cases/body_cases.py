"""Statements 61 to 70: body canonicalization and what it hides (RFC 6376 section 3.4.3, 3.4.4)."""

from collections.abc import Callable, Iterator

from .build import one, swap
from .model import FAIL, FAIL_OR_PERM, PASS, Case, choice
from .signing import MESSAGE, tags

_HEAD = MESSAGE.partition(b"\r\n\r\n")[0]


def cases() -> Iterator[Case]:
    """Every body case."""
    yield from _bodies()
    yield from _body_changes()
    yield from _large_bodies()


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
        "an empty body is one CRLF",
        tags(c=b"relaxed/simple", bh=_EMPTY_RELAXED),
        message=_HEAD + b"\r\n\r\n",
    )
    yield one(
        "body-null-hash-relaxed",
        62,
        PASS,
        "an empty body is nothing",
        tags(bh=_EMPTY_RELAXED),
        message=_HEAD + b"\r\n\r\n",
    )
    yield one(
        "body-crlf-hash-simple",
        61,
        PASS,
        "an empty body is one CRLF",
        tags(c=b"relaxed/simple", bh=_EMPTY_SIMPLE),
        message=_HEAD + b"\r\n\r\n",
    )
    yield one(
        "body-crlf-hash-relaxed",
        62,
        FAIL,
        "an empty body is nothing",
        tags(bh=_EMPTY_SIMPLE),
        message=_HEAD + b"\r\n\r\n",
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
