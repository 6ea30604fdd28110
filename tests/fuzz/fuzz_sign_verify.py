"""Signs messages, verifies them, changes them: invariants 4 and 5 of the design.

What is signed passes; what was changed afterwards passes only where canonicalization
hides the change from a naive model of the RFC.
"""

from __future__ import annotations

from tests.fuzz.driver import instrument, run

with instrument():
    from dkimcore.errors import MessageError
    from tests.properties import hostile, invariants, signing
    from tests.properties.choices import OctetChoices


def check(data: bytes) -> None:
    choices = OctetChoices(data)
    changes = [signing.change(choices) for _ in range(choices.integer(1, 4))]
    order = signing.order(choices)
    message = signing.honest_message(choices)
    if choices.integer(0, 15) == 15:
        message = hostile.message(choices)
    try:
        signed = signing.sign(message, order)
    except MessageError:
        return  # a From field too few or too many, or a bare CR or LF
    for make in changes:
        changed = make(signed.octets)
        invariants.a_changed_message_passes_only_if_canonicalization_hides_the_change(
            signed, changed
        )


if __name__ == "__main__":
    run("sign_verify", check, octets=1024)
