"""The milter with keys kept elsewhere, in turns with the same milter and a key in a file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.contenders import DOMAIN, SELECTOR
from benchmarks.remote_keys.scenario import ALGORITHMS, ED25519, RSA
from benchmarks.remote_keys.sites import transit_section
from benchmarks.rounds import Spread
from benchmarks.throughput.answers import Failed
from benchmarks.throughput.contest import percentile
from benchmarks.throughput.generator import Lane, Load, drive
from benchmarks.throughput.mail import Mail
from benchmarks.throughput.processes import cpu_seconds
from benchmarks.throughput.scenario import KB, Cell, client, witness
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.remote_keys.sites import Sites
    from benchmarks.throughput.generator import Run

__all__ = ["LOCAL", "REMOTE", "MilterOutcome", "full", "measure_milters", "quick"]

LOCAL, REMOTE = "local", "remote"
DISTANCE = 0.01
_SAMPLES = 2  # of a turn, verified after it
_LEAST = 4  # messages of a turn
_TOLD = 4000  # characters of what a milter wrote before a message failed
_CONF = f"""\
Mode s
KeyTable csl:k={DOMAIN}:{SELECTOR}:{{key}}
SigningTable csl:{DOMAIN}=k
DkimcoreKeyBackends {{folder}}/keys.toml
InternalHosts {HOST}
Canonicalization relaxed/relaxed
RequireSafeKeys no
UMask 000
"""
# Whether the record in the DNS fits is asked once for a key, and is not what is measured.
_STORE = '[store]\nrecord_check = "ignore"\n'
_NAMES = {RSA: "rsa", ED25519: "ed25519"}


@dataclass(slots=True, kw_only=True)
class MilterOutcome:
    """What came of a cell.

    Attributes:
        cell: What was measured.
        runs: The turns with the key in a file, and with the one kept elsewhere.
    """

    cell: Cell
    runs: dict[str, list[Run]] = field(default_factory=lambda: {LOCAL: [], REMOTE: []})

    @property
    def ratio(self) -> Spread:
        """Messages a second, as a part of those with the key in a file, turn by turn."""
        pairs = zip(self.runs[REMOTE], self.runs[LOCAL], strict=True)
        return Spread.of([remote.rate / local.rate for remote, local in pairs])

    def rate(self, who: str) -> Spread:
        """Messages a second."""
        return Spread.of([run.rate for run in self.runs[who]])

    def latency(self, who: str, part: float) -> float:
        """Seconds that this part of all messages took at most."""
        return percentile([taken for run in self.runs[who] for taken in run.latencies], part)

    def cpu(self, who: str) -> float:
        """CPU seconds of the milter for a message."""
        runs = self.runs[who]
        return sum(run.cpu for run in runs) / sum(run.messages for run in runs)


def full() -> list[Cell]:
    """What was promised, and how it comes about."""
    return [
        _cell(algorithm, style, connections)
        for algorithm in ALGORITHMS
        for style in ("lock-step", "pipelined")
        for connections in (1, 16, 64)
    ]


def quick() -> list[Cell]:
    """What was promised."""
    return [_cell(ED25519, style, 64) for style in ("lock-step", "pipelined")]


def _cell(algorithm: str, style: str, connections: int) -> Cell:
    return Cell(
        operation="sign",
        octets=2 * KB,
        connections=connections,
        style=style,
        algorithm=algorithm,
    )


def measure_milters(
    cells: Sequence[Cell], sites: Sites, *, turns: int, seconds: float
) -> list[MilterOutcome]:
    """Measures cells.

    Args:
        cells: What to measure.
        sites: Where the keys are.
        turns: How often each milter has its turn.
        seconds: Of one turn.

    Raises:
        Failed: A message failed.
        WrongAnswer: A signature does not verify.
    """
    outcomes = [MilterOutcome(cell=cell) for cell in cells]
    for algorithm in dict.fromkeys(cell.algorithm for cell in cells):
        mail = Mail(algorithm)
        mail.pair = sites.pairs[algorithm]
        with contextlib.ExitStack() as undo:
            milters = {
                who: undo.enter_context(_milter(who, algorithm, sites)) for who in (LOCAL, REMOTE)
            }
            for turn in range(turns):
                for outcome in outcomes:
                    if outcome.cell.algorithm != algorithm:
                        continue
                    for who in sorted(milters, reverse=turn % 2 == 1):
                        run = _turn(outcome.cell, mail, milters[who], seconds)
                        outcome.runs[who].append(run)
    return outcomes


def _milter(who: str, algorithm: str, sites: Sites) -> DkimcoreMilter:
    key = f"vault-transit:transit/{_NAMES[algorithm]}?version=1&backend=far"
    port = sites.stand_in.port(DISTANCE)
    files: dict[str, str | bytes] = {
        "key.pem": sites.pairs[algorithm].pem,
        "token": "a-token-of-the-stand-in",
        "keys.toml": _STORE + transit_section("far", port, "{folder}/token", sites.threads),
    }
    conf = _CONF.replace("{key}", "{folder}/key.pem" if who == LOCAL else key)
    if algorithm == ED25519:
        conf += "SignatureAlgorithm ed25519-sha256\n"
    return DkimcoreMilter(conf, files=files, workers=None)


def _turn(cell: Cell, mail: Mail, milter: DkimcoreMilter, seconds: float) -> Run:
    try:
        with _lanes(milter, cell) as lanes:
            agreed = lanes[0].agreed
            load = Load(
                scripts=mail.scripts(cell, agreed),
                witness=witness(cell),
                seconds=seconds,
                least=_LEAST,
            )
            run = drive(lanes, load, lambda: cpu_seconds(milter.pid))
    except Failed as error:
        told = milter.output() + "".join(f"{entry}\n" for entry in milter.log()[-20:])
        raise Failed(f"{cell}: {error}\n{told[-_TOLD:]}") from error
    for number, answer in run.samples[:_SAMPLES]:
        mail.check(cell, agreed, number, answer)
    return run


@contextlib.contextmanager
def _lanes(milter: DkimcoreMilter, cell: Cell) -> Iterator[list[Lane]]:
    with contextlib.ExitStack() as undo:
        lanes: list[Lane] = []
        for _ in range(cell.connections):
            lanes.append(Lane(milter.address, client(cell)))
            undo.callback(lanes[-1].close)
        yield lanes
