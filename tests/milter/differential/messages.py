"""The mail that is given to both filters, plain and signed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.cases.keys import SHA1_INFO, ed, rsa
from tests.cases.signing import How, signature_field, tags

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.milterclient import Delivery

__all__ = ["PLAIN", "arriving", "field", "message", "sender", "signed", "with_macros"]

BODY = b"Hello,\r\n\r\nthis is  a  body. \t\r\n\r\nBye\r\n\r\n"
PAST = b"1700000000"
FUTURE = b"4102444800"


def message(
    *extra: bytes,
    author: bytes | None = b"Joe <joe@example.com>",
    body: bytes = BODY,
) -> bytes:
    """An ordinary message.

    Args:
        extra: More fields, on top.
        author: The From field; None leaves it out.
        body: Its body.
    """
    fields = [
        *extra,
        *([b"From: " + author] if author is not None else []),
        b"To: Suzie <suzie@example.net>",
        b"Subject: dinner",
        b"Date: Mon, 1 Jan 2024 12:00:00 +0000",
        b"Message-ID: <1@example.com>",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=us-ascii",
    ]
    return b"\r\n".join(fields) + b"\r\n\r\n" + body


PLAIN = message()


def sender(address: str) -> bytes:
    """An ordinary message from this address."""
    return message(author=address.encode())


def signed(
    plain: bytes = PLAIN,
    *,
    then: Callable[[bytes], bytes] | None = None,
    key: str = "2048",
    limit: int | None = None,
    field: bytes = b"DKIM-Signature: ",
    extra: bytes = b"",
    last: bytes = b"",
    **change: bytes | None,
) -> bytes:
    """A message with a signature of example.com on top.

    Args:
        plain: The message.
        then: What happens to it on its way.
        key: The name of the RSA key, or ``ed``, or ``sha1``.
        limit: How much of the body is hashed.
        field: The name of the field and what follows it.
        extra: A tag before bh=.
        last: What follows b=.
        change: Values of tags; None leaves the tag out.
    """
    if key == "ed":
        change.setdefault("a", b"ed25519-sha256")
        change.setdefault("s", b"ed")
    value = tags(extra=extra, last=last, **change)
    how = How(value=value, field=field, limit=limit)
    if key == "ed":
        how = replace(how, sign=ed().sign)
    elif key == "sha1":
        how = replace(how, digest="sha1", sign=lambda data: rsa().sign(data, SHA1_INFO, "sha1"))
    else:
        how = replace(how, sign=rsa(key).sign)
    whole = signature_field(plain, how) + b"\r\n" + plain
    return whole if then is None else then(whole)


def arriving(*results: bytes) -> bytes:
    """A signed message with Authentication-Results fields of somebody else on top."""
    top = b"".join(b"Authentication-Results: " + text + b"\r\n" for text in results)
    return top + signed()


def field(name: bytes, value: bytes) -> Callable[[bytes], bytes]:
    """Puts a field on top."""
    return lambda whole: name + b": " + value + b"\r\n" + whole


def with_macros(delivery: Delivery, **macros: str) -> Delivery:
    """The same circumstances, with macros: ``auth_type="PLAIN"``."""
    return replace(delivery, macros={f"{{{name}}}": value for name, value in macros.items()})
