"""A message as an MTA hands it to a filter, and as Postfix has it after the changes.

Postfix's rules: ``src/milter/milter8.c`` and ``src/cleanup/cleanup_milter.c`` of its
source.  Field values use LF inside; the body uses CRLF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.milterwire import AddField, ChangeField, InsertField, ReplaceBody

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.servers.milterwire import Change

__all__ = ["apply_changes", "split_message"]


def split_message(message: bytes) -> tuple[list[bytes], bytes, bytes]:
    """Takes a message apart.

    Args:
        message: The message; lines end with CRLF or LF.

    Returns:
        Its fields with CRLF inside and without the last one, the octets between header
        and body, and the body with CRLF.  A line that is no field ends the header, and
        begins the body, as in Postfix.
    """
    lines = message.replace(b"\r\n", b"\n").split(b"\n")
    fields: list[bytes] = []
    for number, line in enumerate(lines):
        if fields and line[:1] in (b" ", b"\t"):
            fields[-1] += b"\r\n" + line
        elif _is_field(line):
            fields.append(line)
        elif line:
            return fields, b"\r\n\r\n", b"\r\n".join(lines[number:])
        else:
            body = lines[number + 1 :]
            if number == len(lines) - 1:  # the message ends with its header
                return fields, b"\r\n", b""
            return fields, b"\r\n\r\n", b"\r\n".join(body)
    return fields, b"\r\n", b""


def _is_field(line: bytes) -> bool:
    name = line.partition(b":")[0].rstrip(b" \t")
    return b":" in line and bool(name) and all(0x20 < octet != 0x7F for octet in name)


def apply_changes(
    message: bytes,
    changes: Iterable[Change],
    *,
    leading_space: bool,
    hidden: Sequence[bytes] = (),
) -> bytes:
    """Changes a message as Postfix does.

    Args:
        message: As it was handed over.
        changes: What the filter wants, in its order.
        leading_space: Whether values carry the white space behind the colon
            (SMFIP_HDR_LEADSPC); else one blank is set.
        hidden: Fields of Postfix's own on top, which filters do not see: Received.  They
            count where fields are inserted, but not where they are changed.

    Returns:
        The message with CRLF, the hidden fields included.
    """
    fields, separator, body = split_message(message)
    own = len(hidden)
    fields = [*hidden, *fields]
    blank = b"" if leading_space else b" "
    replaced: list[bytes] = []
    for change in changes:
        match change:
            case InsertField(index, name, value):
                fields.insert(min(index, len(fields)), _field(name, blank, value))
                own += index < own
            case AddField(name, value):
                fields.append(_field(name, blank, value))
            case ChangeField(index, name, value):
                _change(fields, own, change, _field(name, blank, value) if value else None)
            case ReplaceBody(chunk):
                replaced.append(chunk)
            case _:
                pass  # the envelope's business
    if replaced:
        body = b"".join(replaced)
    return b"\r\n".join(fields) + separator + body


def _field(name: bytes, blank: bytes, value: bytes) -> bytes:
    return name + b":" + blank + value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _change(fields: list[bytes], own: int, change: ChangeField, new: bytes | None) -> None:
    """Changes or deletes the n-th field of a name; one too many is appended, if it is new."""
    wanted = max(change.index, 1)  # Postfix takes 0 for 1
    for place, field in enumerate(fields):
        if _name(field) != change.name.lower() or place == own - 1:
            continue
        wanted -= 1
        if wanted == 0:
            fields[place : place + 1] = [] if new is None else [new]
            return
    if new is not None:
        fields.append(new)


def _name(field: bytes) -> bytes:
    return field.partition(b":")[0].rstrip(b" \t").lower()
