"""The accelerator and the Python code do the same with arbitrary bodies and headers."""

from __future__ import annotations

from tests.fuzz.driver import instrument, run

with instrument():
    from dkimcore.protocol.speedups import compiled
    from tests.properties.choices import OctetChoices
    from tests.speedups import same


def check(data: bytes) -> None:
    if compiled is None:
        raise RuntimeError("the accelerator was not built")
    choices = OctetChoices(data)
    cuts = [choices.integer(0, 65_535) for _ in range(choices.integer(0, 8))]
    octets = same.hostile(choices) if choices.integer(0, 1) else choices.rest()
    same.bodies_are(compiled, octets, cuts)
    same.headers_are(compiled, octets)


if __name__ == "__main__":
    run("speedups", check, octets=1024)
