"""Talks to the milter as MTAs do, and as none should: one verdict a message, whole packets back.

`tests.milter.talks` has whole connections; the input chooses one and what is done to it: packets
are dropped, said twice, exchanged, spoilt, put in from elsewhere. A quarter of the inputs are
said as they are, octet for octet. `Talker` checks each answer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.fuzz.driver import instrument, run

with instrument():
    from tests.milter import mad, talks
    from tests.properties import hostile
    from tests.properties.choices import OctetChoices
    from tests.servers.milterwire import pack

FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-conversation-")
ENGINES = []
LETTERS = [letter.encode() for letter in "ABCDEHKLMNOQRTU"]
REPORTED = 100_000
steps = 0


def load() -> None:
    """Load each site once."""
    for number in range(mad.WAITING + 1):
        folder = Path(FOLDER.name, str(number))
        folder.mkdir()
        ENGINES.append(mad.load(folder, number))


def odd_packet(choices: OctetChoices) -> bytes:
    """A packet that no MTA sends, or not there."""
    match choices.integer(0, 7):
        case 0 | 1:
            name, _, value = hostile.header_field(choices).partition(b":")
            return pack(b"L", name + b"\0" + value + b"\0")
        case 2:
            return pack(b"L", b"DKIM-Signature\0 " + hostile.signature_value(choices) + b"\0")
        case 3:
            return pack(b"O", choices.one_of(talks.NEGOTIATIONS))
        case 4:
            return pack(b"B", hostile.body(choices, 3))
        case 5:
            return pack(b"D", choices.one_of(LETTERS) + choices.octets(30))
        case 6:
            return pack(choices.one_of(LETTERS), choices.octets(30))
        case _:
            return pack(choices.octets(1) or b"x", choices.octets(30))


def spoilt(packet: bytes, choices: OctetChoices) -> bytes:
    """A packet with other octets in its data, and the length that fits."""
    data = bytearray(packet[5:])
    at = choices.integer(0, len(data))
    data[at : at + choices.integer(0, 4)] = choices.octets(8)
    return pack(packet[4:5], bytes(data))


def changed(packets: list[bytes], choices: OctetChoices) -> list[bytes]:
    """A connection after some changes."""
    for _ in range(choices.integer(0, 8)):
        at = choices.integer(0, len(packets))
        to = min(len(packets), at + choices.integer(1, 12))
        match choices.integer(0, 7):
            case 0:
                del packets[at:to]
            case 1:
                packets[at:at] = packets[at:to]
            case 2:
                packets[at:to] = reversed(packets[at:to])
            case 3:
                packets[at:] = choices.one_of(talks.TALKS)[choices.integer(0, 12) :]
            case 4 | 5:
                packets[at:at] = [odd_packet(choices)]
            case _:
                packets[at : at + 1] = [spoilt(each, choices) for each in packets[at : at + 1]]
        if not packets:
            break
    return packets[:400]


def check(data: bytes) -> None:
    global steps
    choices = OctetChoices(data)
    engine = ENGINES[choices.integer(0, len(ENGINES) - 1)]
    talker = talks.Talker(engine)
    if choices.integer(0, 3) == 3:
        size = choices.integer(1, 64)
        stream = choices.rest()
        for at in range(0, len(stream), size):
            if not talker.is_over:
                talker.hear(stream[at : at + size])
    else:
        for packet in changed(list(choices.one_of(talks.TALKS)), choices):
            if not talker.is_over:
                talker.say(packet, cut=choices.integer(0, len(packet)))
    talker.close()
    before = steps
    steps += talker.steps
    if steps // REPORTED > before // REPORTED:
        print(f"{steps} packets", file=sys.stderr)


if __name__ == "__main__":
    load()
    run("conversation", check, octets=2048)
