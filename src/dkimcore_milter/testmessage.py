"""A message of test mode (-t), read from a file as an MTA would hand it over.

Lines may end in LF, as in a local store; StrictTestMode wants CRLF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["InputMessage", "MalformedMessage", "read_message"]

_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")  # RFC 5322 section 2.2; the obsolete form of 4.5, too


class MalformedMessage(Exception):
    """The input is no message.

    Args:
        problem: What is wrong.
        line: Where, counted from 1.
    """

    def __init__(self, problem: str, *, line: int) -> None:
        super().__init__(f"line {line}: {problem}")


class _Field(NamedTuple):
    """A header field as a milter gets it.

    Attributes:
        line: The line it begins in, counted from 1.
        name: Its name.
        value: The octets behind the colon, folds as CRLF.
    """

    line: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InputMessage:
    """A message.

    Attributes:
        fields: Its header fields.
        body: Its body, with CRLF.
    """

    fields: tuple[_Field, ...]
    body: bytes


def read_message(octets: bytes, *, strict: bool) -> InputMessage:
    """Divide a message into what a milter is given.

    Args:
        octets: The message.
        strict: Whether each line must end in CRLF (StrictTestMode).

    Raises:
        MalformedMessage: A line of the header is no field, or ends in LF where it must not.
    """
    lines = octets.split(b"\n")
    if not lines[-1]:
        lines.pop()
    elif strict:
        raise MalformedMessage("not CRLF-terminated", line=len(lines))
    if strict:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\r"):
                raise MalformedMessage("not CRLF-terminated", line=number)
    lines = [line.removesuffix(b"\r") for line in lines]
    end = lines.index(b"") if b"" in lines else len(lines)
    body = b"".join(line + b"\r\n" for line in lines[end + 1 :])
    return InputMessage(_fields(lines[:end]), body)


def _fields(lines: list[bytes]) -> tuple[_Field, ...]:
    fields: list[tuple[int, bytes, list[bytes]]] = []
    for number, line in enumerate(lines, 1):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][2].append(line)
            continue
        match = _NAME.match(line)
        if match is None:
            raise MalformedMessage("header malformed", line=number)
        fields.append((number, match[1], [line[match.end() :]]))
    return tuple(_Field(number, name, b"\r\n".join(value)) for number, name, value in fields)
