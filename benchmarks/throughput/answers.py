"""What a filter answers to a message, and whether it is what the message must get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.throughput.packets import CONTINUE

if TYPE_CHECKING:
    from benchmarks.throughput.packets import Flight

__all__ = ["PROGRESS", "SKIP", "Answer", "Failed", "Witness", "read_answer"]

SKIP, PROGRESS = b"\0\0\0\1s", b"\0\0\0\1p"
_ACCEPTED = (b"c", b"a")
_CHANGES = frozenset(b"ihmp")


class Failed(Exception):
    """A message was refused, not answered, or not treated as it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What must be among a filter's changes.

    Attributes:
        name: The header field that is set.
        text: What its value contains.
    """

    name: bytes
    text: bytes


Answer = bytes
"""The packets of a decision: the changes and the final answer."""


def read_answer(octets: bytes, flight: Flight, witness: Witness) -> Answer | None:
    """Checks the answers to a flight with the decision in it.

    Args:
        octets: What has come so far.
        flight: What was sent.
        witness: What must be among the changes.

    Returns:
        The decision's packets; None: more must come.

    Raises:
        Failed: It is not what it must be.
    """
    expected = flight.expected
    count = len(expected)
    if not (octets.startswith(expected) or expected.startswith(octets)):
        octets = _plain(octets)
        if not (octets.startswith(expected) or expected.startswith(octets)):
            raise Failed(f"answered {octets[:200]!r}")
    if len(octets) <= count:
        return None
    position, seen = count, False
    while position + 5 <= len(octets):
        length = int.from_bytes(octets[position : position + 4], "big")
        command, start = octets[position + 4], position + 5
        position += 4 + length
        if position > len(octets):
            return None
        if command in _CHANGES:
            packet = octets[start:position]
            seen = seen or (witness.name + b"\0" in packet and witness.text in packet)
        elif bytes([command]) not in _ACCEPTED or position != len(octets):
            raise Failed(f"answered {octets[count:][:200]!r}")
        elif not seen:
            raise Failed(f"no {witness.name!r} with {witness.text!r}: {octets[count:][:400]!r}")
        else:
            return octets[count:]
    return None


def _plain(octets: bytes) -> bytes:
    """SKIP is a way to say CONTINUE, and progress is no answer."""
    return octets.replace(PROGRESS, b"").replace(SKIP, CONTINUE)
