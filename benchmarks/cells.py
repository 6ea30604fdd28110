"""The comparison: every size, body, operation, canonicalization and algorithm."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import messages
from benchmarks.contenders import Dkimpy, Floor, KeyPair, MailDkim, Ours
from benchmarks.report import Section, Target
from benchmarks.rounds import Spread, duration, measure, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.contenders import Contender
    from benchmarks.rounds import Plan

__all__ = ["Cell", "Measured", "compare", "full", "quick"]

SIZES = {"2 kB": 2_000, "10 kB": 10_000, "100 kB": 100_000, "1 MB": 1_000_000, "20 MB": 20_000_000}
BODIES = ("text", "base64", "html")
RSA, ED25519 = "rsa-sha256", "ed25519-sha256"
RELAXED, SIMPLE = "relaxed/relaxed", "simple/simple"
# The targets are about these; they get more rounds.
_PROMISED = ("2 kB", "10 kB")
_COLUMNS = (
    "",
    "key",
    "c=",
    "size",
    "body",
    "dkimcore",
    "of the floor",
    "times dkimpy",
    "times Mail::DKIM",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is measured."""

    size: str
    body: str
    algorithm: str
    canonicalization: str
    operation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured: seconds of one execution, per contender and round."""

    cell: Cell
    seconds: dict[str, list[float]]

    @property
    def floor(self) -> list[float]:
        """The key operation and SHA-256 over the message, per round."""
        return [
            sum(both) for both in zip(self.seconds["crypto"], self.seconds["sha256"], strict=False)
        ]

    @property
    def of_floor(self) -> Spread:
        """Our rate as a part of the rate that cryptography alone allows."""
        return ratio(self.floor, self.seconds["dkimcore"])

    @property
    def of_crypto(self) -> Spread:
        """The same without SHA-256: the key operation alone."""
        return ratio(self.seconds["crypto"], self.seconds["dkimcore"])

    def against(self, peer: str) -> Spread | None:
        """How many times as fast as a peer; None if that cannot do it."""
        seconds = self.seconds.get(peer)
        return ratio(seconds, self.seconds["dkimcore"]) if seconds else None


def full() -> list[Cell]:
    """Every combination."""
    return [
        Cell(size=size, body=body, algorithm=a, canonicalization=c, operation=operation)
        for size, body, a, c, operation in product(
            SIZES, BODIES, (RSA, ED25519), (RELAXED, SIMPLE), ("sign", "verify")
        )
    ]


def quick() -> list[Cell]:
    """All sizes with RSA and relaxed; the rest at 10 kB; 20 MB of text only."""
    return [
        cell
        for cell in full()
        if cell.size == "10 kB" or (cell.algorithm == RSA and cell.canonicalization == RELAXED)
        if cell.body == "text" or (cell.size != "20 MB" and cell.algorithm == RSA)
    ]


def compare(cells: list[Cell], plan: Plan, promised: Plan) -> tuple[Section, str]:
    """Measures cells, the promised ones by a plan of their own.

    Returns:
        The table, and Mail::DKIM's version.
    """
    pairs = {algorithm: KeyPair.make(algorithm) for algorithm in (RSA, ED25519)}
    found = []
    with (
        TemporaryDirectory() as folder,
        closing(MailDkim(Path(folder), pairs[RSA])) as mail_dkim,
    ):
        contenders: list[Contender] = [
            Ours(),
            Dkimpy(),
            Floor("crypto"),
            Floor("sha256"),
            mail_dkim,
        ]
        for number, cell in enumerate(cells, 1):
            precise = cell.size in _PROMISED and cell.algorithm == RSA
            measured = _measure(
                cell, pairs[cell.algorithm], contenders, promised if precise else plan
            )
            found.append(measured)
            print(f"{number}/{len(cells)}", *_row(measured), sep="  ", file=sys.stderr, flush=True)
        version = mail_dkim.version
    return _section(found), version


def _measure(cell: Cell, pair: KeyPair, contenders: list[Contender], plan: Plan) -> Measured:
    octets = messages.message(cell.body, SIZES[cell.size])
    if cell.operation == "verify":
        octets = pair.sign(octets, cell.canonicalization)
    runs = {contender.name: contender.prepare(cell, pair, octets) for contender in contenders}
    seconds = measure({name: run for name, run in runs.items() if run is not None}, plan)
    return Measured(cell=cell, seconds=seconds)


def _row(measured: Measured) -> list[str]:
    cell = measured.cell
    return [
        cell.operation,
        cell.algorithm.removesuffix("-sha256"),
        cell.canonicalization,
        cell.size,
        cell.body,
        duration(Spread.of(measured.seconds["dkimcore"]).median),
        str(measured.of_floor),
        *(str(measured.against(peer) or "-") for peer in ("dkimpy", "Mail::DKIM")),
    ]


def _section(found: list[Measured]) -> Section:
    section = Section(
        title="Signing and verifying",
        note="Ratios of rates, as median (least..greatest) of all rounds. Of the floor: 1 would "
        "be the key operation and SHA-256 over the message and nothing else. Against a peer: how "
        "many times as many messages in the same time.",
        columns=_COLUMNS,
    )
    order = sorted(found, key=lambda one: (one.cell.operation, one.cell.algorithm != RSA))
    section.rows = [_row(measured) for measured in order]
    section.data = [_data(measured) for measured in order]
    section.targets = list(_targets(found))
    return section


def _data(measured: Measured) -> dict[str, object]:
    ratios = {
        "of_floor": measured.of_floor,
        "of_key_operation": measured.of_crypto,
        "times_dkimpy": measured.against("dkimpy"),
        "times_mail_dkim": measured.against("Mail::DKIM"),
    }
    figures = {name: asdict(spread) if spread else None for name, spread in ratios.items()}
    return {**asdict(measured.cell), **figures, "seconds": measured.seconds}


def _targets(found: list[Measured]) -> Iterator[Target]:
    rsa = [one for one in found if one.cell.algorithm == RSA]
    signed = [one for one in rsa if one.cell.operation == "sign" and one.cell.size == "10 kB"]
    verified = [one for one in rsa if one.cell.operation == "verify" and one.cell.size in _PROMISED]
    for one in signed:
        yield _target(one, one.of_crypto, 0.9, "of the rate of private_key.sign")
    for one in verified:
        yield _target(one, one.of_floor, 0.4, "of the rate of public_key.verify and SHA-256")
    for one in verified:
        if times := one.against("dkimpy"):
            yield _target(one, times, 10, "times dkimpy")
    all_times = [(spread, one.cell) for one in found if (spread := one.against("dkimpy"))]
    if all_times:
        least, cell = min(all_times, key=lambda pair: pair[0].median)
        where = f"{cell.operation} {cell.size} {cell.body} {cell.algorithm} {cell.canonicalization}"
        yield Target(
            name=f"every one of {len(all_times)} comparisons with dkimpy, the least",
            goal="above 1 times dkimpy",
            figure=f"{least}: {where}",
            reached=least.median > 1,
            hot_spot="" if least.median > 1 else _key_operations(cell),
        )


def _target(measured: Measured, figure: Spread, goal: float, of: str) -> Target:
    cell = measured.cell
    return Target(
        name=f"{cell.operation} {cell.size} of {cell.body}, RSA-2048, {cell.canonicalization}",
        goal=f"{goal:g} {of}",
        figure=str(figure),
        reached=figure.median >= goal,
        cell=(cell.operation, cell.size, cell.body, cell.canonicalization),
    )


def _key_operations(cell: Cell) -> str:
    if cell.algorithm == ED25519:
        return "the key operation: dkimpy's Ed25519 is libsodium's (PyNaCl), ours is OpenSSL's"
    return "see the breakdown"
