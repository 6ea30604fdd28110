"""Canonicalizes arbitrary bodies and headers: chunks, the whole and the model agree.

Invariants 1 and 2 of the design. In Python, whose branches guide the fuzzer; `fuzz_speedups`
compares the accelerator with it.
"""

from __future__ import annotations

import os

from tests.fuzz.driver import instrument, run

os.environ["DKIMCORE_NO_SPEEDUPS"] = "1"
with instrument():
    from tests.properties import hostile, invariants
    from tests.properties.choices import OctetChoices


def check(data: bytes) -> None:
    choices = OctetChoices(data)
    cuts = [choices.integer(0, 65_535) for _ in range(choices.integer(0, 8))]
    octets = hostile.body(choices) if choices.integer(0, 1) else choices.rest()
    invariants.body_canonicalization_is_that_of_the_rfc(octets, cuts)
    invariants.white_space_is_reduced_as_the_rfc_says(octets)
    invariants.field_canonicalization_is_that_of_the_rfc(octets)


if __name__ == "__main__":
    run("canonical", check, octets=1024)
