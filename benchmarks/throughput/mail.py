"""The messages of the comparison: made once, and verified when a filter has signed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import messages
from benchmarks.contenders import DKIMPY, KeyPair, WrongAnswer
from benchmarks.throughput import packets
from tests.servers.miltermessage import apply_changes
from tests.servers.milterwire import Progress, Reply, Steps, parse_answer

if TYPE_CHECKING:
    from benchmarks.throughput.answers import Answer
    from benchmarks.throughput.generator import Script
    from benchmarks.throughput.scenario import Cell
    from tests.servers.milterwire import Change, Negotiated

__all__ = ["VARIANTS", "Mail", "changes"]

VARIANTS = 8  # messages in turn: a filter that remembered one would not be measured
_KEPT = 4  # scripts of one cell, for both filters; those of 1 MB are large


class Mail:
    """Messages that one key signs.

    Args:
        algorithm: ``rsa-sha256`` (2048 bits) or ``ed25519-sha256``.

    Attributes:
        pair: The key.
    """

    def __init__(self, algorithm: str) -> None:
        self.pair = KeyPair.make(algorithm)
        self._texts: dict[tuple[str, int], list[bytes]] = {}
        self._scripts: dict[tuple[str, int, str, Negotiated], list[Script]] = {}

    def texts(self, cell: Cell) -> list[bytes]:
        """The messages of a cell, signed where they are to be verified."""
        where = (cell.operation, cell.octets)
        if where not in self._texts:
            plain = messages.message("text", cell.octets)
            texts = [
                plain.replace(b"20261122095958.12345", b"20261122095958.%05d" % number)
                for number in range(VARIANTS)
            ]
            if cell.operation == "verify":
                texts = [self.pair.sign(text, "relaxed/relaxed") for text in texts]
            self._texts[where] = texts
        return self._texts[where]

    def scripts(self, cell: Cell, agreed: Negotiated) -> list[Script]:
        """The messages as they are sent to a filter that agreed on this."""
        what = (cell.operation, cell.octets, cell.style, agreed)
        if what not in self._scripts:
            if len(self._scripts) >= _KEPT:
                self._scripts.clear()
            make = packets.pipelined if cell.style == "pipelined" else packets.lock_step
            self._scripts[what] = [make(agreed, text) for text in self.texts(cell)]
        return self._scripts[what]

    def check(self, cell: Cell, agreed: Negotiated, number: int, answer: Answer) -> None:
        """Verifies what a filter signed, with dkimpy where it is installed.

        Args:
            cell: What is measured.
            agreed: What the filter answered to the offer.
            number: Which message.
            answer: What the filter did to it.

        Raises:
            WrongAnswer: The signature does not verify.
        """
        if cell.operation != "sign":
            return  # the generator has read the result
        leading_space = bool(agreed.steps & Steps.HDR_LEADSPC)
        text = self.texts(cell)[number]
        signed = apply_changes(text, changes(answer), leading_space=leading_space)
        if not signed.startswith(b"DKIM-Signature:"):
            raise WrongAnswer(f"{cell}: no signature on top: {signed[:200]!r}")
        if DKIMPY is None:
            self.pair.check(signed, str(cell))
            return
        record = self.pair.record

        def look_up(name: object, timeout: int = 5) -> bytes:
            return record

        if not DKIMPY.verify(signed, dnsfunc=look_up):
            raise WrongAnswer(f"{cell}: the signature does not verify: {signed[:600]!r}")


def changes(answer: Answer) -> list[Change]:
    """Takes the packets of a decision apart: the changes, without the final answer."""
    found: list[Change] = []
    position = 0
    while position < len(answer):
        length = int.from_bytes(answer[position : position + 4], "big")
        command, start = answer[position + 4 : position + 5], position + 5
        position += 4 + length
        part = parse_answer(command, answer[start:position])
        if not isinstance(part, (Reply, Progress)):
            found.append(part)
    return found
