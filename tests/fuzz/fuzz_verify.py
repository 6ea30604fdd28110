"""Verifies arbitrary messages with arbitrary key records: never raises, never passes.

Invariants 1 and 6 of the design. The first octet decides whether the rest is read as
raw octets (message, a NUL-divided list of TXT records) or as choices of `hostile`.
"""

from __future__ import annotations

from tests.fuzz.driver import instrument, run

with instrument():
    from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
    from tests.properties import hostile, invariants
    from tests.properties.choices import OctetChoices


def check(data: bytes) -> None:
    choices = OctetChoices(data)
    cuts = [choices.integer(0, 65_535) for _ in range(choices.integer(0, 4))]
    limit = choices.integer(20, 400)
    if choices.integer(0, 3) == 0:
        records, _, message = choices.rest().partition(b"\n\n\n")
        answer = TxtAnswer(TxtStatus.FOUND, tuple(records.split(b"\n\n")))
        invariants.nothing_raises_and_nothing_passes(message, lambda _: answer, cuts)
    else:
        message = hostile.message(choices)
        invariants.nothing_raises_and_nothing_passes(
            message, lambda _: hostile.answer(choices), cuts
        )
    invariants.chunking_the_header_is_invisible(message, cuts, limit)


if __name__ == "__main__":
    run("verify", check, octets=2048)
