"""Parses arbitrary tag-lists, signatures, key records, A-R fields and names.

Invariant 3 of the design (what was parsed survives printing), and no exception but the
one each parser documents. The first octet chooses the parser, the second whether the
rest is raw octets or choices of `hostile`.
"""

from __future__ import annotations

from tests.fuzz.driver import instrument, run

with instrument():
    from tests.properties import hostile, invariants
    from tests.properties.choices import OctetChoices


def check_authres(octets: bytes) -> None:
    invariants.forgeries_are_found_and_cannot_be_injected(octets, "mx.example.net")


PARSERS = (
    (invariants.tag_list_survives_printing, hostile.signature_value),
    (invariants.signature_survives_printing, hostile.signature_value),
    (invariants.key_record_survives_printing, hostile.key_record),
    (
        check_authres,
        lambda choices: hostile.authentication_results(choices, b"mx.example.net"),
    ),
    (invariants.names_are_refused_or_kept, hostile.domain),
    (invariants.quoted_printable_survives_printing, hostile.quoted_printable),
)


def check(data: bytes) -> None:
    choices = OctetChoices(data)
    parse, make = choices.one_of(PARSERS)
    parse(make(choices) if choices.integer(0, 1) else choices.rest())


if __name__ == "__main__":
    run("parsers", check, octets=1024)
