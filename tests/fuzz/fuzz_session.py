"""Makes any calls of the milter's session in any order: nothing raises, one verdict a message.

`tests.milter.mad` checks each call. The first octet chooses the site; then each octet is a step.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.fuzz.driver import instrument, run

with instrument():
    from tests.milter import mad
    from tests.properties import hostile
    from tests.properties.choices import OctetChoices

FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-session-")
ENGINES = []
REPORTED = 100_000
steps = 0


def load() -> None:
    """Load each site once."""
    for number in range(mad.WAITING + 1):
        folder = Path(FOLDER.name, str(number))
        folder.mkdir()
        ENGINES.append(mad.load(folder, number))


def field(choices: OctetChoices) -> tuple[bytes, bytes]:
    kind = choices.integer(0, 7)
    if kind < 3:
        return choices.one_of(mad.FIELDS)
    if kind == 3:
        return b"DKIM-Signature", b" " + hostile.signature_value(choices)
    if kind == 4:
        return b"Authentication-Results", hostile.authentication_results(choices, b"mx.example.net")
    if kind == 5:
        name, _, value = hostile.header_field(choices).partition(b":")
        return name, value
    return choices.one_of(mad.NAMES), choices.octets(60)


def step(mta: mad.MadMta, choices: OctetChoices) -> None:
    """Make one call."""
    match choices.integer(0, 15):
        case 0 | 1 | 2:
            mta.eom()
        case 3:
            mta.mail(choices.one_of(mad.ADDRESSES))
        case 4:
            mta.rcpt(choices.octets(40) or choices.one_of(mad.ADDRESSES))
        case 5 | 6:
            mta.header(choices.one_of(mad.HEADERS))
        case 7 | 8 | 9:
            mta.header([field(choices)])
        case 10:
            mta.eoh(patient=True)
        case 11:
            mta.eoh(patient=False)
        case 12:
            mta.body(b"Are you hungry?\r\n")
        case 13:
            mta.body(hostile.body(choices, 3))
        case 14:
            mta.connect(choices.one_of(mad.PEERS))
        case _:
            mta.abort()
    mta.check_log()


def check(data: bytes) -> None:
    global steps
    choices = OctetChoices(data)
    engine = ENGINES[choices.integer(0, len(ENGINES) - 1)]
    mta = mad.MadMta(engine, {"i": "4Bq1", "j": "mx.example.net"})
    mta.connect(choices.one_of(mad.PEERS))
    while choices.left:
        step(mta, choices)
        steps += 1
        if steps % REPORTED == 0:
            print(f"{steps} steps", file=sys.stderr)
    mta.eom()
    mta.close()


if __name__ == "__main__":
    load()
    run("session", check, octets=256)
